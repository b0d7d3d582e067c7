"""One wait on the shared poller: between the poller's task, which observes, and the caller's, which is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.vendors.base import Vendor
from airflow_provider_wan.client.waiting import Ending, Watch


class Waiter:
    """One wait: its watch, and what it has not told yet.

    Observations are made in the poller's task, but told in the waiter's own, so that each line lands in
    the log of the task it is about. There are as many as there are tasks in flight, so that it is kept small: one
    future while it waits, and no event, no lock, no task of its own.
    """

    __slots__ = ("_bell", "_changes", "_is_news", "_timer", "answers", "ending", "watch")

    def __init__(self, handle: TaskHandle, vendor: Vendor, deadline: datetime) -> None:
        self.watch = Watch(handle, vendor, deadline, self._change)
        self.ending: Ending | None = None
        self.answers = 0
        self._changes: list[str] | None = None
        self._is_news = False
        self._bell: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _change(self, what: str) -> None:
        self._changes = [*(self._changes or ()), what]
        self._ring()

    def take(self, ending: Ending | None) -> None:
        """Keep the first ending and wake the caller."""
        if ending is not None and self.ending is None:
            self.ending = ending
            self._ring()

    def see(self, task: VideoTask) -> None:
        """Take an answer about the task."""
        self.answers += 1
        self.take(self.watch.see(task))
        self._ring()

    def _ring(self) -> None:
        self._is_news = True
        self._wake()

    def _wake(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def news(self, seconds: float) -> asyncio.Future[None]:
        """Return what is done when there is news, or when ``seconds`` are over."""
        self.rest()
        loop = asyncio.get_running_loop()
        self._bell = loop.create_future()
        if self._is_news:
            self._wake()
        else:
            self._timer = loop.call_later(max(0.0, seconds), self._wake)
        return self._bell

    def tell(self, tell: Callable[[str], None] | None) -> None:
        """Tell the news."""
        self._is_news = False
        changes, self._changes = self._changes, None
        if tell is not None:
            for change in changes or ():
                tell(change)

    def rest(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
