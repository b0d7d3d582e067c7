"""The vendors' HTTP APIs; imports no Airflow. What users take from here are the models: requests, handles and tasks."""

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
