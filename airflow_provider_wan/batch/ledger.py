"""The ledger of a batch: one entry per item, kept in chunks in the task state store, or as objects of a storage.

A chunk is one value of the store. The store wants values under 64 KB, and a reader of the ledger asks for each
of them, so they are neither large nor many. How the submission of one item is kept is in ``item_ledger``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.batch.records import BatchRecord, ItemRecord
from airflow_provider_wan.durable import LedgerError, StateStore

HEAD_KEY = "wan_batch"
PROGRESS_KEY = "wan_progress"
CHUNK_ENTRIES = 48
CHUNK_BYTES = 56_000
"""Bytes of JSON at which a chunk is split; entries grow after they were placed."""


class _Chunk:
    """One value: its entries as they are stored, and their sizes (looked at only where something changes)."""

    def __init__(self, content: dict[str, dict[str, Any]] | None = None) -> None:
        self.content = content or {}
        self._sizes: dict[str, int] | None = None
        self._size = 0

    def put(self, key: str, value: dict[str, Any]) -> None:
        self.drop(key)
        self.content[key] = value
        if self._sizes is not None:
            self._sizes[key] = _size(key, value)
            self._size += self._sizes[key]

    def drop(self, key: str) -> None:
        if self.content.pop(key, None) is not None and self._sizes is not None:
            self._size -= self._sizes.pop(key)

    @property
    def size(self) -> int:
        """Bytes of JSON."""
        if self._sizes is None:
            self._sizes = {key: _size(key, value) for key, value in self.content.items()}
            self._size = 2 + sum(self._sizes.values())
        return self._size

    @property
    def has_room(self) -> bool:
        return len(self.content) < CHUNK_ENTRIES and self.size < CHUNK_BYTES // 2


class BatchLedger:
    """The entries of all items.

    :param store: the task state store; ``None`` keeps the ledger in memory, and a deferral carries it (``carry``).
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._chunks: list[_Chunk] = []
        self._place: dict[str, int] = {}
        self._entries: dict[str, ItemRecord] = {}
        self._unwritten: set[int] = set()
        self._counted = 0
        """Chunks that the stored head counts: only those are read again."""
        self._kept_head: dict[str, Any] | None = None
        self.missing = 0
        """Chunks that the head counts and the store has not: their entries are not known any more."""
        self.task_ids: set[str] = set()
        """The ids of all tasks that the batch is known to have made."""
        self.head = BatchRecord()

    @property
    def is_new(self) -> bool:
        """Whether no attempt has begun, or the head of what was recorded was deleted."""
        return self.head.series is None

    @property
    def store(self) -> StateStore | None:
        """Where it is kept."""
        return self._store

    @property
    def is_durable(self) -> bool:
        """Whether the ledger survives this process by itself."""
        return self._store is not None

    # -- reading --------------------------------------------------------------------------------------

    def load(self, carried: dict[str, Any] | None = None) -> None:
        """Read the ledger from the store, or from what a trigger carried where there is no store.

        :raises LedgerError: when it could not be read; nothing is submitted then.
        """
        try:
            if self._store is None:
                self.head = BatchRecord.model_validate((carried or {}).get("head") or {})
                for key, value in ((carried or {}).get("entries") or {}).items():
                    self._entries[key] = ItemRecord.model_validate(value)
            else:
                head = self._store.get(HEAD_KEY)
                self.head = BatchRecord.model_validate(head or {})
                self._counted, self._kept_head = self.head.chunks, _dump_head(self.head)
                for number in range(self.head.chunks):
                    content = self._store.get(_name(number))
                    if content is None:
                        self.missing += 1
                        self._unwritten.add(number)
                    self._take_chunk(number, content or {})
                if head is None:
                    self._take_uncounted(self._store)
        except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "an empty ledger"
            reason = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            self.task_ids = {task_id for entry in self._entries.values() for task_id in entry.task_ids}
            return
        raise LedgerError(
            f"The ledger of the batch could not be read ({reason}). Nothing was submitted, because its items may have "
            "been paid already"
        )

    def _take_uncounted(self, store: StateStore) -> None:
        """Take the chunks that are there without a head: it goes by itself where the store drops what is old."""
        while (content := store.get(_name(len(self._chunks)))) is not None:
            self._take_chunk(len(self._chunks), content)

    def _take_chunk(self, number: int, content: dict[str, Any]) -> None:
        self._chunks.append(_Chunk(content))
        for key, value in content.items():
            former = self._place.get(key)
            if former is not None:
                # A split was interrupted: the newer chunk holds the entry too.
                self._chunks[former].drop(key)
                self._unwritten.add(former)
            self._entries[key] = ItemRecord.model_validate(value)
            self._place[key] = number

    def __iter__(self) -> Iterator[tuple[str, ItemRecord]]:
        return iter(list(self._entries.items()))

    def get(self, key: str) -> ItemRecord:
        """Return the entry of an item; a new one when nothing is known."""
        return self._entries.get(key) or ItemRecord()

    # -- writing --------------------------------------------------------------------------------------

    def put(self, key: str, entry: ItemRecord) -> None:
        """Take an entry; ``flush`` keeps it."""
        self._entries[key] = entry
        self.task_ids.update(entry.task_ids)
        if self._store is None:
            return
        number = self._place.get(key)
        if number is None:
            if not self._chunks or not self._chunks[-1].has_room:
                self._chunks.append(_Chunk())
            number = self._place[key] = len(self._chunks) - 1
        self._chunks[number].put(key, _dump(entry))
        self._unwritten.add(number)

    def keep(self, key: str, entry: ItemRecord) -> None:
        """Take an entry and keep it before anything else is done.

        :raises LedgerError: when the store did not take it.
        """
        self.put(key, entry)
        if self._store is not None:
            self._write_chunk(self._place[key])

    def flush(self) -> None:
        """Keep all that was taken, and the head where it has changed.

        :raises LedgerError: when the store did not take it.
        """
        for number in sorted(self._unwritten):
            self._write_chunk(number)
        if self._store is not None and _dump_head(self.head) != self._kept_head:
            self.keep_head()

    def keep_head(self) -> None:
        """Keep the head.

        :raises LedgerError: when the store did not take it.
        """
        if self._store is not None:
            self._write_new_chunks()
            self._write_head()

    def _write_chunk(self, number: int) -> None:
        while self._chunks[number].size > CHUNK_BYTES and len(self._chunks[number].content) > 1:
            self._split(number)
        self._write_new_chunks()
        if number in self._unwritten:
            self._write(_name(number), self._chunks[number].content)
            self._unwritten.discard(number)

    def _write_new_chunks(self) -> None:
        """Write what the stored head does not count yet, before anything is written that may have been moved there.

        So an entry may stand twice in the store, but never nowhere; of two, the one in the later chunk holds, and an
        entry is changed there only.
        """
        if self._counted == len(self._chunks):
            return
        for number in range(self._counted, len(self._chunks)):
            self._write(_name(number), self._chunks[number].content)
        self._write_head()
        self._unwritten.difference_update(range(self._counted, len(self._chunks)))
        self._counted = len(self._chunks)

    def _write_head(self) -> None:
        self.head.chunks = len(self._chunks)
        head = _dump_head(self.head)
        self._write(HEAD_KEY, head)
        self._kept_head = head

    def _split(self, number: int) -> None:
        """Move half of a chunk to a new one."""
        old, new = self._chunks[number], _Chunk()
        self._chunks.append(new)
        for key in list(old.content)[len(old.content) // 2 :]:
            new.put(key, old.content[key])
            old.drop(key)
            self._place[key] = len(self._chunks) - 1
        self._unwritten |= {number, len(self._chunks) - 1}

    def _write(self, name: str, value: Any) -> None:
        if self._store is None:
            return
        try:
            self._store.set(name, value)
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            return
        raise LedgerError(f"The ledger of the batch could not be written ({reason})")

    def write_value(self, name: str, value: Any) -> None:
        """Keep a value beside the entries.

        :raises LedgerError: when the store did not take it.
        """
        self._write(name, value)

    def read_value(self, name: str) -> Any:
        """Return a value from beside the entries.

        :raises LedgerError: when the store does not answer.
        """
        try:
            return self._store.get(name) if self._store is not None else None
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise LedgerError(f"The ledger of the batch could not be read ({reason})")

    # -- for others -----------------------------------------------------------------------------------

    def carry(self) -> dict[str, Any] | None:
        """Return the whole ledger for a trigger to carry, where no store keeps it."""
        if self._store is not None:
            return None
        entries = {key: _dump(entry) for key, entry in self._entries.items()}
        return {"head": _dump_head(self.head), "entries": entries}

    def show(self, progress: dict[str, Any]) -> None:
        """Show progress in the task state, where Airflow's UI and API show it; never fails a run."""
        try:
            self._write(PROGRESS_KEY, progress)
        except LedgerError:
            return


def _size(key: str, value: dict[str, Any]) -> int:
    return len(json.dumps(value)) + len(key) + 6


def _name(number: int) -> str:
    return f"{HEAD_KEY}_{number:04d}"


def _dump_head(head: BatchRecord) -> dict[str, Any]:
    return head.model_dump(mode="json", exclude_none=True)


def _dump(entry: ItemRecord) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
