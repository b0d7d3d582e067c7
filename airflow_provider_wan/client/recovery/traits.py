"""Says whether a finished task was made from a request, by what the vendor tells of it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from airflow_provider_wan.client.requests import TextToVideoRequest, VideoRequest, media_urls
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask

SHORTEST_CUT = 500
"""Characters; a shorter prompt than the one asked for is another prompt, not the same one cut off."""

DURATION_TOLERANCE = 0.9
"""Seconds by which a video may miss the length asked for."""

DIGEST_BYTES = 8


class Likeness(Enum):
    """What the comparison says."""

    SAME = "same"
    OTHER = "other"
    UNTOLD = "untold"
    """The vendor does not tell enough to say either."""


class Traits(NamedTuple):
    """What a request and a finished task can be compared by where their prompts must not be kept.

    :param prompt: digest of the prompt; empty when there is none, or when the vendor tells none.
    :param opening: digest of the first 500 characters of a prompt that has as many: vendors cut long ones off.
    :param resolution: tier; ``None`` when it is not told, or says nothing. So are the others.
    :param duration: seconds.
    """

    prompt: str = ""
    opening: str = ""
    resolution: str | None = None
    ratio: str | None = None
    duration: float | None = None

    def may_be(self, told: Traits) -> bool:
        """Whether a task with the traits ``told`` may be of a request with these; the prompts themselves decide."""
        if self.prompt and told.prompt and self.prompt != told.prompt:
            is_cut = bool(told.opening) and told.opening == self.opening
            if not is_cut:
                return False
        elif told.prompt and not self.prompt:
            return False
        return not self.contradict(told)

    def contradict(self, told: Traits) -> bool:
        """Whether tier, ratio or length differ, as far as both sides tell them."""
        pairs = ((self.resolution, told.resolution), (self.ratio, told.ratio))
        if any(said is not None and asked is not None and said != asked for asked, said in pairs):
            return True
        if self.duration is None or told.duration is None:
            return False
        return abs(told.duration - self.duration) > DURATION_TOLERANCE


def traits_asked(request: VideoRequest) -> Traits:
    """Return what the task of ``request`` will be known by."""
    prompt, opening = _digests(_squeezed(_prompt_sent(request)))
    if request.extra_body.get("parameters") or not request.strict:
        # What was sent is not what the fields say, or the vendor may have mended it.
        return Traits(prompt, opening)
    ratio = request.ratio if isinstance(request, TextToVideoRequest) and request.ratio != "adaptive" else None
    return Traits(prompt, opening, request.resolution, ratio, request.duration if _has_set_length(request) else None)


def traits_told(task: VideoTask) -> Traits:
    """Return what a finished task tells of itself."""
    return Traits(*_digests(_squeezed(task.prompt)), task.resolution, task.ratio, task.duration)


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
    return Likeness.OTHER if traits_asked(request).contradict(traits_told(task)) else Likeness.SAME


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


def _digests(text: str) -> tuple[str, str]:
    """Return the digests of a whole (squeezed) prompt and of its opening."""
    return _digest(text), _digest(text[:SHORTEST_CUT]) if len(text) >= SHORTEST_CUT else ""


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=DIGEST_BYTES).hexdigest() if text else ""


def _has_set_length(request: VideoRequest) -> bool:
    """Whether the video is as long as asked: not an edit or a continued clip, nor a length the model chooses."""
    is_free = request.mode is Mode.VIDEO_EDIT or getattr(request, "first_clip", None) is not None
    return request.duration > 0 and not is_free
