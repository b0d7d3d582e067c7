"""How many tasks an account takes, learnt from what it says: lowered by a refusal, raised again by success."""

from __future__ import annotations

import re

from airflow_provider_wan.client.errors import WanQuotaError

_OF_PACE = re.compile(r"\brate\b|ratequota|frequency|per second|\bqps\b|\brpm\b", re.IGNORECASE)
_OF_NUMBER = re.compile(r"concurren|running|queue|in progress|allocat|parallel|pending", re.IGNORECASE)

WINDOWS_FULL = 4


def is_too_many(error: WanQuotaError) -> bool:
    """Whether a refusal speaks of the tasks that are under way, rather than of the pace."""
    text = f"{error.code or ''} {error.message}"
    return _OF_NUMBER.search(text) is not None and _OF_PACE.search(text) is None


def after_refusal(under_way: int) -> float:
    """Return the window after a refusal: what was under way is what it takes."""
    return float(max(1, under_way))


def after_success(window: float, ended: int, most: int) -> float:
    """Return the window after tasks have ended well: one more for each few windows full of them.

    Whether there is more room is only found out by one refused call, so it is not tried often.
    """
    return min(float(most), window + ended / (WINDOWS_FULL * max(1.0, window)))
