"""What becomes of an item when the wait for its task ends, and of the whole when all have ended."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import ItemRecord, Stop
from airflow_provider_wan.client.errors import WanAuthError, WanBillingError, WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.tasks import TaskStatus

LOST = (EndingStatus.TIMEOUT, EndingStatus.ERROR)


def take_ending(batch: Batch, item: Item, ending: Ending) -> None:
    """Note how the wait for an item's task ended: its video, another try, or why there is none."""
    entry = batch.entry(item)
    if not entry.is_in_flight or entry.task_id != ending.task.task_id:
        # An event that comes twice, or late: the item has gone on.
        return
    if ending.status is EndingStatus.SUCCESS:
        task = ending.task
        batch.change(
            item, status=TaskStatus.SUCCEEDED, video_url=task.video_url, url_expires_at=task.url_expires_at, landings=0
        )
        return
    error = error_of(ending)
    if ending.status in LOST:
        # The task may still end and be billed: it stays recorded.
        batch.give_up(item, error, TaskStatus.UNKNOWN)
    elif error.retryable and entry.tries < _most_tries(batch, entry, ending):
        batch.log.info("Row %s is made anew, which is not billed twice: %s", item.id, error)
        batch.ledger.put(item.key, entry.left_behind(entry.tries + 1))
    else:
        batch.give_up(item, error)
        if isinstance(error, WanBillingError | WanAuthError) and batch.ledger.head.stop is None:
            batch.stop(Stop(message=str(error)))


def _most_tries(batch: Batch, entry: ItemRecord, ending: Ending) -> int:
    """Return how many new tasks an item gets; the kill of a former attempt may have reached an adopted task."""
    began, record = batch.ledger.head.began_at, entry.record
    is_adopted = bool(began and record and record.handle and record.handle.submitted_at < began)
    return batch.settings.item_retries + (ending.status is EndingStatus.CANCELLED and is_adopted)


def verdict(batch: Batch, summary: dict[str, Any]) -> WanError | None:
    """Return the error that the whole batch ends with, ``None`` when it may count as done.

    It is retryable when another attempt has something to go on with.
    """
    failed, total = int(summary["failed"]), int(summary["total"])
    stop = batch.ledger.head.stop
    if stop is None and not _is_failed(batch.settings.fail_if, failed, total):
        return None
    if stop is not None and failed == 0:
        return None
    message = f"{failed} of {total} videos were not made"
    if (first := batch.first_failed()) is not None:
        item, entry = first
        message = f"{message}; the first: row {item.id}: {entry.error_code}: {entry.error_message}"
    if stop is not None:
        message = f"{message}. Submitting was stopped: {stop.message}"
    may_mend = sum(entry.retryable for _, entry in batch)
    is_retryable = may_mend > 0 if stop is None else stop.retryable
    if is_retryable:
        message = f"{message}. The next attempt goes on from here; nothing that was made is paid again"
    return WanError(message, retryable=is_retryable)


def _is_failed(limit: str | float, failed: int, total: int) -> bool:
    if limit == "any":
        return failed > 0
    if limit == "all":
        return failed == total
    return failed / total > float(limit)
