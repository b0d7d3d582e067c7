"""What images, clips and sounds may be like, as tables: types, bytes, pixels, seconds.

Sources: Alibaba Model Studio's API references of Wan 2.7 and of Wan 3.0; the gateways document the same numbers. Of
models outside these families only the sort of a medium is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.rules.families import Family, family_of

MB = 1024 * 1024
MOST_BYTES = 100 * MB
"""The most that anything takes."""


@dataclass(frozen=True)
class Content:
    """What is known of the content of a medium; ``None`` where nobody has looked.

    :param kind: media type, by the content and not by the name.
    :param seconds: of a clip or a sound.
    :param fps: frames a second of a clip.
    """

    kind: str
    bytes: int
    width: int | None = None
    height: int | None = None
    has_alpha: bool | None = None
    seconds: float | None = None
    fps: float | None = None


@dataclass(frozen=True)
class ContentLimits:
    """What one field takes.

    :param sort: what the field is, in words.
    :param kinds: media types.
    :param most_bytes: of the file.
    :param sides: pixels of the shortest and the longest side.
    :param seconds: shortest and longest.
    :param least_fps: frames a second.
    """

    sort: str
    kinds: tuple[str, ...]
    most_bytes: int
    sides: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    least_fps: float | None = None
    has_alpha: bool = True


MOST_STRETCHED = 8
"""The longer side to the shorter one, of images and clips."""

DOCUMENTS = ("docx", "doc", "xlsx", "xls", "pptx", "ppt", "pdf", "txt", "key", "pages", "numbers", "md")
"""Extensions; their media type here is ``document/<extension>``."""

_IMAGE_KINDS = ("image/jpeg", "image/png", "image/bmp", "image/webp")
_IMAGE = ContentLimits("an image (JPEG, PNG, BMP, WebP)", _IMAGE_KINDS, 20 * MB, (240, 8000), has_alpha=False)
_CLIP = ContentLimits(
    "a clip (MP4, MOV)", ("video/mp4", "video/quicktime"), 100 * MB, (240, 4096), (2, 10), has_alpha=False
)
_SOUND = ContentLimits("a sound (WAV, MP3)", ("audio/wav", "audio/mpeg"), 15 * MB, None, (2, 30))
_DOCUMENT = ContentLimits(
    f"a document ({', '.join(DOCUMENTS)})", tuple(f"document/{name}" for name in DOCUMENTS), 100 * MB
)

_OF_FIELD: tuple[tuple[str, ContentLimits], ...] = (
    (r".*\.voice", replace(_SOUND, seconds=(1, 10))),
    (r"first_frame|last_frame|reference_images.*", _IMAGE),
    (r"first_clip|video", _CLIP),
    (r"reference_videos.*", replace(_CLIP, seconds=(1, 30))),
    (r"audio_url|driving_audio|reference_audios.*", _SOUND),
    (r"document", _DOCUMENT),
)
_OF_FIELD_3: tuple[tuple[str, ContentLimits], ...] = (
    (r"reference_videos.*|video", replace(_CLIP, seconds=(1, 15), least_fps=16)),
    (r"reference_audios.*", replace(_SOUND, seconds=(1, 15))),
)
"""Where Wan 3.0 differs."""

SECONDS_TOGETHER_3 = 15.0
"""Of all reference clips, and of all reference sounds, of Wan 3.0."""


def limits_of(field: str, model: str) -> ContentLimits:
    """Return what a field takes at a model."""
    family = family_of(model)
    tables = (*_OF_FIELD_3, *_OF_FIELD) if family is Family.WAN_3_0 else _OF_FIELD
    found = next(limits for pattern, limits in tables if re.fullmatch(pattern, field))
    if family in (Family.WAN_2_7, Family.WAN_3_0):
        return found
    return replace(found, sides=None, seconds=None, has_alpha=True, most_bytes=MOST_BYTES)


def content_violations(request: VideoRequest, model: str, contents: Mapping[str, Content]) -> Iterator[Violation]:
    """Yield what the documented limits say against the media of a request.

    :param contents: by field, as :func:`~airflow_provider_wan.client.requests.media_urls` names them.
    """
    for field, content in contents.items():
        yield from _of_one(field, content, limits_of(field, model))
    if family_of(model) is Family.WAN_3_0:
        yield from _together_3("reference_videos", contents)
        yield from _together_3("reference_audios", contents)


def _of_one(field: str, content: Content, limits: ContentLimits) -> Iterator[Violation]:
    if content.bytes == 0:
        yield Violation(field, "holds something", "an empty file", "write the file again", hard=True)
        return
    if content.bytes > limits.most_bytes:
        rule = f"has at most {limits.most_bytes // MB} MB"
        # Nobody looks into a file that is too large, so nothing else is said of it.
        is_hard = content.bytes > MOST_BYTES
        yield Violation(field, rule, _size(content.bytes), "make it smaller, or shorter", hard=is_hard)
        return
    if content.kind not in limits.kinds:
        sort = content.kind.split("/")[0]
        is_other = sort not in {kind.split("/")[0] for kind in limits.kinds}
        given = f"{content.kind}, by its content" if content.kind else "something else, by its content"
        yield Violation(field, f"is {limits.sort}", given, "convert it; its name does not matter", hard=is_other)
        if is_other:
            return
    if content.has_alpha and not limits.has_alpha:
        rule, fix = "has no alpha channel (transparency)", "save it without, over a background"
        yield Violation(field, rule, "a picture with one", fix)
    if limits.sides and content.width and content.height:
        yield from _pixels(field, content.width, content.height, limits.sides)
    if limits.seconds and content.seconds is not None:
        low, high = limits.seconds
        if not low <= round(content.seconds, 1) <= high:
            rule = f"lasts {low:g} to {high:g} s"
            yield Violation(field, rule, f"{content.seconds:.1f} s", "cut it" if content.seconds > high else "")
    if limits.least_fps and content.fps and round(content.fps, 1) < limits.least_fps:
        yield Violation(field, f"has at least {limits.least_fps:g} frames a second", f"{content.fps:g}")


def _pixels(field: str, width: int, height: int, sides: tuple[int, int]) -> Iterator[Violation]:
    given, (low, high) = f"{width} x {height}", sides
    if min(width, height) < low or max(width, height) > high:
        yield Violation(field, f"has sides of {low} to {high} pixels", given, "scale it")
    elif max(width, height) > MOST_STRETCHED * min(width, height):
        yield Violation(field, f"is at most {MOST_STRETCHED} times as long as wide", given, "crop it")


def _together_3(name: str, contents: Mapping[str, Content]) -> Iterator[Violation]:
    lengths = [item.seconds or 0.0 for field, item in contents.items() if re.fullmatch(rf"{name}\[.*", field)]
    if len(lengths) > 1 and round(sum(lengths), 1) > SECONDS_TOGETHER_3:
        rule = f"together last at most {SECONDS_TOGETHER_3:g} s (Wan 3.0)"
        yield Violation(name, rule, f"{sum(lengths):.1f} s", "cut or remove some")


def _size(count: int) -> str:
    return f"{count / MB:,.1f} MB" if count >= MB else f"{count:,} bytes"
