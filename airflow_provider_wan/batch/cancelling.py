"""Cancels many tasks: those that are overdue, and all of them when the batch is killed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.polling.window import WindowItem
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.transport.flows import Patience

if TYPE_CHECKING:
    from airflow_provider_wan.hooks.wan import WanHook

CANCEL_PATIENCE = Patience(tries=3)
CANCEL_SECONDS = 25.0
KILL_PATIENCE = Patience(tries=1)
KILL_SECONDS = 4.0
"""A worker that is killed has a few seconds."""

KILL_THREADS = 8


async def cancel_all(hook: WanHook, handles: list[TaskHandle]) -> tuple[int, int]:
    """Cancel as many tasks as the vendor lets, within its budget; return how many were and were not."""
    done = 0
    with contextlib.suppress(TimeoutError, WanError):
        async with asyncio.timeout(max(CANCEL_SECONDS, len(handles))), await hook.aget_conn() as client:
            if client.vendor.has_cancel:
                for handle in handles:
                    with contextlib.suppress(WanError):
                        done += await client.cancel_task(handle, CANCEL_PATIENCE)
                    await asyncio.sleep(1.0 / client.account.queries_per_second)
    return done, len(handles) - done


async def cancel_overdue(hook: WanHook, window: Iterable[WindowItem], endings: dict[str, Ending]) -> tuple[int, int]:
    """Cancel the tasks whose wait was a time-out; what could be cancelled is not billed."""
    late = [waited.handle for waited in window if waited.key in endings and _is_late(endings[waited.key])]
    return await cancel_all(hook, late) if late else (0, 0)


def _is_late(ending: Ending) -> bool:
    return ending.status is EndingStatus.TIMEOUT


def cancel_before_exit(hook: WanHook, handles: list[TaskHandle]) -> int:
    """Cancel what can be cancelled in the seconds that a killed worker has; return how many were."""
    if not handles or not hook.vendor.has_cancel:
        return 0
    client, until = hook.get_conn(), time.monotonic() + KILL_SECONDS

    def cancel(handle: TaskHandle) -> bool:
        with contextlib.suppress(WanError):
            return time.monotonic() < until and client.cancel_task(handle, KILL_PATIENCE)
        return False

    pool = ThreadPoolExecutor(KILL_THREADS, "wan-cancel")
    futures = [pool.submit(cancel, handle) for handle in handles]
    done, _ = wait(futures, KILL_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    return sum(future.result() for future in done)
