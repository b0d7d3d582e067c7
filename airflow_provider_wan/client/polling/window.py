"""Waiting for a window of tasks, and looking for lost ones: until enough is known to be worth a worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow_provider_wan.client.polling.poller import Poller
from airflow_provider_wan.client.polling.watch import Ending
from airflow_provider_wan.client.recovery.search import Clue, Sought
from airflow_provider_wan.client.tasks import TaskHandle, utc_now

LINGER_SECONDS = 30.0
LONGEST_LINGER = 300.0
LINGER_PER_ITEM = 0.1
"""A worker that is woken passes over all items, so that the more there are, the more company an ending waits for."""

SETTLE_SECONDS = 2.0
LONGEST_SETTLE = 15.0
"""How quiet it has to become before those that ended are handed on."""

MOST_ENDINGS = 200
"""Endings in one event, which is kept in Airflow's database."""


def linger_for(items: int) -> float:
    """Return how long a first ending waits for company before a worker is woken for it, in seconds."""
    return min(LONGEST_LINGER, max(LINGER_SECONDS, LINGER_PER_ITEM * items))


@dataclass(frozen=True)
class WindowItem:
    """One task of the window.

    :param key: the item's key in the ledger of the batch.
    """

    key: str
    handle: TaskHandle
    deadline: datetime
    profile: str = ""

    def to_list(self) -> list[Any]:
        """Return it in a short form for trigger kwargs, which stand in Airflow's database."""
        handle = self.handle
        place = [handle.vendor, handle.task_id, str(handle.mode), handle.model, handle.submitted_at.isoformat()]
        return [self.key, *place, self.deadline.isoformat(), self.profile]

    @classmethod
    def of(cls, value: list[Any]) -> WindowItem:
        """Read the short form."""
        key, vendor, task_id, mode, model, submitted_at, deadline, profile = value
        handle = TaskHandle(vendor=vendor, task_id=task_id, mode=mode, model=model, submitted_at=submitted_at)
        return cls(key, handle, datetime.fromisoformat(deadline), profile)


@dataclass(frozen=True)
class SearchItem:
    """One submission whose answer was lost, to be looked for beside the waits.

    :param key: the item's key in the ledger of the batch.
    """

    key: str
    sought: Sought
    deadline: datetime


@dataclass(frozen=True)
class WindowOutcome:
    """What a wait brought: tasks that ended, and what searches came to."""

    endings: dict[str, Ending] = field(default_factory=dict)
    clues: dict[str, Clue] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "endings": {key: ending.to_event() for key, ending in self.endings.items()},
            "clues": {key: clue.to_dict() for key, clue in self.clues.items()},
        }

    @classmethod
    def of(cls, event: dict[str, Any]) -> WindowOutcome:
        """Take what ``to_event`` returned, or what 0.1.0 did.

        :raises ValueError: or another of the usual errors, for anything else.
        """
        return cls(
            {key: Ending.from_event(ending) for key, ending in (event.get("endings") or {}).items()},
            {key: Clue.of(clue) for key, clue in (event.get("clues") or {}).items()},
        )


def searches_to_dict(searches: Iterable[SearchItem]) -> dict[str, Any] | None:
    """Return searches in a form for trigger kwargs: what all share, the ids of others' tasks, stands once."""
    items = list(searches)
    if not items:
        return None
    shared = frozenset[str]().union(*(item.sought.not_ours for item in items))
    short = [
        [item.key, replace(item.sought, not_ours=frozenset()).to_dict(), item.deadline.isoformat()] for item in items
    ]
    return {"not_ours": sorted(shared), "items": short}


def searches_of(value: dict[str, Any] | None) -> list[SearchItem]:
    """Read what ``searches_to_dict`` returned."""
    if not value:
        return []
    shared = frozenset(value["not_ours"])
    return [
        SearchItem(key, replace(Sought.of(sought), not_ours=shared), datetime.fromisoformat(deadline))
        for key, sought, deadline in value["items"]
    ]


class _Window:
    """The waits and searches of a window, and what they brought."""

    def __init__(self) -> None:
        self.endings: dict[str, Ending] = {}
        self.clues: dict[str, Clue] = {}
        self.failure: BaseException | None = None
        self.changed = asyncio.Event()
        self.pending: set[asyncio.Task[Any]] = set()

    @property
    def known(self) -> int:
        """How many have come to something."""
        return len(self.endings) + len(self.clues)

    def add(self, work: Coroutine[Any, Any, Any], key: str, found: dict[str, Any]) -> None:
        # One callback each: asyncio.wait() would touch all the waits again for every ending.
        task = asyncio.create_task(work)
        self.pending.add(task)
        task.add_done_callback(lambda done: self._take(key, done, found))

    def _take(self, key: str, task: asyncio.Task[Any], found: dict[str, Any]) -> None:
        self.pending.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            self.failure = failure
        else:
            found[key] = task.result()
        self.changed.set()

    async def next(self, seconds: float) -> bool:
        """Wait for the next endings; return whether any came."""
        self.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), None if seconds == float("inf") else max(0.0, seconds))
        if self.failure is not None:
            raise self.failure
        return self.changed.is_set()

    async def close(self) -> None:
        left = list(self.pending)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def wait_for_some(
    poller: Poller,
    window: list[WindowItem],
    poll_interval: float,
    enough: int,
    wake_at: datetime | None = None,
    linger: float = LINGER_SECONDS,
    on_change: Callable[[str], None] | None = None,
    searches: list[SearchItem] | None = None,
    owner: str = "",
) -> WindowOutcome:
    """Wait until ``enough`` is known, all is, or the first to be known has waited long; return what is known.

    :param enough: endings and clues that are worth waking a worker for.
    :param wake_at: moment to return at in any case (something can be submitted then).
    :param linger: seconds that a first ending waits for company.
    :param searches: lost submissions to look for meanwhile.
    :param owner: who waits: nobody else's search takes one of these tasks for its own.
    """
    waits = _Window()
    loop = asyncio.get_running_loop()
    until = loop.time() + (wake_at - utc_now()).total_seconds() if wake_at else float("inf")
    most = min(MOST_ENDINGS, len(window) + len(searches or []))
    wanted = min(enough, most) if most else 1
    try:
        for item in window:
            wait = poller.wait(item.handle, item.deadline, poll_interval, item.profile, on_change, owner)
            waits.add(wait, item.key, waits.endings)
        for search in searches or []:
            waits.add(poller.find(search.sought, search.deadline), search.key, waits.clues)
        is_lingering = False
        while waits.known < wanted and loop.time() < until:
            if waits.known and not is_lingering:
                is_lingering = True
                until = min(until, loop.time() + linger)
            await waits.next(until - loop.time())
        # Tasks end in bunches, and each look at the list shows all that ended since the last: take them together.
        until = loop.time() + min(linger, LONGEST_SETTLE)
        while 0 < waits.known < most and loop.time() < until and await waits.next(SETTLE_SECONDS):
            continue
        # What does not fit into one event is simply waited for again.
        return WindowOutcome(dict(list(waits.endings.items())[:MOST_ENDINGS]), dict(waits.clues))
    finally:
        await waits.close()
