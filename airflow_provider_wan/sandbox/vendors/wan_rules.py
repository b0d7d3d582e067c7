"""The rules of the Wan models that all vendors share: media lists and what may go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import Reader

Check = Callable[[str], "str | None"]

# Wan 2.7 image-to-video: only these sets are legal
# (help.aliyun.com/zh/model-studio/image-to-video-general-api-reference).
I2V_SETS = (
    {"first_frame"},
    {"first_frame", "driving_audio"},
    {"first_frame", "last_frame"},
    {"first_frame", "last_frame", "driving_audio"},
    {"first_clip"},
    {"first_clip", "last_frame"},
)
IMAGE_TYPES = frozenset({"first_frame", "last_frame", "reference_image"})


@dataclass(frozen=True, slots=True)
class Media:
    """One item of a media list."""

    type: str
    url: str
    voice: str | None = None


def read_media(
    body: Reader, types: Mapping[str, int], *, image: Check, other: Check, voices: bool = False, strict: bool = True
) -> list[Media]:
    """Read ``media`` with at most so many items of each type; a misfit names the item."""
    found: list[Media] = []
    for item in body.objects("media"):
        given = item.get("type")
        url = item.url("url", image if str(given) in IMAGE_TYPES else other, required=True)
        kind = item.choice("type", types)
        if kind is None:
            if given is None:
                item.complain(item.missing("type"))
            continue
        voice = None
        if voices and kind in ("reference_image", "reference_video"):
            voice = item.url("reference_voice", other)
        item.rest(strict=strict, misplaced=strict)
        found.append(Media(kind, url or "", voice))
    for kind, number in Counter(media.type for media in found).items():
        if number > types[kind]:
            rule = f"may have at most {types[kind]} item(s) of type {kind}, got {number}"
            body.complain(body.wrong("media", rule))
    return found


def kinds(media: list[Media]) -> set[str]:
    """Return the types in a media list."""
    return {item.type for item in media}


def count(media: list[Media], *types: str) -> int:
    """Return how many items are of these types."""
    return sum(item.type in types for item in media)


def first(media: list[Media], *types: str) -> str | None:
    """Return the URL of the first item of these types."""
    return next((item.url for item in media if item.type in types), None)


def check_i2v(media: list[Media], body: Reader) -> None:
    """Refuse a media set that image-to-video does not know."""
    if kinds(media) not in I2V_SETS:
        given = " + ".join(sorted(kinds(media))) or "nothing"
        body.complain(body.wrong("media", f"must be one of the six documented sets, got {given}"))


def check_references(images: int, videos: int, complain: Callable[[str], Refusal]) -> None:
    """Refuse anything but 1 to 5 references."""
    if not 1 <= images + videos <= 5:
        raise complain(f"must hold 1 to 5 reference images and videos together, got {images + videos}")
