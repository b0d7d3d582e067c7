"""How the submission of one item is kept: in the batch's chunks, or as objects of its own beside them.

Where the store creates exclusively, each submission is such an object, so that of two live workers of one batch only
one pays for an item. The chunks are a summary then: what they lack, or have from a worker that was overtaken, is read
back from the objects.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.records import FORMER_KEPT, ItemRecord
from airflow_provider_wan.durable import ExclusiveStore, IntentTaken, Ledger, LedgerError, Record

log = logging.getLogger(__name__)

ITEM_KEY = "wan_item"


def ledger_of(ledger: BatchLedger, key: str) -> Ledger:
    """Return the ledger of one item."""
    store = ledger.store
    return ItemObjects(ledger, store, key) if isinstance(store, ExclusiveStore) else ItemLedger(ledger, key)


def read_objects(ledger: BatchLedger) -> None:
    """Take from the items' objects what a batch's chunks do not know; one listing, and a read for each that is news.

    :raises LedgerError: when they could not be read; nothing is submitted then.
    """
    store = ledger.store
    if not isinstance(store, ExclusiveStore):
        return
    last: dict[str, int] = {}
    try:
        for name in store.keys(f"{ITEM_KEY}."):
            key, _, tail = name.removeprefix(f"{ITEM_KEY}.").rpartition(".")
            if key and tail.isascii() and tail.isdigit():
                last[key] = max(last.get(key, 0), int(tail))
    except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "nothing there"
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        for key, number in last.items():
            entry = ledger.get(key)
            if entry.submissions < number or (entry.submissions == number and entry.is_in_doubt):
                ItemObjects(ledger, store, key).refresh(number)
        return
    raise LedgerError(f"The ledger of the batch could not be read ({reason}). Nothing was submitted")


class ItemLedger(Ledger):
    """One item's place in the chunks, as the ledger of a single task."""

    def __init__(self, ledger: BatchLedger, key: str) -> None:
        super().__init__(None, key)
        self._ledger = ledger

    @property
    def is_durable(self) -> bool:
        """Whether the ledger survives this process."""
        return self._ledger.is_durable

    def read(self) -> Record | None:
        """Return the item's record."""
        return self._ledger.get(self._key).record

    def write(self, record: Record) -> None:
        """Keep the item's record.

        :raises LedgerError: when it could not be kept.
        """
        self._ledger.keep(self._key, self._ledger.get(self._key).model_copy(update={"record": record}))

    def forget(self) -> None:
        """Forget the item's record; a failure to do so is only logged."""
        try:
            self._ledger.keep(self._key, self._ledger.get(self._key).model_copy(update={"record": None}))
        except LedgerError as error:
            log.warning("%s: a refused submission would be taken for one whose answer was lost", error)


class ItemObjects(Ledger):
    """One item's submissions as objects: the intent is created before the paid call, the task written after it.

    What the chunk says of them follows when the batch keeps its ledger, once a round.
    """

    def __init__(self, ledger: BatchLedger, store: ExclusiveStore, key: str) -> None:
        super().__init__(store.for_part(key), f"{ITEM_KEY}.{key}")
        self._ledger = ledger
        self._item = key
        self._number = ledger.get(key).submissions

    def read(self) -> Record | None:
        """Return the item's record; of a submission in doubt the object itself, for another worker may know.

        :raises LedgerError: when that could not be read.
        """
        if self._number and self._ledger.get(self._item).is_in_doubt:
            self.refresh(self._number)
        return self._ledger.get(self._item).record

    def open(self, record: Record) -> None:
        """Keep the intent of a new submission.

        :raises IntentTaken: when another worker has begun one; what it has recorded is the item's now.
        :raises LedgerError: when it could not be kept.
        """
        try:
            super().open(record)
        except IntentTaken:
            self.refresh(self._number + 1)
            raise
        self._put({"record": record, "submissions": self._number})

    def refresh(self, number: int) -> None:
        """Take what an object says.

        :raises LedgerError: when it could not be read.
        """
        entry = self._ledger.get(self._item)
        self._number = number
        record = self.read_at(number)
        if entry.submissions == number or record is None:
            is_open = entry.status is None
            self._put({"submissions": number} | ({"record": record} if is_open else {}))
            return
        known = [*entry.task_ids, *record.former]
        own = record.handle.task_id if record.handle else None
        former = [task_id for task_id in dict.fromkeys(known) if task_id != own][-FORMER_KEPT:]
        self._ledger.put(self._item, ItemRecord(record=record, former=former, tries=entry.tries, submissions=number))

    def _set(self, value: dict[str, Any]) -> None:
        record = self._record_in(value)
        if not self._number:
            # Recorded before items had objects.
            self._ledger.keep(self._item, self._ledger.get(self._item).model_copy(update={"record": record}))
            return
        super()._set(value)
        self._put({"record": record})

    def _put(self, update: dict[str, Any]) -> None:
        self._ledger.put(self._item, self._ledger.get(self._item).model_copy(update=update))
