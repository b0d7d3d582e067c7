"""How long tasks of one kind take, learnt from those that finished."""

from __future__ import annotations

from collections import deque

REMEMBERED = 64
ENOUGH = 5
"""Finished tasks of a kind before anything is concluded."""

CAUTION = 0.9
LONGEST = 900.0
"""Seconds: no first query waits longer, whatever was learnt."""


class Runtimes:
    """The recent run times (seconds from submission to end) by profile."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def learn(self, profile: str, seconds: float) -> None:
        """Remember that a task of ``profile`` took ``seconds``."""
        if seconds > 0:
            self._seen.setdefault(profile, deque(maxlen=REMEMBERED)).append(seconds)

    def least(self, profile: str) -> float:
        """Return the seconds that such a task takes at least, 0 where too little is known."""
        seen = self._seen.get(profile)
        if seen is None or len(seen) < ENOUGH:
            return 0.0
        early = sorted(seen)[len(seen) // 20]
        return min(LONGEST, early * CAUTION)
