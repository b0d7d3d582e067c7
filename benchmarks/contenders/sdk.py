"""The official SDK's calls, as the contenders that are built on it use them."""

from __future__ import annotations

from typing import Any

import dashscope
from dashscope import VideoSynthesis

from benchmarks.contenders.base import VIDEO


def configure(url: str, key: str) -> None:
    dashscope.base_http_api_url = f"{url}/api/v1"
    dashscope.api_key = key


class PollError(Exception):
    """A query was not answered with a task."""


def query(task_id: str) -> str | None:
    """Ask once for a task, blocking; return its outcome, ``None`` while it has none.

    :raises PollError: for an answer that is no task.
    """
    answer = VideoSynthesis.fetch(task_id)
    if answer.status_code != 200 or answer.output is None:
        raise PollError(f"HTTP {answer.status_code}")
    return None if answer.output.task_status in ("PENDING", "RUNNING") else outcome(answer)


def outcome(answer: Any) -> str:
    """Read a final answer of the SDK."""
    if answer.status_code != 200 or answer.output is None:
        return f"HTTP {answer.status_code}"
    if answer.output.task_status == "SUCCEEDED" and answer.output.video_url:
        return VIDEO
    return str(answer.output.task_status).lower()
