"""Where each item's video goes, and how videos follow when their rows move.

An item is known by its request, its place by the row: a row that is put in front of the others shifts their
numbers, and its video would land on theirs.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.client.errors import Violation, WanError

if TYPE_CHECKING:
    from airflow_provider_wan.batch.ledger import BatchLedger
    from airflow_provider_wan.batch.records import ItemRecord

log = logging.getLogger(__name__)

UNKNOWN_TASK = "{task_id}"
ASIDE = ".moving"
"""Ends the name of a video on its way from one row's place to another's."""

CHUNK = 4 * 1024 * 1024


class Targets:
    """Says where videos go.

    :param pattern: the operator's ``store_to``: a folder, or a pattern.
    """

    def __init__(self, pattern: str | None) -> None:
        self._pattern = pattern

    def is_wanted(self, item: Item) -> bool:
        """Whether the item's video is to be stored."""
        return bool(item.store_to or self._pattern)

    def of(self, item: Item, task_id: str) -> str:
        """Return the URI for the video of an item."""
        names = {"{id}": item.id, "{index}": str(item.index), "{task_id}": task_id}
        pattern = str(item.store_to or self._pattern)
        if item.store_to is None and not any(name in pattern for name in names):
            pattern = pattern.rstrip("/") + "/{id}.mp4"
        if pattern.endswith("/"):
            pattern += "{task_id}.mp4"
        for name, value in names.items():
            pattern = pattern.replace(name, _as_file_name(value))
        return pattern

    def clashes(self, items: Iterable[Item]) -> Iterator[Violation]:
        """Yield a violation for each place that more than one video would take."""
        wanted = [item for item in items if self.is_wanted(item)]
        targets = Counter(self.of(item, UNKNOWN_TASK) for item in wanted)
        for target, count in targets.items():
            if count > 1 and UNKNOWN_TASK not in target:
                ids = [item.id for item in wanted if self.of(item, UNKNOWN_TASK) == target]
                yield Violation(
                    "store_to",
                    "gives every video a place of its own",
                    f"{target} for rows {', '.join(ids[:5])}",
                    "put {id}, {index} or {task_id} into it",
                    hard=True,
                )


class Holders:
    """Knows which entry's video lies where, so that one that is overwritten is not taken for stored any more."""

    def __init__(self, ledger: BatchLedger) -> None:
        self._ledger = ledger
        self._keys = {entry.stored["uri"]: key for key, entry in ledger if entry.stored}

    def take(self, key: str, stored: dict[str, Any] | None) -> None:
        """Note where the video of ``key`` lies now."""
        self._ledger.put(key, self._ledger.get(key).model_copy(update={"stored": stored}))
        if stored is None:
            return
        former = self._keys.get(stored["uri"])
        self._keys[stored["uri"]] = key
        if former is not None and former != key:
            entry = self._ledger.get(former)
            if entry.stored and entry.stored["uri"] == stored["uri"]:
                self._ledger.put(former, entry.model_copy(update={"stored": None}))


def follow(items: Iterable[Item], ledger: BatchLedger, targets: Targets) -> None:
    """Bring stored videos to where their rows want them now, before anything else is stored.

    Every step leaves a ledger that is true: first all are copied to targets that nobody else takes, then moved in.

    :raises LedgerError: when the ledger could not be written.
    :raises WanError: when the storage did not do it; nothing was submitted.
    """
    moves = [(item, target) for item in items if (target := _new_place(item, ledger, targets))]
    if not moves:
        return
    log.info("%d stored videos follow their rows to new places", len(moves))
    holders = Holders(ledger)
    for item, target in moves:
        aside = f"{target}.{ledger.get(item.key).task_id}{ASIDE}"
        holders.take(item.key, _carried(item, ledger.get(item.key), aside, is_aside=True))
    ledger.flush()
    for item, target in moves:
        holders.take(item.key, _carried(item, ledger.get(item.key), target, is_aside=False))
    ledger.flush()


def _new_place(item: Item, ledger: BatchLedger, targets: Targets) -> str | None:
    entry = ledger.get(item.key)
    if not entry.stored or not entry.task_id or not targets.is_wanted(item):
        return None
    target = targets.of(item, entry.task_id)
    return target if entry.stored["uri"] != target else None


def _carried(item: Item, entry: ItemRecord, target: str, *, is_aside: bool) -> dict[str, Any] | None:
    """Bring one video to ``target``; ``None`` when it is no more where it was stored, so that it is landed again."""
    from airflow_provider_wan.delivery.landing import is_stored

    stored = entry.stored
    if stored is None or (is_aside and stored["uri"].endswith(ASIDE)):
        return stored
    there = stored | {"uri": target}
    try:
        if is_stored(stored):
            _bring(stored["uri"], target, is_copy=is_aside)
            return there
        if is_stored(there):
            return there
    except Exception as error:  # noqa: BLE001 - whatever the storage raises
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        log.warning("The video of row %s is no more at %s", item.id, stored["uri"])
        return None
    raise WanError(
        f"The video of row {item.id} could not be brought from {stored['uri']} to {target} ({reason}); nothing was "
        "submitted",
        retryable=True,
    )


def _bring(uri: str, target: str, *, is_copy: bool) -> None:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_wan.delivery.landing import move

    source, path = ObjectStoragePath(uri), ObjectStoragePath(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_copy and source.samestore(path):
        move(source, path)
        return
    with source.open("rb") as file, path.open("wb") as copy:
        shutil.copyfileobj(file, copy, CHUNK)


def _as_file_name(value: str) -> str:
    return value.replace("/", "_").replace("\\", "_").lstrip(".") or "_"
