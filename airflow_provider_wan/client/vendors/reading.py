"""From a vendor's JSON and headers to values; whatever is not what it should be is ``None`` or empty."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any
from urllib.parse import urljoin

from airflow_provider_wan.client.exchange import Answer
from airflow_provider_wan.client.urls import is_web_url

MESSAGE_LIMIT = 500
ID_LIMIT = 256
URL_LIMIT = 8192
MOST_URLS = 16
MOST_ROWS = 1000
USAGE_LIMIT = 4000
"""Characters in all."""
USAGE_TEXT_LIMIT = 200
MOST_USAGE_FIELDS = 64


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


def urls_in(value: object, base_url: str = "") -> list[str]:
    """Return the http(s) URLs of a string, of an object's ``url``, or of a (nested) list of these; at most some.

    :param base_url: of the account; an address that begins with ``/`` is on its host.
    """
    if isinstance(value, str):
        url = urljoin(base_url, value) if base_url and value.startswith("/") and value[1:2] != "/" else value
        return [url] if len(url) <= URL_LIMIT and is_web_url(url) else []
    if isinstance(value, dict):
        return urls_in(value.get("url"), base_url)
    found: list[str] = []
    for item in value if isinstance(value, list) else ():
        found += urls_in(item, base_url)
        if len(found) >= MOST_URLS:
            break
    return found[:MOST_URLS]


def usage_of(value: object) -> dict[str, Any] | None:
    """Return what an answer says of its costs, bounded: it goes into events and XCom.

    Names and texts are cut; what is nested stays where it is small.
    """
    if not isinstance(value, dict):
        return None
    kept: dict[str, Any] = {}
    left = USAGE_LIMIT
    for name, item in islice(value.items(), MOST_USAGE_FIELDS):
        small = item[:USAGE_TEXT_LIMIT] if isinstance(item, str) else item
        left -= _size(small, left) + len(name)
        if left < 0:
            break
        kept[str(name)[:USAGE_TEXT_LIMIT]] = small
    return kept or None


def _size(value: object, limit: int) -> int:
    """Return about how many characters a value has; walking ends above ``limit``."""
    if isinstance(value, str):
        return len(value)
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    size = 8
    for item in items:
        size += _size(item, limit - size)
        if size > limit:
            break
    return size


def rows_of(value: object) -> list[dict[str, Any]] | None:
    """Return the rows of a list, or ``None`` for no list, or for one that nobody asked for so long."""
    if not isinstance(value, list) or len(value) > MOST_ROWS:
        return None
    return [as_dict(row) for row in value]


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
