"""The bodies and limits of DashScope's older Wan models (2.1 to 2.6), which name their fields differently.

Follows https://help.aliyun.com/zh/model-studio/legacy-wan-text-to-video-api-reference,
.../legacy-image-to-video-api-reference, .../legacy-image-to-video-by-first-and-last-frame-api-reference and
.../legacy-wan-reference-to-video-api-reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoRequest,
)
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.vendors import pixels
from airflow_provider_wan.client.vendors.base import cannot, without_none

_LEGACY = re.compile(r"^wanx?2\.(?P<minor>[1256])-(?P<kind>t2v|i2v|kf2v|r2v)\b")
_IMAGE_PATH = re.compile(r"kf2v|^wan2\.2-(animate-|s2v)")
_MODES = {
    "t2v": Mode.TEXT_TO_VIDEO,
    "i2v": Mode.IMAGE_TO_VIDEO,
    "kf2v": Mode.IMAGE_TO_VIDEO,
    "r2v": Mode.REFERENCE_TO_VIDEO,
}

SIZES = {
    tier: {ratio: f"{width}*{height}" for ratio, (width, height) in sizes.items()}
    for tier, sizes in pixels.SIZES.items()
}

_TIERS = (
    ("t2v", "6", ("720P", "1080P")),
    ("t2v", "5", ("480P", "720P", "1080P")),
    ("t2v", "2", ("480P", "1080P")),
    ("i2v", "6", ("720P", "1080P")),
    ("i2v", "5", ("480P", "720P", "1080P")),
    ("kf2v", "2", ("480P", "720P", "1080P")),
    ("kf2v", "1", ("720P",)),
    ("r2v", "6", ("720P", "1080P")),
)
_DURATIONS: dict[tuple[str, str], tuple[int, ...]] = {
    ("t2v", "6"): tuple(range(2, 16)),
    ("i2v", "6"): tuple(range(2, 16)),
    ("r2v", "6"): tuple(range(2, 11)),
    ("t2v", "5"): (5, 10),
    ("i2v", "5"): (5, 10),
    ("t2v", "2"): (5,),
    ("i2v", "2"): (5,),
    ("kf2v", "2"): (5,),
    ("t2v", "1"): (5,),
    ("i2v", "1"): (3, 4, 5),
    ("kf2v", "1"): (5,),
}
"""Seconds by kind and minor version."""


def speaks(model: str) -> bool:
    """Whether ``model`` takes the older bodies."""
    return _LEGACY.search(model) is not None


def uses_image_path(model: str) -> bool:
    """Whether ``model`` is served on the image2video path (first+last frame, animate, s2v)."""
    return _IMAGE_PATH.search(model) is not None


def _parts(model: str) -> tuple[str, str]:
    found = _LEGACY.search(model)
    return (found["kind"], found["minor"]) if found else ("", "")


def _has_sound_switch(model: str) -> bool:
    return re.search(r"^wan2\.6-(i2v|r2v)-flash", model) is not None


def limits(request: VideoRequest, model: str) -> Iterator[Violation]:
    """Yield what the older bodies have no field for (hard), and what their pages do not allow."""
    title = f"DashScope's {model}"
    kind, minor = _parts(model)
    if request.mode is not _MODES[kind]:
        yield cannot(title, "model", model, f"it makes {_MODES[kind]}: use the operator of that mode")
        return
    yield from _common_limits(request, model, title)
    is_silent = minor in "12"
    match request:
        case TextToVideoRequest() if request.audio_url and is_silent:
            yield cannot(title, "audio_url", request.audio_url, "use wan2.7-t2v")
        case ImageToVideoRequest():
            if not request.first_frame:
                yield Violation("first_frame", f"is required by {model}", "nothing", hard=True)
            barred = ["first_clip"] if kind == "kf2v" else ["first_clip", "last_frame"]
            if kind == "kf2v" or is_silent:
                barred.append("driving_audio")
            for name in barred:
                if getattr(request, name):
                    yield cannot(title, name, getattr(request, name), "use wan2.7-i2v")
        case ReferenceToVideoRequest():
            yield from _reference_limits(request, title)


def _common_limits(request: VideoRequest, model: str, title: str) -> Iterator[Violation]:
    kind, minor = _parts(model)
    for field, text, longest in (
        ("prompt", request.prompt or "", 1500 if minor in "56" else 800),
        ("negative_prompt", request.negative_prompt or "", 500),
    ):
        if len(text) > longest:
            yield Violation(field, f"of {model} has at most {longest} characters", f"{len(text)} characters")
    seconds = _DURATIONS.get((kind, minor))
    # Deployments of tuned models and regional variants have limits of their own.
    if seconds and request.duration not in seconds and "-ft-" not in model and not model.endswith("-us"):
        rule = f"of {model} is one of {', '.join(map(str, seconds))} seconds"
        yield Violation("duration", rule, str(request.duration))
    tiers = next((tiers for name, version, tiers in _TIERS if (name, version) == (kind, minor)), tuple(SIZES))
    if request.resolution not in tiers:
        yield Violation("resolution", f"of {model} is one of {', '.join(tiers)}", repr(request.resolution))
    if kind in ("t2v", "r2v") and (request.ratio or "16:9") not in SIZES.get(request.resolution, {}):
        given = f"{request.resolution}, {request.ratio}"
        yield cannot(title, "resolution, ratio", given, "use a pair of its size table")
    if request.generate_audio is not None and not _has_sound_switch(model):
        yield cannot(title, "generate_audio", request.generate_audio, "remove it, or use a Wan 3.0 model")


def _reference_limits(request: ReferenceToVideoRequest, title: str) -> Iterator[Violation]:
    images, videos = request.reference_images, request.reference_videos
    if len(videos) > 3 or len(images) + len(videos) > 5:
        given = f"{len(images)} images and {len(videos)} videos"
        yield Violation("reference_images, reference_videos", "hold at most 3 videos and 5 references", given)
    for field, items in (("reference_images", images), ("reference_videos", videos)):
        for index, item in enumerate(items):
            if item.voice:
                yield cannot(title, f"{field}[{index}].voice", item.voice, "use wan2.7-r2v")
            if item.url.startswith("data:"):
                yield cannot(title, f"{field}[{index}].url", item.url[:40], "upload the file first")
    for name in ("first_frame", "reference_audios", "document", "link"):
        if getattr(request, name):
            yield cannot(title, name, getattr(request, name), "use a newer model")
    if not request.prompt_extend:
        yield cannot(title, "prompt_extend", request.prompt_extend, "remove it")


def body(request: VideoRequest, model: str) -> dict[str, Any]:
    """Return the body of an older model."""
    kind, _ = _parts(model)
    source: dict[str, Any] = {}
    parameters: dict[str, Any] = {"resolution": request.resolution}
    if kind in ("t2v", "r2v"):
        parameters = {"size": SIZES.get(request.resolution, {}).get(request.ratio or "16:9")}
    match request:
        case TextToVideoRequest():
            source = {"audio_url": request.audio_url}
        case ImageToVideoRequest() if kind == "kf2v":
            source = {"first_frame_url": request.first_frame, "last_frame_url": request.last_frame}
        case ImageToVideoRequest():
            source = {"img_url": request.first_frame, "audio_url": request.driving_audio}
        case ReferenceToVideoRequest():
            references = (*request.reference_images, *request.reference_videos)
            source = {"reference_urls": [item.url for item in references]}
    return {
        "model": model,
        "input": without_none(prompt=request.prompt, negative_prompt=request.negative_prompt, **source),
        "parameters": without_none(
            **parameters,
            duration=request.duration,
            audio=request.generate_audio,
            # Reference mode has no such switch.
            prompt_extend=None if kind == "r2v" else request.prompt_extend,
            watermark=request.watermark,
            seed=request.seed,
        ),
    }
