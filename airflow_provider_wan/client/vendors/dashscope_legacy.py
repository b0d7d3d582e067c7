"""The bodies of DashScope's older Wan models (2.1 to 2.6), which name their fields differently.

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
from airflow_provider_wan.client.vendors.base import cannot, without_none

_LEGACY = re.compile(r"^wanx?2\.[1256]-(t2v|i2v|kf2v|r2v)\b")
_IMAGE_PATH = re.compile(r"kf2v|^wan2\.2-(animate-|s2v)")

SIZES = {
    "480P": {"16:9": "832*480", "9:16": "480*832", "1:1": "624*624"},
    "720P": {"16:9": "1280*720", "9:16": "720*1280", "1:1": "960*960", "4:3": "1088*832", "3:4": "832*1088"},
    "1080P": {
        "16:9": "1920*1080",
        "9:16": "1080*1920",
        "1:1": "1440*1440",
        "4:3": "1632*1248",
        "3:4": "1248*1632",
    },
}


def speaks(model: str) -> bool:
    """Whether ``model`` takes the older bodies."""
    return _LEGACY.search(model) is not None


def uses_image_path(model: str) -> bool:
    """Whether ``model`` is served on the image2video path (first+last frame, animate, s2v)."""
    return _IMAGE_PATH.search(model) is not None


def limits(request: VideoRequest, model: str) -> Iterator[Violation]:
    """Yield what the older bodies have no field for."""
    title = f"DashScope's {model}"
    if "r2v" not in model and "t2v" not in model and request.ratio:
        yield cannot(title, "ratio", request.ratio, "remove it (the video follows the frame)")
    size = SIZES.get(request.resolution, {})
    if ("t2v" in model or "r2v" in model) and (request.ratio or "16:9") not in size:
        yield cannot(title, "resolution, ratio", f"{request.resolution}, {request.ratio}", "use a listed pair")
    match request:
        case ImageToVideoRequest() if "kf2v" not in model:
            for name in ("last_frame", "first_clip"):
                if getattr(request, name):
                    yield cannot(title, name, getattr(request, name), "use wan2.7-i2v")
        case ImageToVideoRequest():
            for name in ("driving_audio", "first_clip"):
                if getattr(request, name):
                    yield cannot(title, name, getattr(request, name), "use wan2.7-i2v")
        case ReferenceToVideoRequest():
            voices = [item.voice for item in (*request.reference_images, *request.reference_videos) if item.voice]
            if voices:
                yield cannot(title, "voice", voices[0], "use wan2.7-r2v")
            if request.first_frame:
                yield cannot(title, "first_frame", request.first_frame, "use wan2.7-r2v")


def body(request: VideoRequest, model: str) -> dict[str, Any]:
    """Return the body of an older model."""
    source: dict[str, Any] = {}
    parameters: dict[str, Any] = {"resolution": request.resolution}
    if "t2v" in model or "r2v" in model:
        size = SIZES.get(request.resolution, {}).get(request.ratio or "16:9")
        parameters = {"size": size} if size else parameters
    match request:
        case TextToVideoRequest():
            source = {"audio_url": request.audio_url}
        case ImageToVideoRequest() if "kf2v" in model:
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
            prompt_extend=request.prompt_extend,
            watermark=request.watermark,
            seed=request.seed,
        ),
    }
