"""The rule that a prompt names only references that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import ReferenceToVideoRequest, VideoEditRequest, VideoRequest
from airflow_provider_wan.client.urls import shorten

_REFERENCE_NAME = re.compile(
    r"(?:(?<![A-Za-z])(?P<word>image|video|audio)\s?|(?P<sign>(?<![地蓝构截插草底视拼])图片?|视频|音频)\s?)"
    r"(?P<number>[1-9]\d?)"
    # Not "image 16:9", "video 4K", "3D", "video 10 seconds", "视频5秒".
    r"(?![\dA-Za-z:%°秒分帧倍]|[.,]\d|[\s-](?:s|secs?|seconds?|min|minutes?|fps|frames?|px|pixels?|times|x|mm|%)\b)",
    re.IGNORECASE,
)
"""How a prompt names a reference: "Image 3", "video2", "图3", "视频 1"."""
_KINDS = {
    "image": "reference_images",
    "video": "reference_videos",
    "audio": "reference_audios",
    "图": "reference_images",
    "图片": "reference_images",
    "视频": "reference_videos",
    "音频": "reference_audios",
}


def names_in_prompt(request: VideoRequest) -> Iterator[Violation]:
    """Find "Image 3" or "视频2" in the prompt of a request that has no such reference."""
    if not isinstance(request, ReferenceToVideoRequest | VideoEditRequest) or not request.prompt:
        return
    counts = {
        "reference_images": len(request.reference_images),
        "reference_videos": len(getattr(request, "reference_videos", [None])),
        "reference_audios": len(getattr(request, "reference_audios", [])),
    }
    told = set()
    for match in _REFERENCE_NAME.finditer(request.prompt):
        name = match.group(0)
        field = _KINDS[(match["word"] or match["sign"]).lower()]
        if int(match["number"]) > counts[field] and name not in told:
            told.add(name)
            yield Violation(
                "prompt",
                f"names {name!r}, which is not among the {counts[field]} {field}",
                shorten(request.prompt, 80),
                "add the reference or change the number (counted from 1, per kind, in order)",
                depends_on=tuple(counts),
            )
