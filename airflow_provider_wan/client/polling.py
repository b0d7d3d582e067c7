"""The shared poller: one per event loop and account, however many tasks are waited for.

It owns the client, the clock and the waiters; what is asked next is decided in ``schedule``, when a wait
ends in ``waiting``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakKeyDictionary

from airflow_provider_wan.client.client import AsyncWanClient
from airflow_provider_wan.client.errors import WanAuthError, WanError, WanResponseError
from airflow_provider_wan.client.exchange import Account
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.schedule import Ask, Query, Schedule
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskPage, Vendor
from airflow_provider_wan.client.waiting import Ending, Watch

log = logging.getLogger(__name__)

ONCE = Patience(tries=1)
LAST_LOOK_SECONDS = 20.0

Refresh = Callable[[], Awaitable[Account]]


class _Waiter:
    """One wait: its watch, and what it has not told yet.

    Observations are made in the poller's task, but told in the waiter's own, so that each line lands in
    the log of the task it is about.
    """

    def __init__(self, handle: TaskHandle, vendor: Vendor, deadline: datetime) -> None:
        self.changes: list[str] = []
        self.watch = Watch(handle, vendor, deadline, self.changes.append)
        self.ending: Ending | None = None
        self.news = asyncio.Event()

    def take(self, ending: Ending | None) -> None:
        self.ending = self.ending or ending
        self.news.set()

    def told(self) -> list[str]:
        changes = list(self.changes)
        self.changes.clear()
        self.news.clear()
        return changes


class Poller:
    """Waits for any number of tasks of one account; ends with its last waiter.

    :param refresh: reads the account again when its key is refused once (it may have been rotated).
    """

    def __init__(self, account: Account, refresh: Refresh | None = None) -> None:
        self._client = AsyncWanClient(account)
        self._refresh = refresh
        self._has_refreshed = False
        self._schedule = Schedule(account.queries_per_second, self._client.vendor.list_tells_time)
        self._waiters: dict[str, list[_Waiter]] = {}
        self._profiles: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    async def wait(
        self,
        handle: TaskHandle,
        deadline: datetime,
        interval: float = 15.0,
        profile: str = "",
        on_change: Callable[[str], None] | None = None,
    ) -> Ending:
        """Wait until the task ends or the deadline passes; errors of the vendor are borne.

        :param deadline: the moment (aware) at which the wait ends with a time-out.
        :param interval: seconds between two looks at the task.
        """
        waiter = _Waiter(handle, self._client.vendor, deadline)
        self._waiters.setdefault(handle.task_id, []).append(waiter)
        self._profiles[handle.task_id] = profile or handle.model
        age = max(0.0, (utc_now() - handle.submitted_at).total_seconds())
        self._schedule.add(handle, interval, self._profiles[handle.task_id], time.monotonic(), age)
        if self._loop is None or self._loop.done():
            # In a context of its own: it outlives the trigger that happened to start it, and that one's log.
            self._loop = asyncio.create_task(self._run(), context=Context())
        self._wake.set()
        try:
            return await self._wait(waiter, deadline, on_change or (lambda _: None))
        finally:
            self._let_go(handle.task_id, waiter)

    async def _wait(self, waiter: _Waiter, deadline: datetime, on_change: Callable[[str], None]) -> Ending:
        is_last_look = False
        while True:
            left = LAST_LOOK_SECONDS if is_last_look else (deadline - utc_now()).total_seconds()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left)):
                    await waiter.news.wait()
            is_news = waiter.news.is_set()
            for change in waiter.told():
                on_change(change)
            ending = waiter.ending or (waiter.watch.see_time(max(utc_now(), deadline)) if is_last_look else None)
            if ending is not None:
                return ending
            if not is_news:
                # The task may have finished since the last look, or during an outage: look once more.
                is_last_look = True
                self._schedule.hurry(waiter.watch.handle.task_id)
                self._wake.set()

    def _let_go(self, task_id: str, waiter: _Waiter) -> None:
        others = self._waiters.get(task_id, [])
        if waiter in others:
            others.remove(waiter)
        if not others:
            self._waiters.pop(task_id, None)
            self._profiles.pop(task_id, None)
            self._schedule.remove(task_id)
        self._wake.set()

    # -- the loop -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._waiters:
            step = self._schedule.next(time.monotonic())
            if not isinstance(step, float):
                task = asyncio.create_task(self._carry_out(step))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if math.isinf(step) else step)
        self._loop = None

    async def _carry_out(self, ask: Ask) -> None:
        try:
            answer: VideoTask | TaskPage
            if isinstance(ask, Query):
                answer = await self._client.get_task(ask.handle, ONCE)
            else:
                answer = await self._client.run(self._client.flows.page(ask.wanted, ask.number, ONCE))
        except WanError as error:
            await self._take_error(ask, error)
        except Exception as error:
            # No bug in reading one answer may end the waits of all tasks.
            log.exception("An answer could not be read")
            await self._take_error(ask, WanResponseError(f"an answer could not be read: {type(error).__name__}"))
        else:
            self._schedule.answered(ask, answer, time.monotonic())
            self._has_refreshed = False
            if isinstance(answer, VideoTask):
                self._show(answer)
        finally:
            self._wake.set()

    def _show(self, task: VideoTask) -> None:
        if task.status is TaskStatus.SUCCEEDED and task.submitted_at:
            ended = task.finished_at or utc_now()
            self._schedule.runtimes.learn(
                self._profiles.get(task.task_id, ""), (ended - task.submitted_at).total_seconds()
            )
        for waiter in self._waiters.get(task.task_id, []):
            waiter.take(waiter.watch.see(task))

    async def _take_error(self, ask: Ask, error: WanError) -> None:
        log.debug("%s: %s", ask, error)
        self._schedule.failed(ask, error, time.monotonic())
        if isinstance(error, WanAuthError) and await self._has_new_key():
            return
        if isinstance(error, WanAuthError):
            concerned = list(self._waiters)
        else:
            concerned = [ask.handle.task_id] if isinstance(ask, Query) else []
        for task_id in concerned:
            for waiter in self._waiters.get(task_id, []):
                waiter.take(waiter.watch.see_error(error))

    async def _has_new_key(self) -> bool:
        """Read the account once more after a refusal; go on with the new key if there is one."""
        if self._refresh is None or self._has_refreshed:
            return False
        self._has_refreshed = True
        try:
            account = await self._refresh()
        except Exception as error:  # noqa: BLE001 - whatever a secrets backend raises, the old key stays
            log.warning("The connection could not be read again after its key was refused: %s", type(error).__name__)
            return False
        if account.identity == self._client.account.identity:
            return False
        old, self._client = self._client, AsyncWanClient(account)
        await old.aclose()
        return True

    async def aclose(self) -> None:
        """Stop asking and close the connections."""
        tasks = [task for task in (self._loop, *self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()


@dataclass
class _Shared:
    poller: Poller
    users: int = 0


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, str], _Shared]] = WeakKeyDictionary()
"""By running loop, because ``dag.test()`` runs one loop after another in one process."""


@asynccontextmanager
async def shared_poller(account: Account, refresh: Refresh | None = None) -> AsyncIterator[Poller]:
    """Yield the poller of ``account`` in this event loop; the last user closes it."""
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    shared = pollers.get(account.identity)
    if shared is None:
        shared = pollers[account.identity] = _Shared(Poller(account, refresh))
    shared.users += 1
    try:
        yield shared.poller
    finally:
        shared.users -= 1
        if shared.users == 0:
            pollers.pop(account.identity, None)
            await shared.poller.aclose()
