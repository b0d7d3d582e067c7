"""PowerTokens: OpenAI-style video tasks.

Follows https://docs.powertokens.ai/en/zmodelVideo/ali/text-to-video, .../wan2.7-i2v-first-last-frame,
.../reference-to-video and .../wan3.0-video-generation; the query follows the gateway's sibling pages
(https://docs.powertokens.ai/en/minimax/query-video-status), since Wan has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api, request_id_in
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.rules.request import Family, family_of
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import (
    Vendor,
    cannot,
    check_schemes,
    merge,
    path_part,
    undocumented,
    without_none,
)
from airflow_provider_wan.client.vendors.failures import Failure, Problem
from airflow_provider_wan.client.vendors.media_array import media
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

OLD_PROMPT_LIMIT = 800


class PowerTokens(Vendor):
    """PowerTokens, whose result may stand behind its own authenticated content endpoint."""

    name = "powertokens"
    has_content_endpoint = True
    title = "PowerTokens"
    parameter_names = {
        "size": "resolution",
        "seconds": "duration",
        "media": {
            Mode.IMAGE_TO_VIDEO: "first_frame, last_frame, first_clip or driving_audio",
            Mode.REFERENCE_TO_VIDEO: "reference_images, reference_videos or first_frame",
            Mode.VIDEO_EDIT: "video or reference_images",
        },
    }
    default_host = "api.powertokens.ai"
    default_models = {
        Mode.TEXT_TO_VIDEO: "wan2.7-t2v",
        Mode.IMAGE_TO_VIDEO: "wan2.7-i2v",
        Mode.REFERENCE_TO_VIDEO: "wan2.7-r2v",
        Mode.VIDEO_EDIT: "wan2.7-videoedit",
    }
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
        "cancelled": TaskStatus.CANCELLED,
        "canceled": TaskStatus.CANCELLED,
        "unknown": TaskStatus.UNKNOWN,
    }
    cost_of_failure = " (failed tasks are refunded)"
    failure_codes = (
        # What stands behind the gateway speaks in its message: the code says only that it failed.
        ("~arrearage", Failure.BILLING),
        ("~overdue", Failure.BILLING),
        ("~free allocated quota exceeded", Failure.BILLING),
        ("~internalerror", Failure.SERVER),
        ("~request timeout", Failure.SERVER),
        ("~failed to find the requested media resource", Failure.REQUEST),
        ("~failed to download", Failure.SERVER),
        ("~throttling", Failure.THROTTLED),
        ("~invalidparameter", Failure.REQUEST),
        ("insufficient_", Failure.BILLING),
        ("~insufficient balance", Failure.BILLING),
        ("~insufficient credit", Failure.BILLING),
        ("~insufficient quota", Failure.BILLING),
        ("~insufficient user quota", Failure.BILLING),
        ("~quota is not enough", Failure.BILLING),
        ("~balance is not enough", Failure.BILLING),
        ("~balance is too low", Failure.BILLING),
        ("invalid_request", Failure.REQUEST),
        ("invalid_parameter", Failure.REQUEST),
        ("InvalidParameter", Failure.REQUEST),
        ("task_not_exist", Failure.NOT_FOUND),
        ("rate_limit", Failure.THROTTLED),
    )

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what PowerTokens cannot express, or does not document."""
        is_3 = family_of(model) is Family.WAN_3_0
        if request.webhook_url:
            yield cannot(self.title, "webhook_url", request.webhook_url)
        schemes = ("http", "https", "asset", "data") if is_3 else ("http", "https")
        yield from check_schemes(self.title, media_urls(request), schemes)
        if is_3:
            if request.duration == -1:
                yield undocumented(self.title, "duration", request.duration)
            if request.ratio == "21:9":
                yield undocumented(self.title, "ratio", request.ratio)
            # Its page of Wan 3.0 has no such switches; at their defaults they are left out.
            if request.watermark:
                yield undocumented(self.title, "watermark", request.watermark)
            if not request.prompt_extend:
                yield undocumented(self.title, "prompt_extend", request.prompt_extend)
            return
        match request:
            case TextToVideoRequest():
                if request.ratio and request.ratio != "16:9":
                    yield undocumented(self.title, "ratio", request.ratio)
                if request.audio_url:
                    yield undocumented(self.title, "audio_url", request.audio_url)
            case ReferenceToVideoRequest():
                for name in ("reference_images", "reference_videos"):
                    for index, item in enumerate(getattr(request, name)):
                        if item.voice:
                            yield undocumented(self.title, f"{name}[{index}].voice", item.voice)
            case VideoEditRequest():
                yield undocumented(self.title, "mode", request.mode)

    def has_ratio(self, request: VideoRequest, model: str) -> bool:
        """Whether the model has a ratio in this mode."""
        return not (isinstance(request, ImageToVideoRequest) and family_of(model) is Family.WAN_2_7)

    def remarks(self, request: VideoRequest, model: str) -> Iterator[str]:
        """Yield where this vendor's page is narrower or a field has no effect."""
        yield from super().remarks(request, model)
        length = len(request.prompt or "")
        if isinstance(request, TextToVideoRequest) and length > OLD_PROMPT_LIMIT and family_of(model) is Family.WAN_2_7:
            yield (
                f"prompt has {length} characters: PowerTokens' page says {OLD_PROMPT_LIMIT}, the model takes 5000; "
                "the rest may be cut off"
            )

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return ``POST /v1/videos``."""
        body = merge(_body(request, self.model_of(request)), request.extra_body)
        return Call("submit", "POST", "/v1/videos", json=body)

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
            urls = [f"{base_url}/v1/videos/{path_part(handle.task_id)}/content"]
        default_expiry = later(finished, self.result_lifetime) if urls else None
        word = text_or_none(content["status"], 40)
        message = text_or_none(error.get("message") or content.get("error_message") or content.get("fail_reason"))
        if (word or "").lower() == "expired" and message is None:
            message = "the task expired at the vendor before it finished"
        return VideoTask(
            task_id=handle.task_id,
            vendor=self.name,
            mode=handle.mode,
            model=handle.model,
            status=status,
            raw_status=word,
            video_url=urls[0] if urls else None,
            video_urls=urls,
            url_expires_at=unix_time(content.get("expires_at")) or default_expiry,
            duration=_seconds(content.get("seconds")),
            submitted_at=unix_time(content.get("created_at")) or handle.submitted_at,
            finished_at=finished,
            usage=usage_of(content.get("usage")),
            request_id=_request_id(content, answer) or handle.request_id,
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


def _body(request: VideoRequest, model: str) -> dict[str, Any]:
    is_3 = family_of(model) is Family.WAN_3_0
    ratio = request.ratio
    if isinstance(request, ImageToVideoRequest) and family_of(model) is Family.WAN_2_7:
        ratio = None
    if isinstance(request, TextToVideoRequest) and not is_3 and ratio == "16:9":
        # The default, and the page of text-to-video has no such field.
        ratio = None
    # "size" is the resolution tier here, and seconds are a string.
    return without_none(
        model=model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        media=list(media(request, is_3)) or None,
        audio_url=getattr(request, "audio_url", None),
        size=request.resolution,
        seconds=str(request.duration),
        ratio=ratio,
        generate_audio=request.generate_audio,
        prompt_extend=None if is_3 and request.prompt_extend else request.prompt_extend,
        watermark=None if is_3 and not request.watermark else request.watermark,
        seed=request.seed,
        audio_setting=getattr(request, "audio_setting", None),
    )
