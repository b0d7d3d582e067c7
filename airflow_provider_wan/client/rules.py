"""What each family of Wan models accepts, as tables, and the check that reports all violations together.

Sources: Alibaba Model Studio's API references of Wan 2.7 (text-to-video, image-to-video, reference-to-video,
video editing) and of Wan 3.0. A model outside these families is checked by the general rules only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from airflow_provider_wan.client.errors import Violation, shorten
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    Reference,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.tasks import Mode

SEED_MAX = 2_147_483_647
DATA_URL_MAX = 20 * 1024 * 1024
CLASSIC_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")


class Family(StrEnum):
    """Groups of models that share their rules."""

    WAN_2_7 = "wan2.7"
    WAN_3_0 = "wan3.0"
    OTHER = "other"


def family_of(model: str) -> Family:
    """Return the family a model's name belongs to; snapshots (``wan2.7-t2v-2026-04-25``) belong to theirs."""
    return next((family for prefix, family in _PREFIXES if re.match(rf"{prefix}(-|$)", model)), Family.OTHER)


_PREFIXES = ((r"wan2\.7", Family.WAN_2_7), ("wan-2-7", Family.WAN_2_7), (r"wan3\.0", Family.WAN_3_0))


@dataclass(frozen=True)
class Limits:
    """The documented limits of one family; lengths in characters, durations in seconds."""

    prompt_max: int
    negative_prompt_max: int
    resolutions: tuple[str, ...]
    ratios: tuple[str, ...]
    seed_min: int
    reference_images_max: int
    reference_videos_max: int
    references_max: int
    has_generate_audio: bool


LIMITS = {
    Family.WAN_2_7: Limits(5000, 500, ("720P", "1080P"), CLASSIC_RATIOS, 0, 5, 5, 5, False),
    Family.WAN_3_0: Limits(
        20_000, 0, ("480P", "720P", "1080P"), (*CLASSIC_RATIOS, "21:9", "adaptive"), -1, 10, 5, 20, True
    ),
}

MEDIA_SETS: tuple[set[str], ...] = (
    {"first_frame"},
    {"first_frame", "driving_audio"},
    {"first_frame", "last_frame"},
    {"first_frame", "last_frame", "driving_audio"},
    {"first_clip"},
    {"first_clip", "last_frame"},
)
"""The six legal media sets of Wan 2.7 image-to-video."""

IMAGE_FIELDS = re.compile(r"^(first_frame|last_frame|reference_images\[\d+\]\.url)$")

_REFERENCE_NAME = re.compile(
    r"(?:(?<![A-Za-z])(?P<word>image|video|audio)\s?|(?P<sign>图片?|视频|音频)\s?)(?P<number>[1-9]\d?)(?![\d:]|\.\d)",
    re.IGNORECASE,
)
_KINDS = {
    "image": "reference_images",
    "video": "reference_videos",
    "audio": "reference_audios",
    "图": "reference_images",
    "图片": "reference_images",
    "视频": "reference_videos",
    "音频": "reference_audios",
}


def violations_of(request: VideoRequest, model: str) -> Iterator[Violation]:
    """Yield every rule of ``model``'s family that ``request`` breaks, whichever vendor sells it."""
    family = family_of(model)
    yield from _prompt(request, family)
    yield from _picture(request, family)
    yield from _urls(request)
    yield from _duration(request, family)
    yield from _media(request, family)
    yield from _names_in_prompt(request)


def _prompt(request: VideoRequest, family: Family) -> Iterator[Violation]:
    limits = LIMITS.get(family)
    if request.prompt is None:
        if isinstance(request, TextToVideoRequest | ReferenceToVideoRequest):
            yield Violation("prompt", f"is required for {request.mode}", "nothing", hard=True)
        elif isinstance(request, VideoEditRequest) and family is Family.WAN_3_0:
            yield Violation("prompt", "must say what to edit (Wan 3.0)", "nothing")
    elif limits and len(request.prompt) > limits.prompt_max:
        yield _too_long("prompt", len(request.prompt), limits.prompt_max)
    if request.negative_prompt and limits:
        if limits.negative_prompt_max == 0:
            yield Violation(
                "negative_prompt",
                "does not exist in Wan 3.0",
                shorten(request.negative_prompt, 60),
                "say in the prompt what to avoid",
                hard=True,
            )
        elif len(request.negative_prompt) > limits.negative_prompt_max:
            yield _too_long("negative_prompt", len(request.negative_prompt), limits.negative_prompt_max)


def _too_long(field: str, length: int, limit: int) -> Violation:
    return Violation(
        field,
        f"has at most {limit} characters",
        f"{length} characters",
        "shorten it (the rest would be cut off)",
    )


def _picture(request: VideoRequest, family: Family) -> Iterator[Violation]:
    limits = LIMITS.get(family)
    seed_min = limits.seed_min if limits else 0
    if request.seed is not None and not seed_min <= request.seed <= SEED_MAX:
        yield Violation("seed", f"is between {seed_min} and {SEED_MAX}", str(request.seed))
    if limits is None:
        return
    if request.resolution not in limits.resolutions:
        yield Violation("resolution", f"is one of {', '.join(limits.resolutions)}", shorten(request.resolution))
    if request.ratio is not None and request.ratio not in limits.ratios:
        yield Violation("ratio", f"is one of {', '.join(limits.ratios)}", shorten(request.ratio))
    if request.generate_audio is not None and not limits.has_generate_audio:
        yield Violation(
            "generate_audio",
            f"does not exist in {family}",
            str(request.generate_audio),
            "remove it, or use a Wan 3.0 model",
            hard=True,
        )


def _urls(request: VideoRequest) -> Iterator[Violation]:
    for field, url in media_urls(request):
        problem = _url_problem(field, url)
        if problem:
            yield problem
    if request.webhook_url is not None:
        problem = _url_problem("webhook_url", request.webhook_url, ("http", "https"))
        if problem:
            yield problem


def _url_problem(
    field: str, url: str, schemes: tuple[str, ...] = ("http", "https", "oss", "asset", "data")
) -> Violation | None:
    if url.startswith("data:") and "data" in schemes:
        return _data_url_problem(field, url)
    try:
        parts = urlsplit(url)
        complete = parts.scheme in schemes and bool(parts.netloc) and not re.search(r"\s", url)
    except ValueError:
        complete = False
    if complete:
        return None
    return Violation(
        field,
        "is a full URL (http://, https://, or a kind the vendor takes)",
        shorten(url),
        "upload a local file first, with WanHook.upload_file",
        hard=True,
    )


def _data_url_problem(field: str, url: str) -> Violation | None:
    if not IMAGE_FIELDS.match(field):
        return Violation(field, "takes no inline data, only images may be data URLs", shorten(url, 40), hard=True)
    if not re.match(r"data:image/[\w.+-]+;base64,", url):
        return Violation(field, "as inline data is data:image/<type>;base64,<data>", shorten(url[:40]), hard=True)
    if len(url) > DATA_URL_MAX * 4 // 3:
        return Violation(field, "as inline data has at most 20 MB", f"{len(url)} characters", "send a URL instead")
    return None


def duration_range(request: VideoRequest, family: Family) -> tuple[int, int] | None:
    """Return the shortest and the longest duration in seconds, or ``None`` where no rule is known."""
    if family is Family.WAN_3_0:
        return (2, 30)
    if family is not Family.WAN_2_7:
        return None
    if request.mode is Mode.VIDEO_EDIT or getattr(request, "reference_videos", None):
        return (2, 10)
    return (2, 15)


def _duration(request: VideoRequest, family: Family) -> Iterator[Violation]:
    bounds = duration_range(request, family)
    if bounds is None:
        if request.duration < -1:
            yield Violation("duration", "is a number of seconds", str(request.duration))
        return
    low, high = bounds
    rule = f"is between {low} and {high} seconds"
    special = None
    if family is Family.WAN_3_0:
        special, rule = -1, f"{rule}, or -1 (the model chooses)"
    elif request.mode is Mode.VIDEO_EDIT:
        special, rule = 0, f"{rule}, or 0 (keep the length)"
    elif high == 10:
        rule += " with a reference video"
    if not low <= request.duration <= high and request.duration != special:
        yield Violation("duration", rule, str(request.duration))


def _media(request: VideoRequest, family: Family) -> Iterator[Violation]:
    match request:
        case TextToVideoRequest() if request.audio_url and family is Family.WAN_3_0:
            yield _not_in_3("audio_url", request.audio_url, "use reference mode with reference_audios")
        case ImageToVideoRequest():
            yield from _image_media(request, family)
        case ReferenceToVideoRequest():
            yield from _reference_media(request, family)
        case VideoEditRequest():
            yield from _edit_media(request, family)


def _not_in_3(field: str, given: object, fix: str) -> Violation:
    return Violation(field, "does not exist in Wan 3.0", shorten(given), fix, hard=True)


def _image_media(request: ImageToVideoRequest, family: Family) -> Iterator[Violation]:
    given = {
        name
        for name in ("first_frame", "last_frame", "first_clip", "driving_audio")
        if getattr(request, name) is not None
    }
    sets = MEDIA_SETS
    if family is Family.WAN_3_0:
        if request.driving_audio:
            yield _not_in_3("driving_audio", request.driving_audio, "use reference mode with reference_audios")
        if request.first_clip:
            yield _not_in_3(
                "first_clip",
                request.first_clip,
                "use reference mode with reference_videos and a prompt that asks to extend Video 1",
            )
        given -= {"driving_audio", "first_clip"}
        sets = ({"first_frame"}, {"first_frame", "last_frame"})
        if not given and (request.driving_audio or request.first_clip):
            return
    if given not in sets:
        legal = "; ".join(" + ".join(sorted(names)) for names in sets)
        yield Violation(
            "media", f"is one of these sets: {legal}", " + ".join(sorted(given)) or "nothing", hard=not given
        )


def _reference_media(request: ReferenceToVideoRequest, family: Family) -> Iterator[Violation]:
    images, videos = len(request.reference_images), len(request.reference_videos)
    if family is Family.WAN_3_0:
        yield from _reference_media_3(request)
        return
    for name in ("reference_audios", "document", "link"):
        value = getattr(request, name)
        if value:
            yield Violation(
                name, "exists in Wan 3.0 only", shorten(value), "remove it, or use a Wan 3.0 model", hard=True
            )
    if images + videos == 0:
        yield Violation("reference_images, reference_videos", "together hold at least 1 reference", "none", hard=True)
    elif family is Family.WAN_2_7 and images + videos > 5:
        yield Violation(
            "reference_images, reference_videos",
            "together hold 1 to 5 references",
            f"{images} images and {videos} videos",
        )


def _reference_media_3(request: ReferenceToVideoRequest) -> Iterator[Violation]:
    if not (
        request.reference_images
        or request.reference_videos
        or request.reference_audios
        or request.document
        or request.link
    ):
        yield Violation("reference_images", "or another reference, a document or a link is required", "none", hard=True)
    for name, most in (("reference_images", 10), ("reference_videos", 5), ("reference_audios", 5)):
        count = len(getattr(request, name))
        if count > most:
            yield Violation(name, f"holds at most {most} (Wan 3.0)", str(count))
    if request.document and request.link:
        yield Violation("document, link", "exclude each other", "both", "keep one", hard=True)
    if (request.document or request.link) and not request.prompt_extend:
        yield Violation("prompt_extend", "must be true with a document or a link (Wan 3.0)", "False")
    if request.first_frame:
        yield _not_in_3("first_frame", request.first_frame, "frames and references exclude each other there")
    yield from _voices_3(request.reference_images, "reference_images")
    yield from _voices_3(request.reference_videos, "reference_videos")


def _voices_3(references: list[Reference], field: str) -> Iterator[Violation]:
    for index, item in enumerate(references):
        if item.voice:
            yield _not_in_3(f"{field}[{index}].voice", item.voice, "use reference_audios")


def _edit_media(request: VideoEditRequest, family: Family) -> Iterator[Violation]:
    if request.video is None:
        yield Violation("video", "is required for video_edit", "nothing", hard=True)
    most = {Family.WAN_2_7: 4, Family.WAN_3_0: 10}.get(family)
    if most is not None and len(request.reference_images) > most:
        yield Violation("reference_images", f"holds at most {most} in an edit", str(len(request.reference_images)))
    if request.audio_setting and family is Family.WAN_3_0:
        yield _not_in_3("audio_setting", request.audio_setting, "remove it")
    for index, item in enumerate(request.reference_images):
        if item.voice:
            yield Violation(
                f"reference_images[{index}].voice",
                "does not exist in an edit",
                shorten(item.voice),
                hard=True,
            )


def _names_in_prompt(request: VideoRequest) -> Iterator[Violation]:
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
            )
