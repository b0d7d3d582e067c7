"""One account at one vendor: what a request is, what may be sent, how a task is waited for.

In: requests, handles and an account; out: handles, tasks and errors. It imports no Airflow, stores nothing and reads no
configuration. What users take from here are the models: requests, handles and tasks.
"""

from __future__ import annotations

from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
)
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask

__all__ = [
    "ImageToVideoRequest",
    "Mode",
    "ReferenceToVideoRequest",
    "TaskHandle",
    "TaskStatus",
    "TextToVideoRequest",
    "VideoEditRequest",
    "VideoTask",
]
