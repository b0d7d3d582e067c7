"""Waiting for a window of tasks: until enough of them have ended to be worth a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_wan.client.polling import Poller
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.client.waiting import Ending

LINGER_SECONDS = 30.0
"""How long a first ending waits for company before a worker is woken for it."""

MOST_ENDINGS = 200
"""Endings in one event, which is kept in Airflow's database."""


@dataclass(frozen=True)
class Waited:
    """One task of the window.

    :param key: the item's key in the book.
    """

    key: str
    handle: TaskHandle
    deadline: datetime
    profile: str = ""

    def to_list(self) -> list[Any]:
        """Return it in a short form for trigger kwargs."""
        return [self.key, self.handle.to_dict(), self.deadline.isoformat(), self.profile]

    @classmethod
    def of(cls, value: list[Any]) -> Waited:
        """Read the short form."""
        key, handle, deadline, profile = value
        return cls(key, TaskHandle.of(handle), datetime.fromisoformat(deadline), profile)


async def wait_for_some(
    poller: Poller,
    window: list[Waited],
    poll_interval: float,
    enough: int,
    wake_at: datetime | None = None,
    on_change: Callable[[str], None] | None = None,
) -> dict[str, Ending]:
    """Wait until ``enough`` tasks have ended, all have, or the first ending has waited long; return what ended.

    :param enough: endings that are worth waking a worker for.
    :param wake_at: moment to return at in any case (something can be submitted then).
    """
    waits = {
        asyncio.create_task(poller.wait(item.handle, item.deadline, poll_interval, item.profile, on_change)): item.key
        for item in window
    }
    endings: dict[str, Ending] = {}
    first_at: float | None = None
    loop = asyncio.get_running_loop()
    pending: set[asyncio.Task[Ending]] = set(waits)
    try:
        while pending and len(endings) < min(enough, MOST_ENDINGS):
            left = [] if wake_at is None else [(wake_at - utc_now()).total_seconds()]
            left += [] if first_at is None else [first_at + LINGER_SECONDS - loop.time()]
            if left and min(left) <= 0:
                break
            done, pending = await asyncio.wait(
                pending, timeout=min(left, default=None), return_when=asyncio.FIRST_COMPLETED
            )
            endings |= {waits[task]: task.result() for task in done}
            first_at = first_at or (loop.time() if endings else None)
        if not window and wake_at is not None:
            await asyncio.sleep(max(0.0, (wake_at - utc_now()).total_seconds()))
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    # What does not fit into one event is simply waited for again.
    return dict(list(endings.items())[:MOST_ENDINGS])
