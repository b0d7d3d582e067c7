"""From an ending without a video to the error that says what to do."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.client.errors import WanError, WanTaskFailed, WanTaskTimeout
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.vendors import vendor_of


def error_of(ending: Ending) -> WanError:
    """Return the error of an ending that brought no video; permanent ones are not ``retryable``."""
    task = ending.task
    about: dict[str, Any] = {"request_id": task.request_id, "task_id": task.task_id}
    match ending.status:
        case EndingStatus.FAILED:
            return vendor_of(task.vendor).error_of(task)
        case EndingStatus.CANCELLED:
            return WanTaskFailed("The task was cancelled before it ran; it is not billed", retryable=True, **about)
        case EndingStatus.TIMEOUT:
            return WanTaskTimeout(ending.message, retryable=True, **about)
        case _:
            return WanError(ending.message, retryable=True, **about)
