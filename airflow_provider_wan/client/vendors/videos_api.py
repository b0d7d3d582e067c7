"""What all servers with an OpenAI-style ``/v1/videos`` share: the paths, the video object, its states and errors.

Follows https://platform.openai.com/docs/api-reference/videos; gateways of the new-api family have more words for it.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api, request_id_in
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import Vendor, path_part
from airflow_provider_wan.client.vendors.failures import Problem
from airflow_provider_wan.client.vendors.reading import (
    as_dict,
    id_of,
    later,
    percent,
    text_or_none,
    unix_time,
    urls_in,
    usage_of,
)


class VideosApi(Vendor):
    """``/v1/videos``, whose result may stand behind its own authenticated content endpoint."""

    has_content_endpoint = True
    statuses = {
        "not_start": TaskStatus.PENDING,
        "queued": TaskStatus.PENDING,
        "pending": TaskStatus.PENDING,
        "submitted": TaskStatus.PENDING,
        "in_progress": TaskStatus.RUNNING,
        "running": TaskStatus.RUNNING,
        "processing": TaskStatus.RUNNING,
        "completed": TaskStatus.SUCCEEDED,
        "succeeded": TaskStatus.SUCCEEDED,
        "success": TaskStatus.SUCCEEDED,
        "failed": TaskStatus.FAILED,
        "failure": TaskStatus.FAILED,
        "error": TaskStatus.FAILED,
        "expired": TaskStatus.FAILED,
        "cancelling": TaskStatus.RUNNING,
        "cancelled": TaskStatus.CANCELLED,
        "canceled": TaskStatus.CANCELLED,
        "unknown": TaskStatus.UNKNOWN,
    }

    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return the public task id of the OpenAI-style video object."""
        content = answer.json() or {}
        task_id = id_of(content.get("id"), content.get("task_id"), as_dict(content.get("data")).get("task_id"))
        return (task_id, _request_id(content, answer)) if task_id else None

    def task_call(self, handle: TaskHandle) -> Call:
        """Return ``GET /v1/videos/{id}``."""
        return Call("get_task", "GET", f"/v1/videos/{path_part(handle.task_id)}")

    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task; the video stands in ``metadata.url`` or one of the older places."""
        content = answer.json()
        if content is not None and "status" not in content:
            content = as_dict(content.get("data"))
        if not content or "status" not in content:
            raise not_the_api(self.title, "get_task", answer, "without a task in it", handle.task_id)
        task = self.video(content, handle.task_id, base_url)
        return task.model_copy(
            update={
                "mode": handle.mode,
                "model": handle.model,
                "submitted_at": task.submitted_at or handle.submitted_at,
                "request_id": _request_id(content, answer) or handle.request_id,
            }
        )

    def video(self, content: dict[str, Any], task_id: str, base_url: str = "") -> VideoTask:
        """Return what a video object says of its task."""
        found = (
            as_dict(content.get("metadata")).get("url"),
            content.get("url"),
            content.get("video_url"),
            as_dict(content.get("content")).get("video_url"),
        )
        urls = next(filter(None, (urls_in(value, base_url) for value in found)), [])
        error = as_dict(content.get("error")) or {"message": content.get("error")}
        status = self.status_of(content["status"])
        # Both may stand in every state, and mean an end in those that are ends only.
        times = (unix_time(content.get(name)) for name in ("completed_at", "finished_at", "finish_time"))
        finished = next(filter(None, times), None) if status.is_ended else None
        if status is TaskStatus.SUCCEEDED and not urls and base_url:
            # So that whoever takes the result never gets nothing; it needs the key.
            urls = [f"{base_url}/v1/videos/{path_part(task_id)}/content"]
        default_expiry = later(finished, self.result_lifetime) if urls else None
        word = text_or_none(content["status"], 40)
        message = text_or_none(error.get("message") or content.get("error_message") or content.get("fail_reason"))
        if (word or "").lower() == "expired" and message is None:
            message = "the task expired at the vendor before it finished"
        return VideoTask(
            task_id=task_id,
            vendor=self.name,
            status=status,
            raw_status=word,
            video_url=urls[0] if urls else None,
            video_urls=urls,
            url_expires_at=unix_time(content.get("expires_at")) or default_expiry,
            duration=_seconds(content.get("seconds")),
            submitted_at=unix_time(content.get("created_at")),
            finished_at=finished,
            usage=usage_of(content.get("usage")),
            progress=percent(content.get("progress")),
            error_code=text_or_none(error.get("code")),
            error_message=message,
        )

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"code", "message"}`` or of ``{"error": {…}}``."""
        content = answer.json()
        if content is None or (200 <= answer.status < 300 and ("id" in content or "status" in content)):
            return None
        error = content.get("error")
        envelope = as_dict(error) or ({"message": error} if error else {})
        code = text_or_none(envelope.get("code") or envelope.get("type") or content.get("code"))
        message = text_or_none(envelope.get("message") or content.get("message"))
        if 200 <= answer.status < 300 and not envelope and (code is None or code in ("200", "0", "success")):
            return None
        return self.judge(answer.status, code, message, _request_id(content, answer))

    def key_call(self) -> Call:
        """Return the model list, which needs a key and makes nothing."""
        return Call("test_connection", "GET", "/v1/models")

    def content_url(self, task: VideoTask, account: Account) -> str | None:
        """Return ``/v1/videos/{id}/content``, which needs the key and may redirect to a CDN."""
        return f"{account.base_url}/v1/videos/{path_part(task.task_id)}/content"


def _request_id(content: dict[str, Any], answer: Answer) -> str | None:
    return text_or_none(content.get("request_id") or request_id_in(answer.headers))


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 1e6 else None
