"""Opens a batch: compares the ledger with the rows as they are now, before anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_wan.batch.accounts import BatchAccounts
from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.costs import check_cost
from airflow_provider_wan.batch.items import Item, digest_of, refuse_all
from airflow_provider_wan.batch.records import ItemRecord, Stop
from airflow_provider_wan.batch.targets import follow
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.polling.cancelling import abandon
from airflow_provider_wan.client.tasks import TaskStatus, utc_now


def is_changed(batch: Batch) -> bool:
    """Whether the rows are others than those the batch was opened with."""
    return batch.ledger.head.rows != digest_of(batch.items.values())


def open_batch(batch: Batch, accounts: BatchAccounts, series: str, *, is_new_attempt: bool = True) -> None:
    """Bring the ledger up to the rows: leave behind what is not wanted any more, adopt the rest.

    :param series: identifies a series of automatic retries; a clear begins a new one, and is a person's wish.
    :raises WanRequestError: when two videos would land at one place, or what is to be paid is above ``max_cost``.
    :raises WanError: when the ledger or the storage cannot be written; nothing was submitted.
    """
    refuse_all(list(batch.targets.clashes(batch.items.values())))
    head = batch.ledger.head
    is_new_series = head.series != series
    if batch.settings.regenerate and is_new_series and head.series is not None:
        batch.log.info("regenerate is set: what is recorded is left behind, all items are paid anew")
        _leave_all(batch, accounts)
    for key, entry in batch.ledger:
        if key not in batch.items:
            _abandon(batch, accounts, key, entry)
    follow(batch.items.values(), batch.ledger, batch.targets)
    if is_new_attempt:
        for item, entry in batch:
            _reopen(batch, item, entry, is_new_series=is_new_series)
        head.began_at, head.stop, head.pauses, head.unstored = utc_now(), None, {}, 0
        accounts.begin_anew()
        failed = batch.first_failed()
        if failed and batch.settings.on_item_failure == "fail":
            head.stop = Stop(message=f"row {failed[0].id} had failed, and on_item_failure is 'fail'")
    check_cost(batch)
    batch.ledger.flush()
    # Last, so that a crash on the way begins with all of this again.
    head.series, head.rows = series, digest_of(batch.items.values())
    batch.ledger.keep_head()
    _log_counts(batch)


def _reopen(batch: Batch, item: Item, entry: ItemRecord, *, is_new_series: bool) -> None:
    """Prepare one item for another attempt.

    An automatic retry never pays anew for what was made, and leaves alone what failed for good; a clear may.
    """
    if entry.status is None:
        batch.change(item, again_at=None, looking_since=None)
    elif batch.is_finished(item, entry):
        if is_new_series and not entry.stored and entry.is_gone:
            batch.log.warning(
                "The video of row %s has expired and was not stored: it is made and paid anew "
                "(set store_to to keep videos)",
                item.id,
            )
            batch.ledger.put(item.key, entry.left_behind())
    elif entry.status is TaskStatus.SUCCEEDED:
        if not entry.is_gone:
            batch.ledger.put(item.key, entry.reopened())
        elif is_new_series:
            batch.log.warning("The video of row %s is gone and was not stored: it is made and paid anew", item.id)
            batch.ledger.put(item.key, entry.left_behind())
    elif entry.status is TaskStatus.UNKNOWN:
        # Its task may exist: look for it or wait for it, do not pay again.
        batch.ledger.put(item.key, entry.reopened())
    elif entry.retryable or is_new_series:
        batch.ledger.put(item.key, entry.left_behind())


def _leave_all(batch: Batch, accounts: BatchAccounts) -> None:
    for key, entry in batch.ledger:
        if entry.is_in_flight:
            _cancel(batch, accounts, entry)
        batch.ledger.put(key, entry.left_behind())
    batch.ledger.flush()


def _abandon(batch: Batch, accounts: BatchAccounts, key: str, entry: ItemRecord) -> None:
    """Cancel, where possible, the task of a row that is not wanted any more.

    One that runs on stays recorded: if the row comes back, it is adopted.
    """
    record = entry.record
    if not entry.is_in_flight or record is None or record.abandoned:
        return
    if _cancel(batch, accounts, entry):
        batch.ledger.put(key, entry.left_behind())
    else:
        batch.ledger.put(key, entry.model_copy(update={"record": record.model_copy(update={"abandoned": True})}))


def _cancel(batch: Batch, accounts: BatchAccounts, entry: ItemRecord) -> bool:
    handle = entry.record.handle if entry.record else None
    if handle is None:
        return False
    try:
        client = accounts.client(accounts.of_record(entry.record))
    except WanRequestError as error:
        batch.log.warning("Task %s is not wanted any more and cannot be cancelled: %s", handle.task_id, error)
        return False
    outcome = abandon(client, handle)
    batch.log.info("Task %s is not wanted any more. %s", handle.task_id, outcome.message)
    return outcome.is_cancelled is True


def _log_counts(batch: Batch) -> None:
    counts = [0, 0, 0]
    for index in _kinds(batch):
        counts[index] += 1
    batch.log.info(
        "Items: %d; %d are done already, %d are running (adopted, nothing is paid again), %d are in doubt",
        len(batch.items),
        *counts,
    )


def _kinds(batch: Batch) -> Iterator[int]:
    for item, entry in batch:
        if batch.is_finished(item, entry):
            yield 0
        elif entry.is_in_flight:
            yield 1
        elif entry.is_in_doubt:
            yield 2
