"""Cancels tasks, and says what became of each and what it cost: for triggers, workers, batches and paid calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.transport.client import AsyncWanClient, WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import Vendor

if TYPE_CHECKING:
    from airflow_provider_wan.client.polling.window import WindowItem

CANCEL_SECONDS = 25.0
"""For one task, where nobody is in a hurry."""

CANCEL_PATIENCE = Patience(tries=3)
HURRIED = Patience(tries=1)
THREADS = 8

Connect = Callable[[], Awaitable[AsyncWanClient]]


@dataclass(frozen=True)
class CancelOutcome:
    """What became of a cancellation.

    :param is_cancelled: ``None`` when it is not known, because the vendor gave no answer.
    :param message: a sentence that names the task and says what it costs.
    """

    is_cancelled: bool | None
    message: str


def outcome_of(vendor: Vendor, handle: TaskHandle, is_cancelled: bool) -> CancelOutcome:
    """Say what the vendor's answer to a cancellation means."""
    if is_cancelled and vendor.cancels_by_deleting:
        return CancelOutcome(True, f"Task {handle.task_id} was deleted at the server before it ended")
    if is_cancelled:
        return CancelOutcome(True, f"Task {handle.task_id} was cancelled while queued: it is not billed")
    can = "cancels queued tasks only" if vendor.has_cancel else "cannot cancel tasks"
    if vendor.cancels_by_deleting:
        can = "did not delete it (it has ended, or this server deletes only what has)"
    return CancelOutcome(
        False,
        f"Task {handle.task_id} runs on and will be billed: {vendor.title} {can}. "
        "It stays recorded, so the next run of this task adopts it",
    )


def no_outcome(handle: TaskHandle, why: Exception | None = None) -> CancelOutcome:
    """Say that nothing is known of a cancellation."""
    reason = str(why or "") or "no answer"
    return CancelOutcome(None, f"Task {handle.task_id} could not be cancelled ({reason}): it may run on and be billed")


async def cancel(connect: Connect, handle: TaskHandle, seconds: float = CANCEL_SECONDS) -> CancelOutcome:
    """Cancel a task as far as the vendor lets.

    :param connect: returns a client of the task's account; whatever goes wrong there is part of the outcome.
    """
    try:
        async with asyncio.timeout(seconds), await connect() as client:
            return outcome_of(client.vendor, handle, await client.cancel_task(handle, CANCEL_PATIENCE))
    except (WanError, TimeoutError) as error:
        return no_outcome(handle, error)


async def cancel_all(connect: Connect, handles: list[TaskHandle]) -> int:
    """Cancel as many tasks as the vendor lets, within the account's budget; return how many were cancelled."""
    done = 0
    if handles:
        with contextlib.suppress(TimeoutError, WanError):
            async with asyncio.timeout(max(CANCEL_SECONDS, len(handles))), await connect() as client:
                for handle in handles if client.vendor.has_cancel else ():
                    with contextlib.suppress(WanError):
                        done += await client.cancel_task(handle, CANCEL_PATIENCE)
                    await asyncio.sleep(1.0 / client.account.queries_per_second)
    return done


def by_connection(handles: Iterable[TaskHandle], default: str) -> dict[str, list[TaskHandle]]:
    """Return tasks by the connection that each was made on."""
    found: dict[str, list[TaskHandle]] = {}
    for handle in handles:
        found.setdefault(handle.wan_conn_id or default, []).append(handle)
    return found


def overdue(window: Iterable[WindowItem], endings: dict[str, Ending]) -> list[TaskHandle]:
    """Return the tasks of a window whose wait was a time-out."""
    return [item.handle for item in window if item.key in endings and endings[item.key].status is EndingStatus.TIMEOUT]


def cancel_now(client: WanClient, handle: TaskHandle, patience: Patience = HURRIED) -> CancelOutcome:
    """Cancel a task from a worker."""
    try:
        return outcome_of(client.vendor, handle, client.cancel_task(handle, patience))
    except WanError as error:
        return no_outcome(handle, error)


def cancel_within(seconds: float, account: Account, handle: TaskHandle) -> CancelOutcome:
    """Cancel a task with one request; return what became of it, after ``seconds`` at the latest.

    :param account: already read: a killed worker has no time to look it up.
    """
    found = [no_outcome(handle)]

    def work() -> None:
        with WanClient(replace(account, timeout=seconds)) as client:
            found.append(cancel_now(client, handle))

    # A thread of its own: neither a name server nor an answer that trickles in may hold the worker.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[-1]


def cancel_all_within(seconds: float, client: WanClient, handles: list[TaskHandle]) -> int:
    """Cancel what can be cancelled in the seconds that a killed worker has; return how many were."""
    if not handles or not client.vendor.has_cancel:
        return 0
    until = time.monotonic() + seconds

    def work(handle: TaskHandle) -> bool:
        return time.monotonic() < until and bool(cancel_now(client, handle).is_cancelled)

    pool = ThreadPoolExecutor(THREADS, "wan-cancel")
    futures = [pool.submit(work, handle) for handle in handles]
    done, _ = wait(futures, seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return sum(future.result() for future in done)


def abandon(client: WanClient, handle: TaskHandle) -> CancelOutcome:
    """Cancel a task that is not wanted any more, where it is one of this client's vendor."""
    if handle.vendor != client.vendor.name:
        return no_outcome(handle, WanError(f"it is one of {handle.vendor}"))
    outcome = cancel_now(client, handle, Patience(tries=2))
    if outcome.is_cancelled is False:
        return CancelOutcome(False, f"Task {handle.task_id} cannot be cancelled; if it still runs, it is billed")
    return outcome
