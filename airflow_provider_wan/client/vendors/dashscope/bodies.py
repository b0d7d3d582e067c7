"""The bodies of DashScope's Wan 2.7 and 3.0, which are also those of models that nobody knows yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    VideoRequest,
)
from airflow_provider_wan.client.rules.request import Family, family_of
from airflow_provider_wan.client.vendors.base import without_none
from airflow_provider_wan.client.vendors.dashscope import older as legacy
from airflow_provider_wan.client.vendors.media_array import media

INLINE_ITEM_MAX = 20 * 1024 * 1024
"""Characters of one data URL."""
INLINE_TOTAL_MAX = 16 * 1024 * 1024
"""Bytes of all decoded data URLs of one body."""


def inline_limits(images: list[tuple[str, str]]) -> Iterator[Violation]:
    """Yield the data URLs (with their fields) that are too large, alone or together."""
    inline = [(field, len(url)) for field, url in images if url.startswith("data:")]
    for field, length in inline:
        if length > INLINE_ITEM_MAX:
            yield Violation(field, "as inline data has at most 20 MiB", f"{length} characters", INLINE_FIX)
    total = sum(length for _, length in inline) * 3 // 4
    if total > INLINE_TOTAL_MAX:
        names = ", ".join(field for field, _ in inline)
        yield Violation(names, "as inline data have at most 16 MiB together", f"about {total} bytes", INLINE_FIX)


INLINE_FIX = "upload the file first, with WanHook.upload_file"


def names_upload(value: Any) -> bool:
    """Whether a body names a temporary upload anywhere, which takes a header of its own."""
    if isinstance(value, str):
        return value.startswith("oss://")
    if isinstance(value, dict):
        return any(map(names_upload, value.values()))
    return isinstance(value, list | tuple) and any(map(names_upload, value))


def follows_its_frame(request: VideoRequest, model: str) -> bool:
    """Whether the model has no ratio in this mode, since the video is as wide as its first frame or clip."""
    return isinstance(request, ImageToVideoRequest) and (family_of(model) is Family.WAN_2_7 or legacy.speaks(model))


def body(request: VideoRequest, model: str) -> dict[str, Any]:
    """Return the body; fields that are not set are not sent, zero and false are set."""
    is_3 = family_of(model) is Family.WAN_3_0
    items = list(media(request, is_3))
    return {
        "model": model,
        "input": without_none(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            audio_url=getattr(request, "audio_url", None),
            media=items or None,
        ),
        "parameters": without_none(
            resolution=request.resolution,
            ratio=None if follows_its_frame(request, model) else request.ratio,
            duration=request.duration,
            audio=request.generate_audio,
            prompt_extend=request.prompt_extend,
            watermark=request.watermark,
            seed=request.seed,
            audio_setting=getattr(request, "audio_setting", None),
        ),
    }
