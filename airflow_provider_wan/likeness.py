"""Says whether a finished task was made from a request, by what the vendor tells of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import Any

from airflow_provider_wan.client.requests import TextToVideoRequest, VideoRequest, media_urls
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask

SHORTEST_CUT = 500
"""Characters; a shorter prompt than the one asked for is another prompt, not the same one cut off."""

DURATION_TOLERANCE = 0.9
"""Seconds by which a video may miss the length asked for."""


class Likeness(Enum):
    """What the comparison says."""

    SAME = "same"
    OTHER = "other"
    UNTOLD = "untold"
    """The vendor does not tell enough to say either."""


def likeness(task: VideoTask, request: VideoRequest) -> Likeness:
    """Compare prompt, tier, ratio and length, as far as the task tells them."""
    if task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        # It may have been this one's, but there is nothing to adopt and nothing is billed.
        return Likeness.OTHER
    if task.status is not TaskStatus.SUCCEEDED:
        return Likeness.UNTOLD
    asked, said = _squeezed(_prompt_sent(request)), _squeezed(task.prompt)
    if asked and not said:
        return Likeness.UNTOLD
    if asked != said and not (len(said) >= SHORTEST_CUT and asked.startswith(said)):
        return Likeness.OTHER
    return Likeness.OTHER if _differs(task, request) else Likeness.SAME


def tells_all(request: VideoRequest) -> bool:
    """Whether a finished task tells everything of the request that its content depends on."""
    return not media_urls(request) and not request.extra_body


def model_sent(request: VideoRequest, model: str) -> str:
    """Return the model that the body names, which ``extra_body`` may replace."""
    return str(request.extra_body.get("model") or model)


def _prompt_sent(request: VideoRequest) -> str | None:
    given = request.extra_body.get("input")
    replaced = given.get("prompt") if isinstance(given, Mapping) else None
    return str(replaced) if replaced is not None else request.prompt


def _squeezed(text: str | None) -> str:
    """Leave out what a vendor may change in passing: spaces, forms of one letter, halves of a cut-off sign."""
    return "".join(unicodedata.normalize("NFKC", text or "").split()).rstrip("\ufffd")


def _differs(task: VideoTask, request: VideoRequest) -> bool:
    if request.extra_body.get("parameters") or not request.strict:
        # What was sent is not what the fields say, or the vendor may have mended it.
        return False
    told: list[tuple[Any, Any]] = [(task.resolution, request.resolution)]
    if isinstance(request, TextToVideoRequest) and request.ratio != "adaptive":
        told.append((task.ratio, request.ratio))
    if any(said is not None and asked is not None and said != asked for said, asked in told):
        return True
    return (
        task.duration is not None
        and _has_set_length(request)
        and abs(task.duration - request.duration) > DURATION_TOLERANCE
    )


def _has_set_length(request: VideoRequest) -> bool:
    """Whether the video is as long as asked: not an edit or a continued clip, nor a length the model chooses."""
    is_free = request.mode is Mode.VIDEO_EDIT or getattr(request, "first_clip", None) is not None
    return request.duration > 0 and not is_free
