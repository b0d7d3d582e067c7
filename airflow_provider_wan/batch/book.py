"""The book of a batch: one entry per item, kept in chunks in the task state store.

A chunk is one value of the store, which wants values under 64 KB; an entry has up to about 1 KB.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.durability import Ledger, LedgerError, Record, StateStore

HEAD_KEY = "wan_batch"
CHUNK_SIZE = 40


class Entry(BaseModel):
    """What is known of one item.

    :param record: its submission, as for a single task.
    :param status: how it ended, ``None`` while it has not; ``unknown`` when this run gave up waiting or could not
        know whether a task was made: its record stays for the next run.
    :param tries: how many tasks were made for it and failed.
    """

    record: Record | None = None
    status: TaskStatus | None = None
    tries: int = 0
    video_url: str | None = None
    url_expires_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    stored: dict[str, Any] | None = None

    def is_finished(self, wants_storing: bool) -> bool:
        """Whether the item has its video, where it is wanted."""
        return self.status is TaskStatus.SUCCEEDED and (self.stored is not None or not wants_storing)

    @property
    def is_in_flight(self) -> bool:
        """Whether a task was made and has not ended."""
        return self.status is None and self.record is not None and self.record.handle is not None


class Book:
    """The entries of all items; every change is kept before the next step.

    :param store: the task state store; ``None`` keeps the book in memory (see ``carry``).
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._chunks: list[dict[str, Entry]] = []
        self._place: dict[str, int] = {}

    @property
    def is_durable(self) -> bool:
        """Whether the book survives this process."""
        return self._store is not None

    def load(self, carried: dict[str, Any] | None = None) -> None:
        """Read the book from the store, or from what a trigger carried where there is no store.

        :raises LedgerError: when it could not be read; nothing is submitted then.
        """
        if self._store is None:
            self._take({key: Entry.model_validate(entry) for key, entry in (carried or {}).items()})
            return
        try:
            count = int((self._store.get(HEAD_KEY) or {}).get("chunks", 0))
            for number in range(count):
                chunk = self._store.get(_name(number)) or {}
                self._take({key: Entry.model_validate(entry) for key, entry in chunk.items()}, is_chunk=True)
        except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "an empty book"
            reason = f"{type(error).__name__}: {error}"
        else:
            return
        raise LedgerError(f"The book of the batch could not be read ({reason}); nothing was submitted")

    def carry(self) -> dict[str, Any] | None:
        """Return the whole book for a trigger to carry, where no store keeps it."""
        if self._store is not None:
            return None
        return {key: _dump(entry) for key, entry in self}

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        for chunk in self._chunks:
            yield from chunk.items()

    def get(self, key: str) -> Entry:
        """Return the entry of an item; a new one when nothing is known."""
        number = self._place.get(key)
        return Entry() if number is None else self._chunks[number][key]

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry.

        :raises LedgerError: when the store did not take it.
        """
        number = self._place.get(key)
        is_new_chunk = False
        if number is None:
            is_new_chunk = not self._chunks or len(self._chunks[-1]) >= CHUNK_SIZE
            if is_new_chunk:
                self._chunks.append({})
            number = self._place[key] = len(self._chunks) - 1
        self._chunks[number][key] = entry
        self._keep(number)
        if is_new_chunk:
            self._write(HEAD_KEY, {"chunks": len(self._chunks)})

    def forget_all(self) -> None:
        """Forget every entry (``regenerate``)."""
        self._chunks.clear()
        self._place.clear()
        self._write(HEAD_KEY, {"chunks": 0})

    def ledger(self, key: str) -> ItemLedger:
        """Return the ledger of one item."""
        return ItemLedger(self, key)

    def tell(self, progress: dict[str, Any]) -> None:
        """Show progress in the task state, where Airflow's UI and API show it; never fails a run."""
        try:
            self._write("wan_progress", progress)
        except LedgerError:
            return

    def _take(self, entries: dict[str, Entry], is_chunk: bool = False) -> None:
        if is_chunk:
            self._chunks.append({})
        for key, entry in entries.items():
            if not is_chunk and (not self._chunks or len(self._chunks[-1]) >= CHUNK_SIZE):
                self._chunks.append({})
            self._chunks[-1][key] = entry
            self._place[key] = len(self._chunks) - 1

    def _keep(self, number: int) -> None:
        self._write(_name(number), {key: _dump(entry) for key, entry in self._chunks[number].items()})

    def _write(self, name: str, value: dict[str, Any]) -> None:
        if self._store is None:
            return
        try:
            self._store.set(name, value)
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = f"{type(error).__name__}: {error}"
        else:
            return
        raise LedgerError(f"The book of the batch could not be written ({reason})")


class ItemLedger(Ledger):
    """One item's place in the book, as the ledger of a single task."""

    def __init__(self, book: Book, key: str) -> None:
        super().__init__(None, key)
        self._book = book

    @property
    def is_durable(self) -> bool:
        """Whether the book survives this process."""
        return self._book.is_durable

    def read(self) -> Record | None:
        """Return the item's record."""
        return self._book.get(self._key).record

    def write(self, record: Record) -> None:
        """Keep the item's record."""
        self._book.put(self._key, self._book.get(self._key).model_copy(update={"record": record}))

    def forget(self) -> None:
        """Forget the item's record."""
        self._book.put(self._key, self._book.get(self._key).model_copy(update={"record": None}))


def _name(number: int) -> str:
    return f"{HEAD_KEY}_{number:04d}"


def _dump(entry: Entry) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
