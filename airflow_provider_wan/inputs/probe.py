"""Looking at a medium once: its digest, its type, and as much of its inside as can be seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from airflow_provider_wan.client.rules.content import Content
from airflow_provider_wan.inputs.kinds import HEAD, kind_of, picture_of
from airflow_provider_wan.inputs.sources import MediaSource


@dataclass(frozen=True)
class Look:
    """What was seen of a medium.

    :param digest: SHA-256 of its content in hex; ``None`` of one that is empty or larger than anything takes.
    """

    content: Content
    digest: str | None


def look_at(source: MediaSource, most_bytes: int) -> Look:
    """Read a medium from the start to the end, in pieces.

    :param most_bytes: larger ones are not read.
    :raises NotUsable: when it cannot be had.
    :raises WanError: when the storage does not answer; retryable.
    """
    size = source.size
    if not 0 < size <= most_bytes:
        return Look(Content("", size), None)
    digest, head = hashlib.sha256(), b""
    for piece in source.pieces():
        digest.update(piece)
        if len(head) < HEAD:
            head += piece
    kind = kind_of(head, source.name)
    content = Content(kind, size)
    if kind.startswith("image/"):
        seen = picture_of(head, kind)
        if seen:
            content = Content(kind, size, *seen)
    elif kind.startswith(("video/", "audio/")):
        content = _inside(source, content)
    return Look(content, digest.hexdigest())


def can_look_inside() -> bool:
    """Whether the extra ``media`` is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def _inside(source: MediaSource, content: Content) -> Content:
    """Read the length of a clip or a sound and a clip's size; nothing is decoded."""
    if not can_look_inside():
        return content
    import av

    try:
        if source.is_local:
            with av.open(source.local_path) as container:
                return _described(container, content)
        with source.open() as file, av.open(file) as container:
            return _described(container, content)
    except (av.FFmpegError, OSError, ValueError, EOFError):
        # By its first bytes it is what it says; what is inside cannot be read.
        kind = f"broken {content.kind}"
        return Content(kind, content.bytes)


def _described(container: Any, content: Content) -> Content:
    seconds = container.duration / 1_000_000 if container.duration else None
    if not container.streams.video:
        kind = content.kind.replace("video/", "audio/", 1)
        return Content(kind, content.bytes, seconds=seconds)
    video = container.streams.video[0]
    if seconds is None and video.duration and video.time_base:
        seconds = float(video.duration * video.time_base)
    fps = float(video.average_rate) if video.average_rate else None
    if content.kind.startswith("audio/"):
        # The cover of an MP3.
        return Content(content.kind, content.bytes, seconds=seconds)
    return Content(content.kind, content.bytes, video.width, video.height, None, seconds, fps)
