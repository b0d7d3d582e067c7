"""One wait on the shared poller: between the poller's task, which observes, and the caller's, which is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.vendors.base import Vendor
from airflow_provider_wan.client.waiting import Ending, Watch


class Waiter:
    """One wait: its watch, and what it has not told yet.

    Observations are made in the poller's task, but told in the waiter's own, so that each line lands in
    the log of the task it is about.
    """

    def __init__(self, handle: TaskHandle, vendor: Vendor, deadline: datetime) -> None:
        self.changes: list[str] = []
        self.watch = Watch(handle, vendor, deadline, self._change)
        self.ending: Ending | None = None
        self.answers = 0
        self.news = asyncio.Event()

    def _change(self, what: str) -> None:
        self.changes.append(what)
        self.news.set()

    def take(self, ending: Ending | None) -> None:
        """Keep the first ending and wake the caller."""
        if ending is not None and self.ending is None:
            self.ending = ending
            self.news.set()

    def see(self, task: VideoTask) -> None:
        """Take an answer about the task."""
        self.answers += 1
        self.take(self.watch.see(task))
        self.news.set()

    async def hear(self, seconds: float, tell: Callable[[str], None]) -> bool:
        """Await news and tell them; false when none came within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.news.wait()
        is_news = self.news.is_set()
        self.news.clear()
        changes, self.changes = self.changes, []
        for change in changes:
            tell(change)
        return is_news
