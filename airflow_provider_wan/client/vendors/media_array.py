"""The ordered ``media`` array by which DashScope, and gateways in front of it, take images, clips and sounds."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    Reference,
    ReferenceToVideoRequest,
    VideoEditRequest,
    VideoRequest,
)
from airflow_provider_wan.client.vendors.base import without_none


def media(request: VideoRequest, is_3: bool) -> Iterator[dict[str, str]]:
    """Yield the items of the ordered media list; Wan 3.0 calls the source of an edit a reference."""
    match request:
        case ImageToVideoRequest():
            for kind in ("first_frame", "first_clip", "last_frame", "driving_audio"):
                url = getattr(request, kind)
                if url:
                    yield {"type": kind, "url": url}
        case ReferenceToVideoRequest():
            yield from _references("reference_image", request.reference_images)
            yield from _references("reference_video", request.reference_videos)
            yield from ({"type": "reference_audio", "url": url} for url in request.reference_audios)
            for kind, url in (
                ("file", request.document),
                ("link", request.link),
                ("first_frame", request.first_frame),
            ):
                if url:
                    yield {"type": kind, "url": url}
        case VideoEditRequest():
            if request.video:
                yield {"type": "reference_video" if is_3 else "video", "url": request.video}
            yield from _references("reference_image", request.reference_images)


def _references(kind: str, items: list[Reference]) -> Iterator[dict[str, str]]:
    for item in items:
        yield without_none(type=kind, url=item.url, reference_voice=item.voice)
