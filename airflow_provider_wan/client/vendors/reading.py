"""From a vendor's JSON and headers to values; whatever is not what it should be is ``None`` or empty."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_wan.client.exchange import Answer
from airflow_provider_wan.client.urls import is_web_url

MESSAGE_LIMIT = 500
ID_LIMIT = 256


def retry_after(answer: Answer) -> float | None:
    """Return the seconds of a ``Retry-After`` header (a number, or an HTTP date), at least 0."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        when = http_date(value)
        seconds = (when - datetime.now(UTC)).total_seconds() if when else math.nan
    return max(0.0, seconds) if math.isfinite(seconds) else None


def served_at(answer: Answer) -> datetime | None:
    """Return the vendor's clock, from the answer's ``Date`` header."""
    return http_date(answer.headers.get("date", ""))


def http_date(text: str) -> datetime | None:
    """Read the date of an HTTP header; anything else is ``None``."""
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def id_of(*places: object) -> str | None:
    """Return the first of ``places`` that can be an id: a text without control characters, or a number."""
    for value in places:
        if isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value).strip()
            if text.strip(".") and text.isprintable() and len(text) <= ID_LIMIT:
                return text
    return None


def text_or_none(value: object, limit: int = MESSAGE_LIMIT) -> str | None:
    """Return a vendor's value as bounded text, or ``None`` for nothing."""
    if value is None or value == "":
        return None
    return str(value)[:limit]


def unix_time(value: object) -> datetime | None:
    """Read unix seconds; anything else is ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def as_dict(value: object) -> dict[str, Any]:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def urls_in(value: object) -> list[str]:
    """Return the http(s) URLs of a string or a (nested) list of strings."""
    if isinstance(value, str):
        return [value] if is_web_url(value) else []
    if isinstance(value, list):
        return [url for item in value for url in urls_in(item)]
    return []


def later(when: datetime | None, seconds: float) -> datetime | None:
    """Return the moment ``seconds`` after ``when``, or ``None`` where there is none."""
    try:
        return when + timedelta(seconds=seconds) if when else None
    except OverflowError:
        return None


def percent(value: object) -> int | None:
    """Read a progress of 0 to 100."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return max(0, min(100, int(float(str(value).rstrip("% ")))))
    except (ValueError, OverflowError):
        return None
