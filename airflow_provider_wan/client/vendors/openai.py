"""A server of one's own, or a gateway, with an OpenAI-style ``/v1/videos``.

Follows https://platform.openai.com/docs/api-reference/videos, and what its servers add to it:
https://docs.vllm.ai/projects/vllm-omni/en/latest/serving/videos_api/,
https://docs.sglang.io/docs/sglang-diffusion/api/openai_api.md and https://docs.litellm.ai/docs/videos.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors.base import (
    TaskFilter,
    TaskPage,
    cannot,
    check_schemes,
    merge,
    path_part,
    without_none,
)
from airflow_provider_wan.client.vendors.failures import Failure, Problem
from airflow_provider_wan.client.vendors.pixels import size_of, tier_and_ratio_of
from airflow_provider_wan.client.vendors.reading import as_dict, id_of, rows_of, served_at, text_or_none, unix_time
from airflow_provider_wan.client.vendors.videos_api import VideosApi

SERVERS_OWN = "default"
"""Stands for the one model that the server runs: it is not named in the body."""

_REMIXED = re.compile(r"/v1/videos/([^/?#]+)/content$")
_IMAGE_DATA = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)
_INTO_EXTRA_BODY = "remove it, or put what your server takes into extra_body"


class OpenAi(VideosApi):
    """Any server that speaks OpenAI's ``/v1/videos``: vLLM-Omni, SGLang, LiteLLM."""

    name = "openai"
    title = "OpenAI-style server"
    default_host = ""
    default_models = dict.fromkeys(
        (Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO, Mode.REFERENCE_TO_VIDEO, Mode.VIDEO_EDIT), SERVERS_OWN
    )
    parameter_names = {
        "size": "resolution or ratio",
        "seconds": "duration",
        "input_reference": "first_frame",
        "image_reference": "first_frame",
        "reference_url": "first_frame",
        "generate_sound": "generate_audio",
    }
    needs_key = False
    has_cancel = True
    cancels_by_deleting = True
    connection_fields = frozenset({"body", "allow_http"})
    # 429 is also how an empty account is told, by its code.
    plain_statuses = frozenset({401, 402})
    failure_codes = (
        ("insufficient_quota", Failure.BILLING),
        ("billing_", Failure.BILLING),
        ("~insufficient balance", Failure.BILLING),
        ("~budget has been exceeded", Failure.BILLING),
        ("moderation_blocked", Failure.MODERATION),
        ("rate_limit", Failure.THROTTLED),
        ("invalid_value", Failure.REQUEST),
        ("invalid_request", Failure.REQUEST),
        ("invalid_parameter", Failure.REQUEST),
        ("InvalidParameter", Failure.REQUEST),
        ("BadRequestError", Failure.REQUEST),
        ("NotFoundError", Failure.NOT_FOUND),
        ("not_found", Failure.NOT_FOUND),
    )

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what the API has no field for."""
        for name in ("webhook_url", "watermark", "audio_url", "last_frame", "first_clip", "driving_audio"):
            if getattr(request, name, None):
                yield cannot(self.title, name, getattr(request, name), _INTO_EXTRA_BODY)
        match request:
            case TextToVideoRequest():
                yield from self._made_anew(request)
            case ImageToVideoRequest():
                yield from self._made_anew(request)
                yield from check_schemes(self.title, media_urls(request), ("http", "https", "data"))
            case VideoEditRequest():
                yield from self._remix(request)
            case _:
                yield cannot(self.title, "mode", request.mode, "it takes a prompt and one image: use image to video")

    def _made_anew(self, request: VideoRequest) -> Iterator[Violation]:
        if not request.prompt and isinstance(request, ImageToVideoRequest):
            yield Violation("prompt", f"is required by {self.title}", "nothing", "say what happens", hard=True)
        if request.duration < 1:
            fix = "give seconds"
            yield Violation("duration", "is a number of seconds from 1", str(request.duration), fix, hard=True)
        if request.ratio != "adaptive" and size_of(request.resolution, request.ratio) is None:
            given = f"{request.resolution}, {request.ratio}"
            fix = "give a tier such as 720P and a ratio such as 16:9"
            yield Violation("resolution, ratio", "make a size in pixels", given, fix, hard=True)

    def _remix(self, request: VideoEditRequest) -> Iterator[Violation]:
        if not request.prompt:
            yield Violation("prompt", "says what to change", "nothing", "describe the change", hard=True)
        if request.video and not _REMIXED.search(request.video):
            rule = "is a video that this server made (…/v1/videos/<id>/content)"
            yield Violation("video", rule, shorten(request.video), "give the video_url of its result", hard=True)
        if request.reference_images:
            yield cannot(self.title, "reference_images", request.reference_images, _INTO_EXTRA_BODY)
        if request.audio_setting == "origin":
            yield cannot(self.title, "audio_setting", request.audio_setting)
        if request.duration:
            yield cannot(self.title, "duration", request.duration, "set duration=0: a remix is as long as its source")

    def has_ratio(self, request: VideoRequest, model: str) -> bool:
        """Whether a size is sent: not for a remix, which is as its source."""
        return not isinstance(request, VideoEditRequest)

    def remarks(self, request: VideoRequest, model: str) -> Iterator[str]:
        """Yield what the API leaves to the server."""
        if isinstance(request, VideoEditRequest):
            yield "resolution and ratio are not sent: a remix is as its source"
        elif _size(request) is None:
            yield f"resolution {request.resolution} is not sent without a ratio: the server chooses the size"

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return ``POST /v1/videos``, or a remix of a video that this server made."""
        if isinstance(request, VideoEditRequest):
            return self._remix_call(request, account)
        body, file = merge(_body(request), request.extra_body), None
        image = getattr(request, "first_frame", None)
        if account.body == "json":
            if image:
                body = merge({"input_reference": {"image_url": image}}, body)
            return Call("submit", "POST", "/v1/videos", json=body)
        if image and image.startswith("data:"):
            file = _file(image)
        elif image:
            # The one is read by vLLM-Omni, the other by SGLang; each leaves the other's aside.
            body = {"image_reference": {"image_url": image}, "reference_url": image, **body}
        form = {name: _as_text(value) for name, value in body.items() if value is not None}
        return Call("submit", "POST", "/v1/videos", form=form, file=file)

    def _remix_call(self, request: VideoEditRequest, account: Account) -> Call:
        found = _REMIXED.search(request.video or "")
        own = f"{account.base_url}/v1/videos/"
        if not found or not (request.video or "").startswith(own):
            rule = f"is a video of the connection's own server ({shorten(own)}…)"
            wrong = Violation("video", rule, shorten(request.video), "give the video_url of its result", hard=True)
            raise WanRequestError(violations=[wrong])
        body = merge({"prompt": request.prompt}, request.extra_body)
        return Call("submit", "POST", f"/v1/videos/{found[1]}/remix", json=body)

    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task, with the model's name where the server chose it."""
        task = super().read_task(answer, handle, base_url)
        said = text_or_none((answer.json() or {}).get("model"), 200)
        return task.model_copy(update={"model": said}) if said and handle.model == SERVERS_OWN else task

    def video(self, content: dict[str, Any], task_id: str, base_url: str = "") -> VideoTask:
        """Return what a video object says of its task; how long a server keeps videos is known only if it says so."""
        tier, ratio = tier_and_ratio_of(content.get("size"))
        return (
            super()
            .video(content, task_id, base_url)
            .model_copy(
                update={
                    "prompt": text_or_none(content.get("prompt"), 20_000),
                    "resolution": tier,
                    "ratio": ratio,
                    "url_expires_at": unix_time(content.get("expires_at")),
                }
            )
        )

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"error": {…}}``, or of ``{"detail"}`` as the servers in Python give it."""
        found = super().problem(answer)
        content = answer.json()
        if found is not None or content is None or 200 <= answer.status < 300 or "detail" not in content:
            return found
        detail = content["detail"]
        if isinstance(detail, list):
            parts = [f"{'.'.join(map(str, item.get('loc') or ()))}: {item.get('msg')}" for item in map(as_dict, detail)]
            detail = "; ".join(parts)
        return self.judge(answer.status, None, text_or_none(detail), None)

    # The list is there for people. Of a lost submission it proves nothing: servers keep it in the memory of one
    # process, some name neither prompt nor model, a gateway shows one of its providers (list_tells_time stays false).
    def page_call(self, wanted: TaskFilter, page: int) -> Call:
        """Return one page of the list, newest first."""
        params = {"limit": str(min(wanted.page_size, 100)), "order": "desc"}
        return Call(
            "list_tasks", "GET", "/v1/videos", params=params | ({"after": wanted.after} if wanted.after else {})
        )

    def read_page(self, answer: Answer, wanted: TaskFilter, page: int) -> TaskPage:
        """Return the rows of a page that are wanted; the pages end where they are older than that."""
        rows = rows_of((answer.json() or {}).get("data"))
        if rows is None:
            raise not_the_api(self.title, "list_tasks", answer, "without a list in it")
        found: list[VideoTask] = []
        is_over = not rows or not (answer.json() or {}).get("has_more")
        last_id = None
        for row in rows:
            last_id = id_of(row.get("id")) or last_id
            task = self.video(row, last_id or "").model_copy(update={"model": text_or_none(row.get("model"), 200)})
            made = task.submitted_at
            is_over |= bool(wanted.since and made and made < wanted.since)
            if last_id and _is_wanted(task, wanted):
                found.append(task)
        return TaskPage(found, None if is_over else page + 1, None, served_at(answer), last_id)

    def cancel_call(self, handle: TaskHandle) -> Call:
        """Return the deletion of a task and of what it made."""
        return Call("cancel_task", "DELETE", f"/v1/videos/{path_part(handle.task_id)}")


def _is_wanted(task: VideoTask, wanted: TaskFilter) -> bool:
    made = task.submitted_at
    if made and ((wanted.since and made < wanted.since) or (wanted.until and made > wanted.until)):
        return False
    return not wanted.model or task.model == wanted.model


def _size(request: VideoRequest) -> str | None:
    """Return the size to ask for; of an image's video the image decides unless a ratio is given."""
    if request.ratio == "adaptive" or (isinstance(request, ImageToVideoRequest) and not request.ratio):
        return None
    return size_of(request.resolution, request.ratio)


def _body(request: VideoRequest) -> dict[str, Any]:
    return without_none(
        model=request.model,
        prompt=request.prompt,
        seconds=str(request.duration),
        size=_size(request),
        # Beyond OpenAI's page, as vLLM-Omni and SGLang have them: sent only when they are given.
        negative_prompt=request.negative_prompt,
        seed=request.seed,
        generate_sound=request.generate_audio,
    )


def _as_text(value: Any) -> str:
    """Return a field of a form, which has no types: what is no text is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _file(image: str) -> tuple[str, str, bytes, str]:
    found = _IMAGE_DATA.fullmatch(image)
    try:
        content = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        content = b""
    if not found or not content:
        wrong = Violation(
            "first_frame", "is Base64 of an image", shorten(image, 60), "encode the image again", hard=True
        )
        raise WanRequestError(violations=[wrong])
    kind = found[1]
    return ("input_reference", f"first_frame.{kind.rpartition('/')[2]}", content, kind)
