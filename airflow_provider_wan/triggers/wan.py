"""The triggers: thin waiters on the shared poller. Their kwargs are plain text in Airflow's database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wan.batch.cancelling import cancel_all, cancel_overdue
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.polling.window import LINGER_SECONDS, WindowItem
from airflow_provider_wan.client.recovery.search import Sought
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.hooks.wan import WanHook, shared_hook
from airflow_provider_wan.triggers.killed import Fate, fate_of
from airflow_provider_wan.triggers.task_log import TaskLogger

CANCEL_PATIENCE = Patience(tries=3)
CANCEL_SECONDS = 25.0

T = TypeVar("T")

_background: set[asyncio.Task[Any]] = set()
"""Cancels under way: the event loop itself keeps only weak references to tasks."""


class WanTaskTrigger(TaskLogger, BaseTrigger):
    """Waits until one task ends or its deadline passes, then fires one event.

    :param handle: the task handle as a plain dict.
    :param deadline: ISO 8601 moment at which the wait is a time-out.
    :param poll_interval: seconds between two looks at the task.
    :param cancel_on_kill: cancel the task when a person kills the Airflow task (Airflow 3.3 and newer).
    :param cancel_on_timeout: cancel the task at the deadline.
    :param durable: whether the next try of the Airflow task would find and adopt the vendor's task.
    :param profile: what tasks of the same kind share, to learn how long they take.
    """

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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs; nothing secret and no user data is among them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "wan_conn_id": self.wan_conn_id,
                "handle": self.handle,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "cancel_on_kill": self.cancel_on_kill,
                "cancel_on_timeout": self.cancel_on_timeout,
                "durable": self.durable,
                "profile": self.profile,
            },
        )

    @property
    def handle(self) -> dict[str, Any]:
        """The task handle as a plain dict."""
        return self._handle.to_dict() if isinstance(self._handle, TaskHandle) else self._handle

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the shared poller and fire the ending."""
        hook = await shared_hook(self.wan_conn_id)
        # There are thousands of these: what they know is kept once, and they wait in this very frame.
        handle = self._handle = TaskHandle.of(self._handle)
        self.wan_conn_id, self.profile = sys.intern(str(self.wan_conn_id)), sys.intern(str(self.profile))
        async with await hook.aget_poller() as poller:
            ending = await poller.wait(
                handle, datetime.fromisoformat(self.deadline), self.poll_interval, self.profile, self._say
            )
        if ending.status is EndingStatus.TIMEOUT and self.cancel_on_timeout:
            said = await asyncio.shield(_kept(cancel(hook, handle)))
            ending = Ending(ending.status, ending.task, f"{ending.message}. {said}")
        await self._all_written()
        yield TriggerEvent(ending.to_event())

    async def on_kill(self) -> None:
        """Cancel the vendor's task when a person killed the Airflow task.

        Airflow 3.3.2 cancels this coroutine again after about a second, and also calls it when the trigger
        merely moves to another triggerer; so the work is done in a task of its own, and only after asking what
        became of the Airflow task. One that was cleared runs again and adopts the vendor's task.
        """
        if self.cancel_on_kill:
            await asyncio.shield(_kept(self._cancel_if_killed()))

    async def _cancel_if_killed(self) -> None:
        fate = await fate_of(self.task_instance)
        handle = TaskHandle.of(self._handle)
        if fate is not Fate.ENDED and not (fate is Fate.RESTARTED and not self.durable):
            await self._write(f"Task {handle.task_id} is left alone: {fate.story}")
            return
        # Airflow closes this log after about a second; a slower vendor's answer stands in the triggerer's own.
        await self._write(
            f"Cancelling task {handle.task_id}: {fate.story}. What comes of it is told here, "
            "or in the triggerer's log if this one ends first"
        )
        await self._write(await cancel(WanHook(self.wan_conn_id), handle))


def _kept(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


async def cancel(hook: WanHook, handle: TaskHandle) -> str:
    """Cancel a task as far as the vendor lets; return a sentence that says what became of it."""
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            is_cancelled = await hook.acancel_task(handle, CANCEL_PATIENCE)
    except (WanError, TimeoutError) as error:
        why = str(error) or "no answer"
        return f"Task {handle.task_id} could not be cancelled ({why}): it may run on and be billed"
    return told(hook, handle, is_cancelled)


def told(hook: WanHook, handle: TaskHandle, is_cancelled: bool) -> str:
    """Say what a cancel did."""
    if is_cancelled:
        return f"Task {handle.task_id} was cancelled while queued: it is not billed"
    can = "cancels queued tasks only" if hook.vendor.has_cancel else "cannot cancel tasks"
    return (
        f"Task {handle.task_id} runs on and will be billed: {hook.vendor.title} {can}. "
        "It stays recorded, so the next run of this task adopts it"
    )


class WanBatchTrigger(TaskLogger, BaseTrigger):
    """Waits for a window of tasks and fires one event when enough of them have ended.

    :param window: the tasks in the short form of :class:`airflow_provider_wan.client.polling.window.WindowItem`.
    :param enough: endings that are worth waking a worker for.
    :param poll_interval: seconds between two looks at a task.
    :param wake_at: ISO 8601 moment to fire at in any case.
    :param linger: seconds that a first ending waits for company.
    :param carry: what the event hands back where there is no task state store.
    """

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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs; nothing secret and no prompt is among them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "wan_conn_id": self.wan_conn_id,
                "window": self.window,
                "enough": self.enough,
                "poll_interval": self.poll_interval,
                "wake_at": self.wake_at,
                "linger": self.linger,
                "cancel_on_kill": self.cancel_on_kill,
                "cancel_on_timeout": self.cancel_on_timeout,
                "durable": self.durable,
                "carry": self.carry,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the shared poller for all tasks and fire what ended."""
        hook = WanHook(self.wan_conn_id)
        window = [WindowItem.of(item) for item in self.window]
        wake_at = datetime.fromisoformat(self.wake_at) if self.wake_at else None
        endings = await hook.await_some(window, self.poll_interval, self.enough, wake_at, self.linger)
        if self.cancel_on_timeout:
            await asyncio.shield(_kept(cancel_overdue(hook, window, endings)))
        yield TriggerEvent({"endings": {key: item.to_event() for key, item in endings.items()}, "carry": self.carry})

    async def on_kill(self) -> None:
        """Cancel what is queued when a person killed the Airflow task; see :meth:`WanTaskTrigger.on_kill`."""
        if self.cancel_on_kill:
            await asyncio.shield(_kept(self._cancel_if_killed()))

    async def _cancel_if_killed(self) -> None:
        fate = await fate_of(self.task_instance)
        if fate is not Fate.ENDED and not (fate is Fate.RESTARTED and not self.durable):
            await self._write(f"{len(self.window)} tasks are left alone: {fate.story}")
            return
        await self._write(
            f"Cancelling what is queued of {len(self.window)} tasks: {fate.story}. "
            "What comes of it is told here, or in the triggerer's log"
        )
        cancelled, rest = await cancel_all(
            WanHook(self.wan_conn_id), [WindowItem.of(item).handle for item in self.window]
        )
        await self._write(
            f"{cancelled} tasks were cancelled while queued (not billed); {rest} run on and may be billed; "
            "they stay recorded"
        )


class WanPauseTrigger(BaseTrigger):
    """Wakes the task up again at a moment: a throttled submission waits without holding a worker.

    :param moment: ISO 8601.
    :param since: ISO 8601, when the first of these pauses began.
    :param record: the record of a submission, handed back in the event where no task state store keeps it.
    """

    def __init__(self, moment: str, since: str, record: dict[str, Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.since = since
        self.record = record

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"moment": self.moment, "since": self.since, "record": self.record},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the moment."""
        left = (datetime.fromisoformat(self.moment) - utc_now()).total_seconds()
        await asyncio.sleep(max(0.0, left))
        yield TriggerEvent({"since": self.since, "record": self.record})


class WanSearchTrigger(TaskLogger, BaseTrigger):
    """Looks for a submission whose answer was lost, then fires what the vendor's task list says.

    :param sought: what to look for, as :meth:`Sought.to_dict` of ``client.recovery`` gives it;
        digests stand for the prompt.
    :param deadline: ISO 8601 moment at which to come back without an answer.
    :param since: ISO 8601, when the task began to look for it; handed back, as is ``record``.
    :param record: the record of a submission, where no task state store keeps it.
    """

    def __init__(
        self, wan_conn_id: str, sought: dict[str, Any], deadline: str, since: str, record: dict[str, Any] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wan_conn_id = wan_conn_id
        self.sought = sought
        self.deadline = deadline
        self.since = since
        self.record = record

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the kwargs; nothing secret and no prompt is among them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "wan_conn_id": self.wan_conn_id,
                "sought": self.sought,
                "deadline": self.deadline,
                "since": self.since,
                "record": self.record,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Await the account's shared search and fire the clue."""
        deadline = datetime.fromisoformat(self.deadline)
        clue = await WanHook(self.wan_conn_id).await_clue(Sought.of(self.sought), deadline, self._say)
        await self._all_written()
        yield TriggerEvent({"since": self.since, "record": self.record, "clue": clue.to_dict()})
