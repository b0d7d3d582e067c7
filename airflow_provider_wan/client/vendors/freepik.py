"""Freepik, now Magnific: the mode stands in the path, and there is no model field.

Follows https://docs.magnific.com/api-reference/reference-to-video/wan-2-7/overview and its siblings for
text-to-video, image-to-video and video-edit, https://docs.magnific.com/upload-files, .../webhooks, .../ratelimits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api, request_id_in
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import (
    TaskFilter,
    TaskPage,
    Upload,
    Vendor,
    cannot,
    check_schemes,
    merge,
    path_part,
    without_none,
)
from airflow_provider_wan.client.vendors.failures import Failure, Problem
from airflow_provider_wan.client.vendors.reading import as_dict, id_of, rows_of, served_at, text_or_none, urls_in

MODEL = "wan-2-7"

MOST_PAGES = 100

PATHS = {
    Mode.TEXT_TO_VIDEO: "text-to-video",
    Mode.IMAGE_TO_VIDEO: "image-to-video",
    Mode.REFERENCE_TO_VIDEO: "reference-to-video",
    Mode.VIDEO_EDIT: "video-edit",
}


class Freepik(Vendor):
    """Freepik / Magnific, with a task list, presigned image upload and webhooks."""

    name = "freepik"
    title = "Freepik"
    parameter_names = {
        "aspect_ratio": "ratio",
        "start_image_url": "first_frame",
        "end_image_url": "last_frame",
        "image_urls": "reference_images",
        "video_url": {Mode.IMAGE_TO_VIDEO: "first_clip", Mode.VIDEO_EDIT: "video"},
        "video_urls": "reference_videos",
        "audio_url": {Mode.IMAGE_TO_VIDEO: "driving_audio"},
    }
    default_host = "api.magnific.com"
    default_models = dict.fromkeys(Mode, MODEL)
    statuses = {
        "created": TaskStatus.PENDING,
        "in_progress": TaskStatus.RUNNING,
        "completed": TaskStatus.SUCCEEDED,
        "failed": TaskStatus.FAILED,
    }
    # 10 hits a second per IP averaged over two minutes are allowed; keep headroom.
    queries_per_second = 6.0
    submits_per_second = 2.0
    # Documented as invalid_page, with a text about the parameter 'page'.
    past_the_end = "page"
    # The vendor documents 503 as "overloaded, come back".
    repeatable_statuses = frozenset({429, 503})
    connection_fields = frozenset({"auth_header"})
    plain_statuses = frozenset({401, 402, 404, 429, 500, 502, 503, 504})
    upload_types = ("image/png", "image/jpeg", "image/webp")
    failure_codes = (
        ("~insufficient credit", Failure.BILLING),
        ("~not enough credits", Failure.BILLING),
        ("InvalidParameter", Failure.REQUEST),
        ("~invalid param", Failure.REQUEST),
    )

    def auth_headers(self, account: Account) -> dict[str, str]:
        """Return the key header of the host's generation, or the one the connection names."""
        host = urlsplit(account.base_url).hostname or ""
        old = host == "freepik.com" or host.endswith(".freepik.com")
        header = account.auth_header or ("x-freepik-api-key" if old else "x-magnific-api-key")
        return {header: account.api_key.get_secret_value()}

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what Freepik has no field for."""
        if model not in (MODEL, "wan2.7", *_OTHER_NAMES[request.mode]):
            yield cannot(self.title, "model", model, f"remove it: the path says {MODEL}")
        if request.watermark:
            yield cannot(self.title, "watermark", True, "set watermark=False")
        if request.generate_audio is not None:
            yield cannot(self.title, "generate_audio", request.generate_audio)
        yield from check_schemes(self.title, media_urls(request), ("http", "https"))
        match request:
            case ReferenceToVideoRequest():
                if request.duration > 10 and not request.reference_videos:
                    rule = "is between 2 and 10 seconds in reference mode at Freepik"
                    yield Violation("duration", rule, str(request.duration), "for example 10")
                for name in ("reference_audios", "document", "link"):
                    if getattr(request, name):
                        yield cannot(self.title, name, getattr(request, name))
            case VideoEditRequest() if request.audio_setting == "origin":
                yield cannot(self.title, "audio_setting", request.audio_setting)

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return ``POST /v1/ai/{mode}/wan-2-7``."""
        return Call("submit", "POST", _path(request.mode), json=merge(_body(request), request.extra_body))

    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return the id of ``{"data": {"task_id"}}``; older answers have no ``data`` around it."""
        content = answer.json() or {}
        task_id = id_of((as_dict(content.get("data")) or content).get("task_id"))
        return (task_id, request_id_in(answer.headers)) if task_id else None

    def task_call(self, handle: TaskHandle) -> Call:
        """Return ``GET`` below the path of the handle's mode."""
        return Call("get_task", "GET", f"{_path(handle.mode)}/{path_part(handle.task_id)}")

    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task; the reason of a failure stands wherever this vendor puts it today."""
        content = answer.json() or {}
        data = as_dict(content.get("data")) or content
        if "status" not in data and "task_status" not in data:
            raise not_the_api(self.title, "get_task", answer, "without a task in it", handle.task_id)
        return self._task(data, handle.task_id, handle.mode, base_url).model_copy(
            update={
                "model": handle.model,
                "submitted_at": handle.submitted_at,
                "request_id": handle.request_id,
            }
        )

    def _task(self, data: dict[str, Any], task_id: str, mode: Mode | None, base_url: str = "") -> VideoTask:
        word = data.get("status", data.get("task_status"))
        status = self.status_of(word)
        urls = urls_in(data.get("generated"), base_url)
        reasons = (data.get(name) for name in ("error", "reason", "error_message", "message", "failure_reason"))
        reason = next((item for item in reasons if item), None)
        if isinstance(reason, dict):
            reason = reason.get("message") or reason
        return VideoTask(
            task_id=task_id,
            vendor=self.name,
            mode=mode,
            model=MODEL,
            status=status,
            raw_status=text_or_none(word, 40),
            video_url=urls[0] if urls else None,
            video_urls=urls,
            error_message=text_or_none(reason) if status is TaskStatus.FAILED else None,
        )

    def read_webhook(self, answer: Answer) -> VideoTask:
        """Return the task of a webhook's body, which is that of a query without the ``data`` around it."""
        content = answer.json() or {}
        data = as_dict(content.get("data")) or content
        task_id = id_of(data.get("task_id"))
        if task_id is None or not {"status", "task_status"} & data.keys():
            raise not_the_api(self.title, "webhook", answer, "without a task in it")
        return self._task(data, task_id, None)

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"message"}`` or of ``problem+json`` with its invalid parameters."""
        content = answer.json()
        if content is None or 200 <= answer.status < 300:
            return None
        details = as_dict(content.get("problem")) or content
        message = text_or_none(details.get("message") or details.get("title") or details.get("detail"))
        wrong = details.get("invalid_params")
        if isinstance(wrong, list):
            named = [f"{item.get('name') or item.get('field')}: {item.get('reason')}" for item in map(as_dict, wrong)]
            message = text_or_none("; ".join([*([message] if message else []), *named]))
        if message is None:
            return None
        code = text_or_none(details.get("code"))
        return self.judge(answer.status, code, message, request_id_in(answer.headers))

    def key_call(self) -> Call:
        """Return the task list of one mode, which needs a key and makes nothing."""
        return Call("test_connection", "GET", _path(Mode.TEXT_TO_VIDEO))

    # The list is there for people: its rows carry no time and no prompt, so neither recovery nor polling builds on it
    # (list_tells_time stays false).
    def page_call(self, wanted: TaskFilter, page: int) -> Call:
        """Return a page of the list of one mode (text to video when none is named)."""
        params = {"page": str(page)} if page > 1 else {}
        return Call("list_tasks", "GET", _path(wanted.mode or Mode.TEXT_TO_VIDEO), params=params)

    def read_page(self, answer: Answer, wanted: TaskFilter, page: int) -> TaskPage:
        """Return the rows; the vendor names neither a size nor a last page: the first one without rows is the last."""
        content = answer.json() or {}
        rows = rows_of(content.get("data"))
        if rows is None:
            raise not_the_api(self.title, "list_tasks", answer, "without a list in it")
        mode = wanted.mode or Mode.TEXT_TO_VIDEO
        found = [self._task(row, task_id, mode) for row in rows if (task_id := id_of(row.get("task_id")))]
        return TaskPage(found, page + 1 if rows and page < MOST_PAGES else None, served_at=served_at(answer))

    def upload_call(self, upload: Upload) -> Call:
        """Return the request for a presigned address (PNG, JPEG, WebP)."""
        body = {"files": [{"content_type": upload.content_type}]}
        return Call("upload", "POST", "/v1/ai/uploads/request-url", json=body)

    def upload_finish(self, answer: Answer, upload: Upload) -> tuple[Call | None, str]:
        """Return the PUT of the bytes with exactly the headers told, and the asset's URL (about 24 h)."""
        content = answer.json() or {}
        files = content.get("files", as_dict(content.get("data")).get("files"))
        first = as_dict(files[0]) if isinstance(files, list) and files else {}
        address, asset = (urls_in(first.get(name)) for name in ("upload_url", "asset_url"))
        if not address or not asset:
            raise not_the_api(self.title, "upload", answer, "without an upload address in it")
        headers = {str(name): str(value) for name, value in as_dict(first.get("headers")).items()}
        call = Call("upload", "PUT", address[0], headers=headers, content=upload.content, auth=False, size=upload.size)
        return call, asset[0]


_OTHER_NAMES = {
    Mode.TEXT_TO_VIDEO: ("wan2.7-t2v",),
    Mode.IMAGE_TO_VIDEO: ("wan2.7-i2v",),
    Mode.REFERENCE_TO_VIDEO: ("wan2.7-r2v",),
    Mode.VIDEO_EDIT: ("wan2.7-videoedit",),
}
"""The names other vendors give to the one model of each path."""


def _path(mode: Mode | None) -> str:
    if mode is None:
        raise WanRequestError("A Freepik task is found by its mode: the handle must name it")
    return f"/v1/ai/{PATHS[mode]}/{MODEL}"


def _body(request: VideoRequest) -> dict[str, Any]:
    body = without_none(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        resolution=request.resolution,
        duration=request.duration,
        seed=request.seed,
        additional_settings={"prompt_extend": request.prompt_extend},
        webhook_url=request.webhook_url,
    )
    if request.ratio and not isinstance(request, ImageToVideoRequest):
        body["aspect_ratio"] = request.ratio
    return body | _media(request)


def _media(request: VideoRequest) -> dict[str, Any]:
    match request:
        case TextToVideoRequest():
            return without_none(audio_url=request.audio_url)
        case ImageToVideoRequest():
            return without_none(
                start_image_url=request.first_frame,
                end_image_url=request.last_frame,
                video_url=request.first_clip,
                audio_url=request.driving_audio,
            )
        case ReferenceToVideoRequest():
            images, videos = (
                [without_none(url=item.url, reference_voice=item.voice) for item in items] or None
                for items in (request.reference_images, request.reference_videos)
            )
            return without_none(image_urls=images, video_urls=videos, start_image_url=request.first_frame)
        case VideoEditRequest():
            return without_none(
                video_url=request.video, image_urls=[item.url for item in request.reference_images] or None
            )
    return {}
