"""The shared poller: one per event loop and account, however many tasks are waited for.

It owns the client, the clock and the waiters; what is asked next is decided in ``schedule``, when a wait
ends in ``watch``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanAuthError, WanError, WanQuotaError, WanRequestError, WanResponseError
from airflow_provider_wan.client.observers import observers
from airflow_provider_wan.client.polling.finder import Finder
from airflow_provider_wan.client.polling.times import TIMES, PollingTimes
from airflow_provider_wan.client.polling.waiter import Waiter
from airflow_provider_wan.client.polling.watch import UNDECIDED_LIMIT, Ending
from airflow_provider_wan.client.recovery.search import Catalogue, Clue, Sought
from airflow_provider_wan.client.schedule.asks import Ask, Query
from airflow_provider_wan.client.schedule.schedule import Schedule
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import AsyncWanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import TaskPage

log = logging.getLogger(__name__)

ONCE = Patience(tries=1)
Refresh = Callable[[], Awaitable[Account]]


class Poller:
    """Waits for any number of tasks of one account; ends with its last waiter.

    :param refresh: reads the account again when its key is refused (it may have been rotated), or when nothing has been
        answered for minutes (it may have moved to another host).
    """

    def __init__(self, account: Account, refresh: Refresh | None = None, times: PollingTimes = TIMES) -> None:
        self._times = times
        self.identities = {account.identity}
        """What it goes by: vendor, host and the fingerprints of the keys it has used."""
        self._client = AsyncWanClient(account)
        self._refresh = refresh
        self._reread_at = -math.inf
        self._refreshing = asyncio.Lock()
        self._refusals = 0
        self._refused_at = self._refused_since = -math.inf
        self._answered_at = time.monotonic()
        self._has_worked = False
        """Whether this key has ever been answered."""
        self._is_throttled = False
        self._schedule = Schedule(account.queries_per_second, self._client.vendor.list_tells_time)
        self._catalogue = Catalogue()
        self._finder = Finder(self.ask, self._catalogue)
        self._waiters: dict[str, tuple[Waiter, ...]] = {}
        self._promises: dict[Ask, list[asyncio.Future[VideoTask | TaskPage]]] = {}
        self._wake = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._users = 0

    async def __aenter__(self) -> Poller:
        if self._users == 0:
            _pollers.setdefault(asyncio.get_running_loop(), []).append(self)
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0:
            _pollers[asyncio.get_running_loop()].remove(self)
            # A trigger that is cancelled twice must not leave the connections open.
            await asyncio.shield(asyncio.create_task(self.aclose()))

    async def wait(
        self,
        handle: TaskHandle,
        deadline: datetime,
        interval: float = 15.0,
        profile: str = "",
        on_change: Callable[[str], None] | None = None,
        owner: str = "",
    ) -> Ending:
        """Wait until the task ends or the deadline passes; errors of the vendor are borne.

        :param deadline: the moment (aware) at which the wait ends with a time-out, after one more look.
        :param interval: seconds between two looks at the task, and until the first one.
        :param profile: what tasks of the same kind share, to learn how long they take.
        :param on_change: called, in the caller's own context, with a sentence when the state changes.
        :param owner: who waits: nobody else's search takes this task for its own.
        """
        self._finder.note_owner(handle.task_id, owner)
        waiter = Waiter(handle, self._client.vendor, deadline, self._times)
        self._waiters[handle.task_id] = (*self._waiters.get(handle.task_id, ()), waiter)
        age = max(0.0, (utc_now() - handle.submitted_at).total_seconds())
        self._schedule.add(handle, interval, profile or handle.model, time.monotonic(), age)
        self._rouse()
        earliest = utc_now() + timedelta(seconds=min(interval, self._times.soonest))
        deadline = max(deadline, earliest)
        try:
            # One frame for each of thousands of waits: what is awaited for hours is awaited here.
            while waiter.ending is None and (left := _seconds_to(deadline)) > 0:
                await waiter.change(left)
                waiter.report(on_change)
            if waiter.ending is None:
                await self._look_once_more(waiter, on_change)
            while (left := _seconds_to(earliest)) > 0:
                await waiter.change(left)
                waiter.report(on_change)
            ending = waiter.ending or waiter.time_out()
            for observer in observers:
                observer.ended(ending.task)
            return ending
        finally:
            waiter.rest()
            self._let_go(handle.task_id, waiter)

    async def find(self, sought: Sought, deadline: datetime, tell: Callable[[str], None] = lambda _: None) -> Clue:
        """Look in the task list for a lost submission, together with everybody else who looks; see :class:`Finder`."""
        return await self._finder.find(sought, deadline, tell)

    async def ask(self, ask: Ask) -> VideoTask | TaskPage:
        """Ask the vendor once, within the account's budget; two who ask the same share the answer.

        :raises WanError: when it brought no readable answer.
        """
        promise: asyncio.Future[VideoTask | TaskPage] = asyncio.get_running_loop().create_future()
        promises = self._promises.setdefault(ask, [])
        promises.append(promise)
        if len(promises) == 1:
            self._schedule.take_guest(ask)
        self._rouse()
        try:
            return await promise
        finally:
            if promise in promises:
                promises.remove(promise)
            if not promises and self._promises.get(ask) is promises:
                del self._promises[ask]
                self._schedule.drop_guest(ask)

    @property
    def waits(self) -> int:
        """How many tasks are waited for."""
        return len(self._waiters)

    def take_part(self, part: float) -> None:
        """Take this part of the account's budget: pollers in other processes have the rest."""
        self._schedule.take_part(part)
        self._wake.set()

    def _keep_promises(self, ask: Ask, answer: VideoTask | TaskPage | WanError) -> None:
        for promise in self._promises.pop(ask, ()):
            if promise.done():
                continue
            if isinstance(answer, WanError):
                promise.set_exception(answer)
            else:
                promise.set_result(answer)

    def _rouse(self) -> None:
        if self._loop is None or self._loop.done():
            # In a context of its own: it outlives the trigger that happened to start it, and that one's log.
            self._loop = asyncio.create_task(self._run(), context=Context())
        self._wake.set()

    async def _look_once_more(self, waiter: Waiter, on_change: Callable[[str], None] | None) -> None:
        """Ask again: the task may have finished since the last look, or during an outage."""
        known = waiter.answers
        self._schedule.hurry(waiter.handle.task_id)
        self._wake.set()
        until = time.monotonic() + self._times.last_look
        while waiter.ending is None and waiter.answers == known and time.monotonic() < until:
            await waiter.change(until - time.monotonic())
            waiter.report(on_change)

    def _let_go(self, task_id: str, waiter: Waiter) -> None:
        others = tuple(one for one in self._waiters.get(task_id, ()) if one is not waiter)
        if others:
            self._waiters[task_id] = others
        else:
            self._waiters.pop(task_id, None)
            self._schedule.remove(task_id)
        self._wake.set()

    # -- the loop -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._waiters or self._promises:
            self._wake.clear()
            step = self._step()
            if not isinstance(step, float):
                task = asyncio.create_task(self._carry_out(step))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(step) else step):
                    await self._wake.wait()

    def _step(self) -> Ask | float:
        try:
            return self._schedule.next(time.monotonic())
        except Exception:
            # No bug in a decision may leave the waits of all tasks without anybody who asks.
            log.exception("The poller could not decide what to ask; it tries again")
            return self._times.after_bug

    async def _carry_out(self, ask: Ask) -> None:
        client, sent = self._client, time.monotonic()
        try:
            answer: VideoTask | TaskPage
            if isinstance(ask, Query):
                answer = await client.get_task(ask.handle, ONCE)
            else:
                answer = await client.run(client.flows.page(ask.wanted, ask.number, ONCE))
        except WanError as error:
            await self._take_error(ask, error, client, sent)
            self._keep_promises(ask, error)
        except Exception as error:
            # No bug in reading one answer may end the waits of all tasks.
            log.exception("An answer could not be read")
            told = WanResponseError(f"an answer could not be read: {type(error).__name__}")
            await self._take_error(ask, told, client, sent)
            self._keep_promises(ask, told)
        else:
            self._take_answer(ask, answer, client)
            self._keep_promises(ask, answer)
        finally:
            self._wake.set()

    def _take_answer(self, ask: Ask, answer: VideoTask | TaskPage, client: AsyncWanClient) -> None:
        self._schedule.answered(ask, answer, time.monotonic())
        self._refusals = 0
        self._is_throttled = False
        self._answered_at = time.monotonic()
        if client is self._client:
            self._has_worked = True
        if isinstance(answer, VideoTask):
            if self._client.vendor.list_tells_time:
                self._catalogue.note(answer)
            for waiter in self._waiters.get(answer.task_id, ()):
                waiter.see(answer)
            return
        for row in answer.tasks:
            for waiter in self._waiters.get(row.task_id, ()):
                waiter.see_row(row)

    # -- errors ---------------------------------------------------------------------------------------

    async def _take_error(self, ask: Ask, error: WanError, client: AsyncWanClient, sent: float) -> None:
        log.debug("%s: %s", ask, error)
        self._schedule.failed(ask, error, time.monotonic())
        is_of_all = False
        if isinstance(error, WanAuthError):
            if await self._has_new_account(client):
                return
            is_of_all = self._count_refusal(error, sent)
        elif isinstance(error, WanRequestError | WanQuotaError):
            # An answer all the same: the host is the right one.
            self._answered_at = time.monotonic()
            if isinstance(error, WanQuotaError) and not self._is_throttled:
                self._is_throttled = True
                log.info("%s. It is asked less often for a while; the waits go on", error.message)
        elif time.monotonic() - self._answered_at >= self._times.trouble and await self._has_new_account(client):
            return
        if isinstance(ask, Query):
            for waiter in self._waiters.get(ask.handle.task_id, ()):
                if is_of_all:
                    waiter.see_trouble(error)
                else:
                    waiter.see_error(error)

    def _count_refusal(self, error: WanAuthError, sent: float) -> bool:
        """Return whether the account as such is refused, and not one task only.

        A key that has never worked ends all waits when it is refused again and again, with nothing answered in between;
        one that has, will again.
        """
        now = time.monotonic()
        if sent < self._refused_at:
            # Under way together with one that was counted.
            return self._has_worked or self._refusals > 1
        if self._refusals == 0:
            self._refused_since = now
        self._refusals += 1
        self._refused_at = now
        has_lasted = now - self._refused_since >= self._times.refused
        if self._refusals >= UNDECIDED_LIMIT and has_lasted and not self._has_worked:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.take(waiter.give_up(error))
        return self._refusals > 1

    async def _has_new_account(self, failed: AsyncWanClient) -> bool:
        """Read the account again after a refusal or long trouble; go on with the new one if it knows our tasks."""
        async with self._refreshing:
            if failed is not self._client:
                return True
            if self._refresh is None or time.monotonic() - self._reread_at < self._times.reread:
                return False
            self._reread_at = time.monotonic()
            try:
                async with asyncio.timeout(self._times.rereading):
                    account = await self._refresh()
                renewed = AsyncWanClient(account)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with what was read, the old account stays
                log.warning("The connection could not be read again: %s", type(error).__name__)
                return False
            old = self._client.account
            if account.identity == old.identity or account.vendor != old.vendor:
                return False
            if account.base_url != old.base_url and not await self._knows_our_tasks(renewed):
                log.warning(
                    "The connection leads to another host now, which does not know the tasks at %s: it is not taken",
                    self._client.vendor.title,
                )
                await renewed.aclose()
                return False
            self._retire(self._client)
            self._client = renewed
            self._has_worked = False
            self.identities.add(account.identity)
            log.info(
                "The connection to %s was read again and has changed: the waits go on with it", renewed.vendor.title
            )
            return True

    async def _knows_our_tasks(self, renewed: AsyncWanClient) -> bool:
        """Ask another host for one of the tasks: one that does not know it is not our account's."""
        waiter = next((one for ones in self._waiters.values() for one in ones), None)
        if waiter is None:
            return False
        try:
            task = await renewed.get_task(waiter.handle, ONCE)
        except WanError:
            return False
        return task.status is not TaskStatus.UNKNOWN

    def _retire(self, client: AsyncWanClient) -> None:
        """Close a client when the requests under way are through."""
        others = self._asking - {asyncio.current_task()}

        async def close() -> None:
            if others:
                await asyncio.wait(others)
            await client.aclose()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Stop asking and close the connections."""
        tasks = [task for task in (self._loop, *self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        for promises in self._promises.values():
            for promise in promises:
                promise.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._client.aclose()


def _seconds_to(moment: datetime) -> float:
    return (moment - utc_now()).total_seconds()


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Poller]] = WeakKeyDictionary()
"""Those in use, by running loop, because ``dag.test()`` runs one loop after another in one process."""


def shared_poller(account: Account, refresh: Refresh | None = None, times: PollingTimes = TIMES) -> Poller:
    """Return the poller of ``account`` in this event loop, to be used with ``async with``; the last user closes it.

    :param refresh: reads the account again, for the poller that is made here; ``times`` are for it, too.
    """
    pollers = _pollers.get(asyncio.get_running_loop(), ())
    return next((one for one in pollers if account.identity in one.identities), None) or Poller(account, refresh, times)
