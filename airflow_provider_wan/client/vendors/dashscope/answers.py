"""Reads DashScope's times, signed URLs and usage objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_wan.client.vendors.reading import later, unix_time

CHINA_OFFSET = timedelta(hours=8)
CHINA_TIME = timezone(CHINA_OFFSET)
"""DashScope's times carry no zone; its own sample events prove that they are China's, in Beijing at least."""
QUARTER = timedelta(minutes=15)
RESULT_LIFETIME = 24 * 3600.0
"""Seconds."""


def zone_of(submit_time: object, submitted_at: datetime) -> timezone:
    """Return the zone of a task's times: China's, unless the moment of the submission proves another one.

    :param submit_time: the vendor's zone-less time of the submission.
    :param submitted_at: the moment its answer arrived here.
    """
    assumed = local_time(submit_time, CHINA_TIME)
    if assumed is None:
        return CHINA_TIME
    quarters = round((assumed - submitted_at) / QUARTER)
    is_exact = abs(assumed - quarters * QUARTER - submitted_at) <= timedelta(minutes=2)
    offset = CHINA_OFFSET + quarters * QUARTER
    return timezone(offset) if quarters and is_exact and abs(offset) <= timedelta(hours=14) else CHINA_TIME


def local_time(value: object, zone: timezone) -> datetime | None:
    """Read ``YYYY-MM-DD HH:mm:ss.SSS`` of a zone; anything else is ``None``."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value.strip())
        return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def compact_time(when: datetime) -> str:
    """Write a moment as the task list's window takes it."""
    return when.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S")


def milliseconds(value: object) -> datetime | None:
    """Read milliseconds since the epoch; anything else is ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def expiry(urls: list[str], finished: datetime | None) -> datetime | None:
    """Read ``Expires`` of the signed URL, else count 24 h from the end."""
    if not urls:
        return None
    stamp = parse_qs(urlsplit(urls[0]).query).get("Expires", [""])[0]
    return (unix_time(stamp) if stamp.isdecimal() else None) or later(finished, RESULT_LIFETIME)


def facts_of_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Read tier, ratio and length of the video; the field names differ by family."""
    found: dict[str, Any] = {}
    tier = str(usage.get("SR") or "").rstrip("Pp")
    if tier.isdigit():
        found["resolution"] = f"{tier}P"
    ratio = usage.get("ratio")
    if isinstance(ratio, str) and ":" in ratio:
        found["ratio"] = ratio
    for name in ("output_video_duration", "video_duration", "duration"):
        value = usage.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
            found["duration"] = value
            break
    return found
