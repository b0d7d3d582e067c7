"""What goes into a video: which URLs, and which of them together.

Sources: Alibaba Model Studio's API references of Wan 2.7 and of Wan 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    Reference,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.rules.families import LIMITS, Family
from airflow_provider_wan.client.urls import shorten

IMAGE_MEDIA = ("first_frame", "first_clip", "last_frame", "driving_audio")
REFERENCE_MEDIA = ("reference_images", "reference_videos", "reference_audios", "document", "link")

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

MEDIA_SCHEMES = ("http", "https", "oss", "asset", "data")
"""What some vendor takes; each vendor narrows it."""

IMAGE_KINDS = ("jpeg", "jpg", "png", "bmp", "webp")
_DATA_URL = re.compile(r"data:image/(?P<kind>[\w.+-]+);base64,[A-Za-z0-9+/]")


def url_violations(request: VideoRequest) -> Iterator[Violation]:
    """Yield the URLs that no vendor takes; each vendor narrows this to its own kinds."""
    for field, url in media_urls(request):
        problem = _url_problem(field, url, ("http", "https") if field == "link" else MEDIA_SCHEMES)
        if problem:
            yield problem
    if request.webhook_url is not None:
        problem = _url_problem("webhook_url", request.webhook_url, ("http", "https"))
        if problem:
            yield problem


def _url_problem(field: str, url: str, schemes: tuple[str, ...]) -> Violation | None:
    if url.startswith("data:") and "data" in schemes:
        return _data_url_problem(field, url)
    try:
        parts = urlsplit(url)
        complete = parts.scheme in schemes and bool(parts.hostname) and not re.search(r"[\s\x00-\x1f]", url)
    except ValueError:
        complete = False
    if complete:
        return None
    # Which other schemes a vendor takes is the vendor's matter: none is named here that this one might refuse.
    fix = "give a public http(s) URL"
    fix = fix if len(schemes) == 2 else f"{fix}, or a file by WanHook.media_url"
    return Violation(field, "is a full URL (https://…)", shorten(url), fix, hard=True)


def _data_url_problem(field: str, url: str) -> Violation | None:
    if not IMAGE_FIELDS.match(field):
        rule = "takes no inline data, only images may be data URLs"
        return Violation(field, rule, shorten(url[:40]), "give a URL, or upload the file first", hard=True)
    head = _DATA_URL.match(url)
    if not head:
        rule = "as inline data is data:image/<type>;base64,<data>"
        return Violation(field, rule, shorten(url[:40]), "encode the image as Base64", hard=True)
    if head["kind"].lower() not in IMAGE_KINDS:
        return Violation(field, f"is one of {', '.join(IMAGE_KINDS)}", shorten(head["kind"]), "convert the image")
    return None


HAPPYHORSE_IMAGES = 9


def media_violations(request: VideoRequest, family: Family) -> Iterator[Violation]:
    """Yield what is missing, too much, or does not go together."""
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
    given = {name for name in IMAGE_MEDIA if getattr(request, name) is not None}
    sets: tuple[set[str], ...] = MEDIA_SETS
    if family in (Family.OTHER, Family.HAPPYHORSE):
        # What an unknown model takes is not known either; it may even stand in extra_body.
        if not given and not request.extra_body:
            rule = "one of them is required"
            yield Violation("first_frame, first_clip", rule, "nothing", "give a frame", True, IMAGE_MEDIA)
        return
    if family is Family.WAN_3_0:
        barred = given & set(_NO_PLACE_IN_3)
        for name in sorted(barred):
            yield _not_in_3(name, getattr(request, name), _NO_PLACE_IN_3[name])
        given -= barred
        sets = ({"first_frame"}, {"first_frame", "last_frame"})
        if barred and not given:
            return
    if given not in sets:
        legal = "; ".join(" + ".join(name for name in IMAGE_MEDIA if name in names) for names in sets)
        field = ", ".join(name for name in IMAGE_MEDIA if name in given) or "first_frame, first_clip"
        what = " + ".join(name for name in IMAGE_MEDIA if name in given) or "nothing"
        fix = "give what one of these sets names, and nothing else"
        yield Violation(field, f"the media are one of these sets: {legal}", what, fix, not given, IMAGE_MEDIA)


_NO_PLACE_IN_3 = {
    "driving_audio": "use reference mode with reference_audios",
    "first_clip": "use reference mode with reference_videos and a prompt that asks to extend Video 1",
}


def _reference_media(request: ReferenceToVideoRequest, family: Family) -> Iterator[Violation]:
    if family is not Family.WAN_2_7:
        yield from _reference_media_any(request)
        if family is Family.WAN_3_0:
            yield from _reference_media_3(request)
        elif family is Family.HAPPYHORSE and len(request.reference_images) > HAPPYHORSE_IMAGES:
            rule = f"holds at most {HAPPYHORSE_IMAGES} (HappyHorse)"
            yield Violation("reference_images", rule, str(len(request.reference_images)), "remove some")
        return
    images, videos = len(request.reference_images), len(request.reference_videos)
    for name in ("reference_audios", "document", "link"):
        value = getattr(request, name)
        if value:
            fix = "remove it, or use a Wan 3.0 model"
            yield Violation(name, "exists in Wan 3.0 only", shorten(value), fix, hard=True)
    if not 1 <= images + videos <= 5:
        yield Violation(
            "reference_images, reference_videos",
            "together hold 1 to 5 references",
            f"{images} images and {videos} videos",
            "split them over several videos" if images + videos else "give at least one",
            hard=images + videos == 0,
        )


def _reference_media_any(request: ReferenceToVideoRequest) -> Iterator[Violation]:
    if not any(getattr(request, name) for name in REFERENCE_MEDIA):
        yield Violation(", ".join(REFERENCE_MEDIA), "one of them is required", "none", "give a reference", hard=True)


def _reference_media_3(request: ReferenceToVideoRequest) -> Iterator[Violation]:
    for name, most in (("reference_images", 10), ("reference_videos", 5), ("reference_audios", 5)):
        count = len(getattr(request, name))
        if count > most:
            yield Violation(name, f"holds at most {most} (Wan 3.0)", str(count), "remove some")
    if request.document and request.link:
        yield Violation("document, link", "exclude each other", "both", "keep one", hard=True)
    if (request.document or request.link) and not request.prompt_extend:
        yield Violation(
            "prompt_extend",
            "must be true with a document or a link (Wan 3.0)",
            "False",
            "set it to true",
            depends_on=("document", "link"),
        )
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
        yield Violation("video", "is required for video_edit", "nothing", "give the clip to change", hard=True)
    limits = LIMITS.get(family)
    if limits and limits.edit_images_max and len(request.reference_images) > limits.edit_images_max:
        rule = f"holds at most {limits.edit_images_max} in an edit"
        yield Violation("reference_images", rule, str(len(request.reference_images)), "remove some")
    if request.audio_setting and family is Family.WAN_3_0:
        yield _not_in_3("audio_setting", request.audio_setting, "remove it")
    for index, item in enumerate(request.reference_images):
        if item.voice:
            yield Violation(
                f"reference_images[{index}].voice",
                "does not exist in an edit",
                shorten(item.voice),
                "remove it, or use reference mode",
                hard=True,
            )
