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


def check_batch(batch: Batch, series: str, *, is_new_attempt: bool = True) -> None:
    """Refuse what may not be paid or cannot be stored, before anything is cancelled, moved or left behind for it.

    :param series: identifies a series of automatic retries; a clear begins a new one, and is a person's wish.
    :raises WanRequestError: when two videos would land at one place, or what is to be paid is above ``max_cost``.
    :raises WanError: naming the place that cannot be written to; nothing was submitted.
    """
    from airflow_provider_wan.delivery.storage import prove

    refuse_all(list(batch.targets.clashes(batch.items.values())))
    due = [item for item, entry in batch if _as_opened(batch, item, entry, series, is_new_attempt).is_open]
    check_cost(batch, due)
    wanted = {item.key for item in due}
    for folder in batch.targets.folders(item for item, entry in batch if item.key in wanted or entry.stored is None):
        prove(folder)


def _as_opened(batch: Batch, item: Item, entry: ItemRecord, series: str, is_new_attempt: bool) -> ItemRecord:
    """Return what an entry will be once the batch is open."""
    is_new_series = batch.ledger.head.series != series
    if _leaves_all(batch, is_new_series=is_new_series):
        return entry.left_behind()
    return _reopened(batch, item, entry, is_new_series=is_new_series) if is_new_attempt else entry


def _leaves_all(batch: Batch, *, is_new_series: bool) -> bool:
    is_known = not batch.ledger.is_new or bool(batch.ledger.task_ids)
    return batch.settings.regenerate and is_new_series and is_known


def open_batch(batch: Batch, accounts: BatchAccounts, series: str, *, is_new_attempt: bool = True) -> None:
    """Bring the ledger up to the rows, once they are checked: leave behind what is not wanted any more, adopt the rest.

    :param series: as :func:`check_batch`.
    :raises WanRequestError: when what is to be paid after all is above ``max_cost``.
    :raises WanError: when the ledger or the storage cannot be written; nothing was submitted.
    """
    head = batch.ledger.head
    is_new_series = head.series != series
    due = {item.key for item, entry in batch if _as_opened(batch, item, entry, series, is_new_attempt).is_open}
    if _leaves_all(batch, is_new_series=is_new_series):
        batch.log.info("regenerate is set: what is recorded is left behind, all items are paid anew")
        _leave_all(batch, accounts)
    for key, entry in batch.ledger:
        if key not in batch.items:
            _abandon(batch, accounts, key, entry)
    follow(batch.items.values(), batch.ledger, batch.targets)
    if is_new_attempt:
        for item, entry in batch:
            opened = _reopened(batch, item, entry, is_new_series=is_new_series)
            if entry.status is TaskStatus.SUCCEEDED and opened.is_open:
                hint = "" if batch.targets.is_wanted(item) else " (set store_to to keep videos)"
                batch.log.warning(
                    "The video of row %s is gone and was not stored: it is made and paid anew%s", item.id, hint
                )
            batch.ledger.put(item.key, opened)
        head.began_at, head.stop, head.pauses, head.unstored = utc_now(), None, {}, 0
        accounts.begin_anew()
        failed = batch.first_failed()
        if failed and batch.settings.on_item_failure == "fail":
            head.stop = Stop(message=f"row {failed[0].id} had failed, and on_item_failure is 'fail'")
    if any(entry.is_open and item.key not in due for item, entry in batch):
        # A video that was to follow its row is neither in its place nor at its vendor any more.
        check_cost(batch, [item for item, entry in batch if entry.is_open])
    batch.ledger.flush()
    # Last, so that a crash on the way begins with all of this again.
    head.series, head.rows = series, digest_of(batch.items.values())
    batch.ledger.keep_head()
    _log_counts(batch)


def _reopened(batch: Batch, item: Item, entry: ItemRecord, *, is_new_series: bool) -> ItemRecord:
    """Return what an entry is for another attempt.

    An automatic retry never pays anew for what was made, and leaves alone what failed for good; a clear may.
    """
    if entry.status is None:
        return entry.model_copy(update={"again_at": None, "looking_since": None})
    if batch.is_finished(item, entry):
        return entry.left_behind() if is_new_series and not entry.stored and entry.is_gone else entry
    if entry.status is TaskStatus.SUCCEEDED:
        if not entry.is_gone:
            return entry.reopened()
        return entry.left_behind() if is_new_series else entry
    if entry.status is TaskStatus.UNKNOWN:
        # Its task may exist: look for it or wait for it, do not pay again.
        return entry.reopened()
    return entry.left_behind() if entry.retryable or is_new_series else entry


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
