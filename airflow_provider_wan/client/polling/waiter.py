"""One wait on the shared poller: between the poller's task, which observes, and the caller's, which hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.times import TIMES, PollingTimes
from airflow_provider_wan.client.polling.watch import Ending, Watch
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.vendors.base import Vendor


class Waiter(Watch):
    """One wait: a watch, and what it has not passed on yet.

    Observations are made in the poller's task, but passed on in the waiter's own, so that each line lands in
    the log of the task it is about. There are as many as there are tasks in flight, so that it is kept small: one
    future while it waits, and no event, no lock, no task of its own.
    """

    __slots__ = ("_bell", "_changes", "_is_news", "_timer", "answers", "ending")

    def __init__(self, handle: TaskHandle, vendor: Vendor, deadline: datetime, times: PollingTimes = TIMES) -> None:
        super().__init__(handle, vendor, deadline, times=times)
        self.ending: Ending | None = None
        self.answers = 0
        self._changes: tuple[str, ...] = ()
        self._is_news = False
        self._bell: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _report(self, change: str) -> None:
        self._changes += (change,)
        self._ring()

    def take(self, ending: Ending | None) -> None:
        """Keep the first ending and wake the caller."""
        if ending is not None and self.ending is None:
            self.ending = ending
            self._ring()

    def see(self, task: VideoTask) -> Ending | None:
        """Take an answer about the task."""
        self.answers += 1
        ending = super().see(task)
        self.take(ending)
        self._ring()
        return ending

    def see_error(self, error: WanError) -> Ending | None:
        """Take a failed query."""
        ending = super().see_error(error)
        self.take(ending)
        return ending

    def _ring(self) -> None:
        self._is_news = True
        self._wake()

    def _wake(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def change(self, seconds: float) -> asyncio.Future[None]:
        """Return what is done when something has changed, or when ``seconds`` are over."""
        self.rest()
        loop = asyncio.get_running_loop()
        self._bell = loop.create_future()
        if self._is_news:
            self._wake()
        else:
            self._timer = loop.call_later(max(0.0, seconds), self._wake)
        return self._bell

    def report(self, on_change: Callable[[str], None] | None) -> None:
        """Pass on what has changed."""
        self._is_news = False
        changes, self._changes = self._changes, ()
        if on_change is not None:
            for change in changes:
                on_change(change)

    def rest(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
