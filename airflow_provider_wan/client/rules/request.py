"""What each family of Wan models accepts, as tables, and the check that reports all violations together.

Sources: Alibaba Model Studio's API references of Wan 2.7 (text-to-video, image-to-video, reference-to-video,
video editing) and of Wan 3.0. A model outside these families is checked by the general rules only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.requests import (
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
)
from airflow_provider_wan.client.rules.families import LIMITS, Family, family_of
from airflow_provider_wan.client.rules.media import media_violations, url_violations
from airflow_provider_wan.client.rules.prompt import names_in_prompt
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.urls import shorten

SEED_MAX = 2_147_483_647
_MODE_OF_NAME = {
    "t2v": Mode.TEXT_TO_VIDEO,
    "i2v": Mode.IMAGE_TO_VIDEO,
    "r2v": Mode.REFERENCE_TO_VIDEO,
    "videoedit": Mode.VIDEO_EDIT,
}
"""Wan 2.7 has a model per mode; Wan 3.0 is one model for all."""


def violations_of(request: VideoRequest, model: str) -> Iterator[Violation]:
    """Yield every rule of ``model``'s family that ``request`` breaks, whichever vendor sells it."""
    family = family_of(model)
    yield from _model(request, model)
    yield from _prompt(request, family)
    yield from _picture(request, family)
    yield from url_violations(request)
    yield from _extra_body(request)
    yield from _duration(request, family)
    yield from media_violations(request, family)
    yield from names_in_prompt(request)


def _model(request: VideoRequest, model: str) -> Iterator[Violation]:
    name = re.match(r"wan2\.7-(t2v|i2v|r2v|videoedit)(-|$)", model)
    if name and _MODE_OF_NAME[name[1]] is not request.mode:
        made = _MODE_OF_NAME[name[1]]
        yield Violation("model", f"{model} makes {made}, not {request.mode}", shorten(model), "remove it")


def _extra_body(request: VideoRequest) -> Iterator[Violation]:
    try:
        json.dumps(request.extra_body, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"can be written as JSON ({type(error).__name__})"
        yield Violation("extra_body", problem, shorten(request.extra_body), "use plain JSON values", hard=True)


def _prompt(request: VideoRequest, family: Family) -> Iterator[Violation]:
    limits = LIMITS.get(family)
    if request.prompt is None:
        if isinstance(request, TextToVideoRequest | ReferenceToVideoRequest):
            rule = f"is required for {request.mode}"
            yield Violation("prompt", rule, "nothing", "say what the video shows", hard=True)
        elif isinstance(request, VideoEditRequest) and family is Family.WAN_3_0:
            yield Violation("prompt", "must say what to edit (Wan 3.0)", "nothing", "describe the change")
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
        rule = f"is between {seed_min} and {SEED_MAX}"
        yield Violation("seed", rule, str(request.seed), "leave it out for a random one")
    if limits is None:
        return
    if request.resolution not in limits.resolutions:
        yield _choice("resolution", limits.resolutions, request.resolution)
    if request.ratio is not None and request.ratio not in limits.ratios:
        yield _choice("ratio", limits.ratios, request.ratio)
    if request.generate_audio is not None and not limits.has_generate_audio:
        yield Violation(
            "generate_audio",
            f"does not exist in {family}",
            str(request.generate_audio),
            "remove it, or use a Wan 3.0 model",
            hard=True,
        )


def _choice(field: str, choices: tuple[str, ...], given: str) -> Violation:
    return Violation(field, f"is one of {', '.join(choices)}", shorten(given), f"for example {choices[-1]}")


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
            yield Violation("duration", "is a number of seconds", str(request.duration), "give seconds")
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
        fix = f"for example {min(max(request.duration, low), high)}"
        yield Violation("duration", rule, str(request.duration), fix, depends_on=("reference_videos",))


__all__ = ["LIMITS", "SEED_MAX", "Family", "duration_range", "family_of", "violations_of"]
