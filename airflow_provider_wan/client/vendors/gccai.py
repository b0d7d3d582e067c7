"""GCCAI and APIMart: one API under two names.

Follows https://gccai.heqingsong.uk/en/api-reference/videos/wan2.7/generation, .../wan2.7-r2v/generation,
https://docs.apimart.ai/en/api-reference/videos/wan2.7-videoedit/generation, .../tasks/status, .../uploads/images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.rules.families import Family, family_of
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors.base import (
    Upload,
    Vendor,
    cannot,
    check_schemes,
    merge,
    path_part,
    undocumented,
    without_none,
)
from airflow_provider_wan.client.vendors.failures import Failure, Problem
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

OLD_MODEL = "wan2.6"
"""Has other names: https://docs.apimart.ai/en/api-reference/videos/wan2.6/generation."""

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,191}")
GOOD_CODES = (None, 200, "200", "success", 0, "0")


class Gccai(Vendor):
    """GCCAI / APIMart, with idempotency keys and image upload."""

    name = "gccai"
    title = "GCCAI"
    parameter_names = {
        "size": "ratio",
        "aspect_ratio": "ratio",
        "image_urls": "reference_images",
        "image_with_roles": {
            Mode.IMAGE_TO_VIDEO: "first_frame or last_frame",
            Mode.REFERENCE_TO_VIDEO: "reference_images or first_frame",
        },
        "video_urls": {
            Mode.IMAGE_TO_VIDEO: "first_clip",
            Mode.REFERENCE_TO_VIDEO: "reference_videos",
            Mode.VIDEO_EDIT: "video",
        },
        "audio_url": {Mode.IMAGE_TO_VIDEO: "driving_audio"},
    }
    default_host = "api.apimart.ai"
    default_models = {
        Mode.TEXT_TO_VIDEO: "wan2.7",
        Mode.IMAGE_TO_VIDEO: "wan2.7",
        Mode.REFERENCE_TO_VIDEO: "wan2.7-r2v",
        Mode.VIDEO_EDIT: "wan2.7-videoedit",
    }
    statuses = {
        "submitted": TaskStatus.PENDING,
        "pending": TaskStatus.PENDING,
        "queued": TaskStatus.PENDING,
        "processing": TaskStatus.RUNNING,
        "in_progress": TaskStatus.RUNNING,
        "running": TaskStatus.RUNNING,
        "completed": TaskStatus.SUCCEEDED,
        "success": TaskStatus.SUCCEEDED,
        "succeeded": TaskStatus.SUCCEEDED,
        "failed": TaskStatus.FAILED,
        "failure": TaskStatus.FAILED,
        "error": TaskStatus.FAILED,
        "cancelled": TaskStatus.CANCELLED,
        "canceled": TaskStatus.CANCELLED,
    }
    has_idempotency_key = True
    upload_types = ("image/jpeg", "image/png", "image/webp", "image/gif")
    upload_bytes = 20 * 1024 * 1024
    upload_lifetime = 72 * 3600.0
    failure_codes = (
        ("~insufficient balance", Failure.BILLING),
        ("~insufficient credit", Failure.BILLING),
        ("insufficient_", Failure.BILLING),
        ("invalid_request", Failure.REQUEST),
        ("invalid_parameter", Failure.REQUEST),
        ("InvalidParameter", Failure.REQUEST),
        ("rate_limit", Failure.THROTTLED),
        ("400", Failure.REQUEST),
        ("422", Failure.REQUEST),
    )

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what GCCAI's pages have no field for, or do not document."""
        if request.webhook_url:
            yield cannot(self.title, "webhook_url", request.webhook_url)
        yield from check_schemes(self.title, media_urls(request), ("http", "https"))
        if request.generate_audio is not None and family_of(model) is not Family.WAN_2_7:
            yield undocumented(self.title, "generate_audio", request.generate_audio)
        # The model of this name looks at the fields present: references would make it an image-to-video task.
        if model == "wan2.7" and request.mode not in (Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO):
            fix = f"remove it, or use {self.default_models[request.mode]}"
            yield Violation("model", f"wan2.7 at {self.title} does not make {request.mode}", repr(model), fix)
        match request:
            case ImageToVideoRequest() if request.first_clip and request.last_frame:
                yield undocumented(self.title, "first_clip, last_frame", request.last_frame)
            case ReferenceToVideoRequest():
                for index, item in enumerate(request.reference_videos):
                    if item.voice:
                        yield cannot(
                            self.title,
                            f"reference_videos[{index}].voice",
                            item.voice,
                            "only reference_images carry a voice there: remove it, or use DashScope or Freepik",
                        )
                for name in ("reference_audios", "document", "link"):
                    if getattr(request, name):
                        yield cannot(self.title, name, getattr(request, name))
            case VideoEditRequest() if request.audio_setting == "origin":
                yield undocumented(self.title, "audio_setting", request.audio_setting)

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return ``POST /v1/videos/generations``; the fields present choose between text and image mode."""
        if idempotency_key is not None and not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
            rule = "has 1 to 191 visible ASCII characters without spaces"
            raise WanRequestError(violations=[Violation("idempotency_key", rule, shorten(idempotency_key), hard=True)])
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = merge(_body(request, self.model_of(request)), request.extra_body)
        return Call("submit", "POST", "/v1/videos/generations", headers=headers, json=body)

    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return the ids of ``{"code": 200, "data": [{"task_id"}]}``; newer answers hold an object with ``id``."""
        content = answer.json() or {}
        data = content.get("data")
        first = as_dict(data[0] if isinstance(data, list) and data else data)
        task_id = id_of(first.get("task_id"), first.get("id"))
        return (task_id, text_or_none(content.get("request_id"))) if task_id else None

    def task_call(self, handle: TaskHandle) -> Call:
        """Return ``GET /v1/tasks/{id}`` with English error texts."""
        return Call("get_task", "GET", f"/v1/tasks/{path_part(handle.task_id)}", params={"language": "en"})

    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task of ``data``; a URL may be a string or a list."""
        content = answer.json()
        data = as_dict(content.get("data")) if content else {}
        if content is None or "status" not in data:
            raise not_the_api(self.title, "get_task", answer, "without a task in it", handle.task_id)
        result = as_dict(data.get("result"))
        videos = result.get("videos")
        items = videos if isinstance(videos, list) else [videos]
        urls = [url for item in items for url in urls_in(item, base_url)]
        urls = urls or urls_in(result.get("video_url"), base_url) or urls_in(result.get("url"), base_url)
        expiries = (unix_time(as_dict(item).get("expires_at")) for item in items)
        finished = unix_time(data.get("completed"))
        default_expiry = later(finished, self.result_lifetime) if urls else None
        error = data.get("error")
        details = as_dict(error) or {"message": error}
        costs = {name: data[name] for name in ("cost", "credits_cost", "actual_time") if name in data}
        return VideoTask(
            task_id=handle.task_id,
            vendor=self.name,
            mode=handle.mode,
            model=handle.model,
            status=self.status_of(data["status"]),
            raw_status=text_or_none(data["status"], 40),
            video_url=urls[0] if urls else None,
            video_urls=urls,
            url_expires_at=next(filter(None, expiries), default_expiry),
            submitted_at=unix_time(data.get("created")) or handle.submitted_at,
            finished_at=finished,
            usage=usage_of(costs),
            request_id=text_or_none(content.get("request_id")) or handle.request_id,
            progress=percent(data.get("progress")),
            error_code=text_or_none(details.get("code") or details.get("type")),
            error_message=text_or_none(details.get("message")),
        )

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"error": {…}}`` or ``{"code": 4xx, "message"}``, also inside a 200."""
        content = answer.json()
        if content is None:
            return None
        error = content.get("error")
        envelope = as_dict(error)
        code = content.get("code")
        is_bad = bool(error) or content.get("success") is False or not _is_good(code)
        if 200 <= answer.status < 300 and not is_bad:
            return None
        message = text_or_none(envelope.get("message") or content.get("message") or (error if error else None))
        said = text_or_none(envelope.get("code") or envelope.get("type") or code)
        status = answer.status
        if 200 <= status < 300:
            status = int(said) if said and said.isdecimal() and 400 <= int(said) < 600 else 400
        return self.judge(status, said, message, text_or_none(content.get("request_id")))

    def key_call(self) -> Call:
        """Return the model catalogue, which needs a key and makes nothing."""
        return Call("test_connection", "GET", "/v1/models")

    def upload_call(self, upload: Upload) -> Call:
        """Return the upload of an image (JPEG, PNG, WebP, GIF, at most 20 MB); its URL lives 72 h."""
        file = ("file", upload.filename, upload.content, upload.content_type)
        return Call("upload", "POST", "/v1/uploads/images", file=file, size=upload.size)

    def upload_finish(self, answer: Answer, upload: Upload) -> tuple[Call | None, str]:
        """Return the URL of the uploaded image."""
        content = answer.json() or {}
        urls = urls_in(content.get("url")) or urls_in(as_dict(content.get("data")).get("url"))
        if not urls:
            raise not_the_api(self.title, "upload", answer, "without a URL in it")
        return None, urls[0]


def _is_good(code: Any) -> bool:
    return not isinstance(code, dict | list) and code in GOOD_CODES


def _body(request: VideoRequest, model: str) -> dict[str, Any]:
    body = without_none(
        model=model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        resolution=request.resolution,
        duration=request.duration,
        prompt_extend=request.prompt_extend,
        watermark=request.watermark,
        seed=request.seed,
        generate_audio=request.generate_audio,
    )
    # "size" is the aspect ratio here; an image request takes it from its frame.
    if request.ratio and not isinstance(request, ImageToVideoRequest):
        body["aspect_ratio" if model == OLD_MODEL else "size"] = request.ratio
    if model == OLD_MODEL:
        body["resolution"] = request.resolution.lower()
    return body | _media(request)


def _media(request: VideoRequest) -> dict[str, Any]:
    match request:
        case TextToVideoRequest():
            return without_none(audio_url=request.audio_url)
        case ImageToVideoRequest():
            frames = [
                {"url": url, "role": role}
                for role, url in (("first_frame", request.first_frame), ("last_frame", request.last_frame))
                if url
            ]
            clips = [request.first_clip] if request.first_clip else None
            return without_none(image_with_roles=frames or None, video_urls=clips, audio_url=request.driving_audio)
        case ReferenceToVideoRequest():
            images = [
                without_none(url=item.url, role="reference_image", reference_voice=item.voice)
                for item in request.reference_images
            ]
            # Last, so that it takes no "image n" number from the references.
            if request.first_frame:
                images.append({"url": request.first_frame, "role": "first_frame"})
            return without_none(
                image_with_roles=images or None,
                video_urls=[item.url for item in request.reference_videos] or None,
            )
        case VideoEditRequest():
            return without_none(
                video_urls=[request.video] if request.video else None,
                image_urls=[item.url for item in request.reference_images] or None,
                audio_setting="origin" if request.audio_setting == "origin" else None,
            )
    return {}
