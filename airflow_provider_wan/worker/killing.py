"""Cancels a task within a few seconds: the last request of a worker that has to stop."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience

if TYPE_CHECKING:
    from airflow_provider_wan.hooks.wan import WanHook

KILL_SECONDS = 3.0
"""What a worker that is killed has; Airflow ends it for good two seconds later."""

CANCEL_SECONDS = 25.0


def cancel_within(seconds: float, hook: WanHook, handle: TaskHandle) -> str:
    """Cancel a task with one request; return what became of it, after ``seconds`` at the latest.

    :param hook: one that knows its account: a killed worker has no time to look it up.
    """
    said = [f"Task {handle.task_id} could not be cancelled (no answer): it may run on and be billed"]
    # A thread of its own: neither a name server nor an answer that trickles in may hold the worker.
    thread = threading.Thread(target=lambda: said.append(_cancel(hook, handle, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return said[-1]


def _cancel(hook: WanHook, handle: TaskHandle, seconds: float) -> str:
    from airflow_provider_wan.triggers.wan import told

    try:
        with WanClient(replace(hook.account, timeout=seconds)) as client:
            return told(hook, handle, client.cancel_task(handle, Patience(tries=1)))
    except WanError as error:
        return f"Task {handle.task_id} could not be cancelled ({error}): it may run on and be billed"
