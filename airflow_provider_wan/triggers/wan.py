"""The triggers: thin waiters on the shared poller. Their kwargs are plain text in Airflow's database."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wan.client.polling.cancelling import by_connection, cancel, cancel_all, overdue
from airflow_provider_wan.client.polling.times import LINGER_SECONDS
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.hooks.wan import WanHook, shared_hook
from airflow_provider_wan.triggers import shares
from airflow_provider_wan.triggers.killed import as_trigger_sees, is_to_be_cancelled, kill_reason_of
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.triggers.task_log import TaskLogger

if TYPE_CHECKING:
    from airflow_provider_wan.client.polling.window import SearchItem, WindowItem, WindowOutcome

CANCEL_SECONDS = 25.0

T = TypeVar("T")

_background: set[asyncio.Task[Any]] = set()
"""Cancels under way: the event loop itself keeps only weak references to tasks."""


class WanTrigger(TaskLogger, BaseTrigger):
    """What the triggers share: how they are stored, and what a kill of the Airflow task means.

    Airflow's database holds the class path and the kwargs: both are promises to what an older release has stored.
    """

    kwargs_stored: ClassVar[tuple[str, ...]]
    """Attributes that are also parameters; nothing secret and no prompt is among them."""

    wan_conn_id: str
    cancel_on_kill: bool = False
    durable: bool = True
    survives_clear: bool = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs."""
        kwargs = {name: getattr(self, name) for name in self.kwargs_stored}
        if self.survives_clear:
            # Left out where it says nothing, so that a triggerer of an older release takes the kwargs.
            kwargs["survives_clear"] = True
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    @property
    def handles(self) -> list[TaskHandle]:
        """The vendor's tasks that are waited for."""
        return []

    async def _hook(self, until: datetime) -> WanHook:
        """Return a hook that knows its account; while the connection cannot be looked up, the wait goes on.

        :raises Exception: what the look-up raised last, when ``until`` has passed.
        """
        return await shared_hook(self.wan_conn_id, until, self._say)

    async def on_kill(self) -> None:
        """Cancel the vendor's tasks when a person killed the Airflow task.

        Airflow 3.3.2 cancels this coroutine again after about a second, and also calls it when the trigger
        merely moves to another triggerer; so the work is done in a task of its own, and only after asking what
        became of the Airflow task. One that was cleared runs again and adopts the vendor's task.
        """
        if self.cancel_on_kill:
            await asyncio.shield(_kept(self._cancel_if_killed()))

    async def _cancel_if_killed(self) -> None:
        reason, handles = as_trigger_sees(await kill_reason_of(self.task_instance)), self.handles
        if not is_to_be_cancelled(reason, durable=self.durable, survives_clear=self.survives_clear):
            what = f"Task {handles[0].task_id} is" if len(handles) == 1 else f"{len(handles)} tasks are"
            await self._write(f"{what} left alone: {reason.text}")
            return
        # Airflow closes this log after about a second; a slower vendor's answer stands in the triggerer's own.
        what = f"task {handles[0].task_id}" if len(handles) == 1 else f"what is queued of {len(handles)} tasks"
        await self._write(
            f"Cancelling {what}: {reason.text}. The outcome is logged here, "
            "or in the triggerer's log if this one ends first"
        )
        await self._write(await self._cancel(WanHook(self.wan_conn_id), handles))

    async def _cancel(self, hook: WanHook, handles: list[TaskHandle]) -> str:
        """Cancel what can be cancelled; return a sentence that says what became of it."""
        return (await cancel(hook.aget_conn, handles[0], CANCEL_SECONDS)).message


class WanTaskTrigger(WanTrigger):
    """Waits until one task ends or its deadline passes, then fires one event.

    :param handle: the task handle as a plain dict.
    :param deadline: ISO 8601 moment at which the wait is a time-out.
    :param poll_interval: seconds between two looks at the task.
    :param cancel_on_kill: cancel the task when a person kills the Airflow task (Airflow 3.3 and newer).
    :param cancel_on_timeout: cancel the task at the deadline.
    :param durable: whether the next try of the Airflow task would find and adopt the vendor's task.
    :param profile: what tasks of the same kind share, to learn how long they take.
    :param survives_clear: whether it would even if the clear deletes Airflow's task state.
    """

    kwargs_stored = (
        "wan_conn_id",
        "handle",
        "deadline",
        "poll_interval",
        "cancel_on_kill",
        "cancel_on_timeout",
        "durable",
        "profile",
    )

    def __init__(
        self,
        wan_conn_id: str,
        handle: dict[str, Any],
        deadline: str,
        poll_interval: float = 15.0,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        durable: bool = True,
        profile: str = "",
        survives_clear: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wan_conn_id = wan_conn_id
        self._handle: dict[str, Any] | TaskHandle = handle
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.durable = durable
        self.profile = profile
        self.survives_clear = survives_clear

    @property
    def handle(self) -> dict[str, Any]:
        """The task handle as a plain dict."""
        return self._handle.to_dict() if isinstance(self._handle, TaskHandle) else self._handle

    @property
    def handles(self) -> list[TaskHandle]:
        """The task, as a list."""
        return [TaskHandle.of(self._handle)]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the shared poller and fire the ending."""
        deadline = datetime.fromisoformat(self.deadline)
        hook = await self._hook(deadline)
        # There are thousands of these: what they know is kept once, and they wait in this very frame.
        handle = self._handle = TaskHandle.of(self._handle)
        self.wan_conn_id, self.profile = sys.intern(str(self.wan_conn_id)), sys.intern(str(self.profile))
        async with await hook.aget_poller() as poller:
            _freeze_imports()
            shares.join(poller, self.task_instance)
            try:
                ending = await poller.wait(
                    handle,
                    deadline,
                    self.poll_interval,
                    self.profile,
                    self._say,
                    # A sensor, which names no profile, waits for a task that is another task instance's.
                    owner_of(self.task_instance) if self.profile else "",
                )
            finally:
                shares.leave(poller, self.task_instance)
        if ending.status is EndingStatus.TIMEOUT and self.cancel_on_timeout:
            outcome = await asyncio.shield(_kept(cancel(hook.aget_conn, handle, CANCEL_SECONDS)))
            ending = Ending(ending.status, ending.task, f"{ending.message}. {outcome.message}")
        await self._all_written()
        chosen = {"wan_conn_id": handle.wan_conn_id} if handle.wan_conn_id else {}
        yield TriggerEvent(ending.to_event() | chosen)


@cache
def _freeze_imports() -> None:
    """Keep what is loaded by now out of all garbage collections, once in a process.

    A full one passes over all that Airflow and its providers have imported, and holds the loop for 0.1 to 0.2 s.
    """
    gc.freeze()


def _kept(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


class WanBatchTrigger(WanTrigger):
    """Waits for a window of tasks and fires one event when enough of them have ended.

    :param window: the tasks in the short form of :class:`airflow_provider_wan.client.polling.window.WindowItem`.
    :param enough: endings that are worth waking a worker for.
    :param poll_interval: seconds between two looks at a task.
    :param wake_at: ISO 8601 moment to fire at in any case.
    :param linger: seconds that a first ending waits for company.
    :param carry: what the event hands back where there is no task state store.
    :param searches: lost submissions to look for meanwhile, as ``searches_to_dict`` gives them; digests stand for
        prompts.
    :param stops_at_failure: fire as soon as one task has brought no video.
    """

    kwargs_stored = (
        "wan_conn_id",
        "window",
        "enough",
        "poll_interval",
        "wake_at",
        "linger",
        "cancel_on_kill",
        "cancel_on_timeout",
        "durable",
        "carry",
    )

    def __init__(
        self,
        wan_conn_id: str,
        window: list[list[Any]],
        enough: int,
        poll_interval: float = 15.0,
        wake_at: str | None = None,
        linger: float = LINGER_SECONDS,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        durable: bool = True,
        carry: dict[str, Any] | None = None,
        searches: dict[str, Any] | None = None,
        survives_clear: bool = False,
        stops_at_failure: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stops_at_failure = stops_at_failure
        self.wan_conn_id = wan_conn_id
        self.window = window
        self.enough = enough
        self.poll_interval = poll_interval
        self.wake_at = wake_at
        self.linger = linger
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.durable = durable
        self.carry = carry
        self.searches = searches
        self.survives_clear = survives_clear

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs."""
        path, kwargs = super().serialize()
        searches = {"searches": self.searches} if self.searches else {}
        return path, kwargs | searches | ({"stops_at_failure": True} if self.stops_at_failure else {})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the shared poller for all tasks and fire what ended."""
        from airflow_provider_wan.client.polling.window import WindowItem, names_all, searches_of

        window = [WindowItem.of(item) for item in self.window]
        wake_at = datetime.fromisoformat(self.wake_at) if self.wake_at else None
        searches = searches_of(self.searches)
        deadlines = [item.deadline for item in window] + [search.deadline for search in searches]
        # Of several accounts one that cannot be looked up holds nobody up.
        until = max(deadlines, default=wake_at or utc_now())
        hook = WanHook(self.wan_conn_id) if names_all(window, searches) else await self._hook(until)
        outcome = await self._wait(hook, window, wake_at, searches)
        await self._all_written()
        if self.cancel_on_timeout:
            await asyncio.shield(_kept(self._cancel_at_each(hook, overdue(window, outcome.endings))))
        yield TriggerEvent(outcome.to_event() | {"carry": self.carry})

    async def _wait(
        self, hook: WanHook, window: list[WindowItem], wake_at: datetime | None, searches: list[SearchItem]
    ) -> WindowOutcome:
        from airflow_provider_wan.client.polling.window import names_all

        owner = owner_of(self.task_instance)
        wait = partial(
            hook.await_some,
            window,
            self.poll_interval,
            self.enough,
            wake_at,
            self.linger,
            searches,
            owner,
            on_failure=self._say,
            is_ended_by_failure=self.stops_at_failure,
        )
        if names_all(window, searches):
            # Of several accounts each has a budget of its own, and nobody knows how the others are shared.
            return await wait()
        async with await hook.aget_poller() as poller:
            _freeze_imports()
            shares.join(poller, self.task_instance)
            try:
                return await wait()
            finally:
                shares.leave(poller, self.task_instance)

    @property
    def handles(self) -> list[TaskHandle]:
        """The tasks of the window."""
        from airflow_provider_wan.client.polling.window import WindowItem

        return [WindowItem.of(item).handle for item in self.window]

    async def _cancel_at_each(self, hook: WanHook, handles: list[TaskHandle]) -> int:
        """Cancel what can be cancelled, each task at its own account; return how many were."""
        groups = by_connection(handles, self.wan_conn_id)
        hooks = {name: hook if name == self.wan_conn_id else WanHook(name) for name in groups}
        calls = (cancel_all(hooks[name].aget_conn, found) for name, found in groups.items())
        # A connection that is gone keeps the others from nothing.
        done = await asyncio.gather(*calls, return_exceptions=True)
        return sum(count for count in done if isinstance(count, int))

    async def _cancel(self, hook: WanHook, handles: list[TaskHandle]) -> str:
        cancelled = await self._cancel_at_each(hook, handles)
        return (
            f"{cancelled} tasks were cancelled while queued (not billed); {len(handles) - cancelled} run on and may be "
            "billed; they stay recorded"
        )


class WanPauseTrigger(WanTrigger):
    """Wakes the task up again at a moment: a throttled submission waits without holding a worker.

    :param moment: ISO 8601.
    :param since: ISO 8601, when the first of these pauses began.
    :param record: the record of a submission, handed back in the event where no task state store keeps it.
    :param turn: the moment at which it is the task's turn to submit, in seconds since the epoch; handed back.
    """

    kwargs_stored = ("moment", "since", "record")

    def __init__(
        self, moment: str, since: str, record: dict[str, Any] | None = None, turn: float | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.since = since
        self.record = record
        self.turn = turn

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs."""
        path, kwargs = super().serialize()
        return path, kwargs | ({} if self.turn is None else {"turn": self.turn})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the moment."""
        left = (datetime.fromisoformat(self.moment) - utc_now()).total_seconds()
        with shares.present(self.task_instance):
            await asyncio.sleep(max(0.0, left))
        turn = {} if self.turn is None else {"turn": self.turn}
        yield TriggerEvent({"since": self.since, "record": self.record} | turn)


class WanSearchTrigger(WanTrigger):
    """Looks for a submission whose answer was lost, then fires what the vendor's task list says.

    :param sought: what to look for, as :meth:`Sought.to_dict` of ``client.recovery`` gives it;
        digests stand for the prompt.
    :param deadline: ISO 8601 moment at which to come back without an answer.
    :param since: ISO 8601, when the task began to look for it; handed back, as is ``record``.
    :param record: the record of a submission, where no task state store keeps it.
    """

    kwargs_stored = ("wan_conn_id", "sought", "deadline", "since", "record")

    def __init__(
        self, wan_conn_id: str, sought: dict[str, Any], deadline: str, since: str, record: dict[str, Any] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wan_conn_id = wan_conn_id
        self.sought = sought
        self.deadline = deadline
        self.since = since
        self.record = record

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the account's shared search and fire the clue."""
        from airflow_provider_wan.client.recovery.search import Sought

        deadline = datetime.fromisoformat(self.deadline)
        hook = await self._hook(deadline)
        with shares.present(self.task_instance):
            clue = await hook.await_clue(Sought.of(self.sought), deadline, self._say)
        await self._all_written()
        yield TriggerEvent({"since": self.since, "record": self.record, "clue": clue.to_dict()})
