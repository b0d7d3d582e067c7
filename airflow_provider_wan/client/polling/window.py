"""Waiting for a window of tasks: until enough of them have ended to be worth a worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_wan.client.polling.poller import Poller
from airflow_provider_wan.client.polling.watch import Ending
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


class _Window:
    """The waits of a window, and what they brought."""

    def __init__(self) -> None:
        self.endings: dict[str, Ending] = {}
        self.failure: BaseException | None = None
        self.news = asyncio.Event()
        self.pending: set[asyncio.Task[Ending]] = set()

    def add(self, key: str, task: asyncio.Task[Ending]) -> None:
        # One callback each: asyncio.wait() would touch all the waits again for every ending.
        self.pending.add(task)
        task.add_done_callback(lambda done: self._take(key, done))

    def _take(self, key: str, task: asyncio.Task[Ending]) -> None:
        self.pending.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            self.failure = failure
        else:
            self.endings[key] = task.result()
        self.news.set()

    async def hear(self, seconds: float) -> bool:
        """Wait for the next endings; return whether any came."""
        self.news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), None if seconds == float("inf") else max(0.0, seconds))
        if self.failure is not None:
            raise self.failure
        return self.news.is_set()

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
) -> dict[str, Ending]:
    """Wait until ``enough`` tasks have ended, all have, or the first ending has waited long; return what ended.

    :param enough: endings that are worth waking a worker for.
    :param wake_at: moment to return at in any case (something can be submitted then).
    :param linger: seconds that a first ending waits for company.
    """
    waits = _Window()
    loop = asyncio.get_running_loop()
    until = loop.time() + (wake_at - utc_now()).total_seconds() if wake_at else float("inf")
    most = min(MOST_ENDINGS, len(window))
    wanted = min(enough, most) if window else 1
    try:
        for item in window:
            wait = poller.wait(item.handle, item.deadline, poll_interval, item.profile, on_change)
            waits.add(item.key, asyncio.create_task(wait))
        is_lingering = False
        while len(waits.endings) < wanted and loop.time() < until:
            if waits.endings and not is_lingering:
                is_lingering = True
                until = min(until, loop.time() + linger)
            await waits.hear(until - loop.time())
        # Tasks end in bunches, and each look at the list shows all that ended since the last: take them together.
        until = loop.time() + min(linger, LONGEST_SETTLE)
        while 0 < len(waits.endings) < most and loop.time() < until and await waits.hear(SETTLE_SECONDS):
            continue
        # What does not fit into one event is simply waited for again.
        return dict(list(waits.endings.items())[:MOST_ENDINGS])
    finally:
        await waits.close()
