"""The ``usage`` object of a finished task: each model's page shows other fields, under other names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from airflow_provider_wan.sandbox.world.tasks import Order

SPEECH_RESULTS = re.compile(r"animate|s2v")


def _whole(seconds: float) -> float | int:
    return int(seconds) if math.isclose(seconds, round(seconds)) else seconds


def _pixels(order: Order) -> str:
    return f"{order.size[0]}*{order.size[1]}"


FIELDS: dict[str, Callable[[Order], Any]] = {
    "duration": lambda order: order.seconds + order.input_seconds,
    "input_video_duration": lambda order: order.input_seconds,
    "output_video_duration": lambda order: order.seconds,
    "video_duration": lambda order: _whole(order.seconds),
    "video_count": lambda order: 1,
    "SR": lambda order: int(order.tier.rstrip("P")),
    "ratio": lambda order: order.ratio,
    "size": _pixels,
    "video_ratio": _pixels,
    "fps": lambda order: 30,
    "audio": lambda order: (order.body.get("parameters") or {}).get("audio", True),
}
# A film of real time is told in parts; older pages knew only what was made.
_PARTS = ("duration", "input_video_duration", "output_video_duration", "video_count", "SR")

# The first pattern that a model's name begins with decides.
PAGES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), fields)
    for pattern, fields in (
        (r"wan3\.0", (*_PARTS, "fps", "ratio")),
        (r"(wan2\.7|happyhorse-1\.\d)-(t2v|r2v)", (*_PARTS, "ratio")),
        (r"wan2\.7|happyhorse", _PARTS),
        (r"wan2\.6-i2v-flash", (*_PARTS, "audio")),
        (r"wan2\.6-i2v", _PARTS),
        (r"wan2\.6", (*_PARTS, "size")),
        (r"wan2\.[25]-i2v", ("duration", "SR", "video_count")),
        (r"wan2\.2-kf2v", ("video_duration", "video_count", "SR")),
        (r"wan2\.2-s2v", ("duration", "video_count", "SR", "size", "fps")),
        (r"wan2\.2-animate", ("video_duration", "video_ratio")),
        (r".*vace", ("video_count", "video_duration")),
        (r"wan", ("video_duration", "video_ratio", "video_count")),
    )
)
_STANDARD = re.compile(r"wan2\.2-animate|wanx?2\.1-(i2v|kf2v)")
_INTEGERS = re.compile(r"wan2\.7-i2v|happyhorse|wan2\.[25]-i2v")


def usage(order: Order) -> dict[str, Any]:
    """Return the ``usage`` object that the model's page shows for a finished task."""
    names = next(fields for pattern, fields in PAGES if pattern.match(order.model))
    shown = {name: FIELDS[name](order) for name in names}
    if "video_ratio" in shown and _STANDARD.match(order.model):
        shown["video_ratio"] = "standard"
    if _INTEGERS.match(order.model):
        shown |= {name: _whole(value) for name, value in shown.items() if isinstance(value, float)}
    return shown
