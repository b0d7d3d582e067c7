"""What a bill depends on, read from a request as it is sent: ``extra_body`` may change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import Mode


@dataclass(frozen=True)
class NoPrice:
    """Why it is not known what something costs."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Terms:
    """What a vendor is asked for, as far as it decides the bill.

    :param region: of the account; ``None`` where the vendor has none.
    :param duration: seconds asked for; 0 keeps the length of an edited clip, -1 lets the model choose.
    :param reads_video: whether a reference clip or the source of an edit goes in.
    :param input_seconds: length of all clips that go in, where it is known.
    """

    vendor: str
    region: str | None
    model: str
    mode: Mode
    resolution: str
    duration: float
    sound: bool = True
    reads_video: bool = False
    input_seconds: float | None = None


@dataclass(frozen=True)
class _Names:
    """Where a vendor's body says what decides the bill; ``unclear`` fields cannot be priced when they are replaced."""

    model: str = "model"
    resolution: str = "resolution"
    duration: str = "duration"
    sound: str = "generate_audio"
    unclear: tuple[str, ...] = ("n", "video_url", "video_urls")
    fields: tuple[str, ...] = field(init=False, default=("model", "resolution", "duration", "sound"))


_NAMES = {
    "dashscope": _Names(
        resolution="parameters.resolution",
        duration="parameters.duration",
        sound="parameters.audio",
        unclear=("parameters.size", "parameters.n", "input.media", "input.reference_urls", "input.video_url"),
    ),
    "gccai": _Names(),
    "powertokens": _Names(resolution="size", duration="seconds", unclear=("n", "media")),
    "freepik": _Names(model="", unclear=("video_url", "video_urls")),
}


def terms_of(
    request: VideoRequest, vendor: str, model: str, region: str | None, input_seconds: float | None = None
) -> Terms | NoPrice:
    """Return what the bill of ``request`` depends on.

    :param model: the one it goes to, when ``extra_body`` names no other.
    :param input_seconds: length of all its clips, where it is known.
    """
    names = _NAMES.get(vendor, _Names())
    for place in names.unclear:
        if _at(request.extra_body, place) is not None:
            return NoPrice(f"extra_body replaces {place}, and what that costs is not known")
    sent: dict[str, Any] = {
        "model": model,
        "resolution": request.resolution,
        "duration": request.duration,
        "sound": request.generate_audio is not False,
    }
    for name in names.fields:
        given = _at(request.extra_body, getattr(names, name))
        if given is not None:
            sent[name] = given
    try:
        duration = float(sent["duration"])
    except (TypeError, ValueError):
        return NoPrice("extra_body replaces the duration by something that is no number")
    return Terms(
        vendor=vendor,
        region=region,
        model=str(sent["model"]),
        mode=request.mode,
        resolution=str(sent["resolution"]).upper(),
        duration=duration,
        sound=bool(sent["sound"]),
        reads_video=request.mode is Mode.VIDEO_EDIT or bool(getattr(request, "reference_videos", None)),
        input_seconds=input_seconds,
    )


def _at(body: Any, place: str) -> Any:
    for name in place.split("."):
        if not name or not isinstance(body, Mapping):
            return None
        body = body.get(name)
    return body
