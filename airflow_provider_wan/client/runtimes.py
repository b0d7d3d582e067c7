"""What is learnt while waiting: how long tasks of one kind run, and how fast a vendor's queue moves."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

REMEMBERED = 64
ENOUGH = 5
"""Observations before anything is concluded."""

CAUTION = 0.9
LONGEST = 900.0
"""Seconds: no look is put off for longer, whatever was learnt."""


class Runtimes:
    """The recent run times (seconds from leaving the queue to the end) by profile."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}
        self._least: dict[str, float] = {}

    def learn(self, profile: str, seconds: float) -> None:
        """Remember that a task of ``profile`` ran for ``seconds``."""
        if seconds <= 0:
            return
        seen = self._seen.setdefault(profile, deque(maxlen=REMEMBERED))
        seen.append(seconds)
        if len(seen) >= ENOUGH:
            self._least[profile] = min(LONGEST, sorted(seen)[len(seen) // 20] * CAUTION)

    def least(self, profile: str) -> float | None:
        """Return the seconds that such a task runs at least, ``None`` where too little is known."""
        return self._least.get(profile)


class Queues:
    """The tasks that a vendor has not begun yet, by model, and how fast they are taken up.

    Vendors run a few tasks of an account at a time and keep the others in order, sometimes for hours.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[float]] = {}
        self._ends: dict[str, deque[float]] = {}

    def join(self, model: str, submitted: float) -> None:
        """Note a task seen in the queue."""
        insort(self._waiting.setdefault(model, []), submitted)

    def leave(self, model: str, submitted: float) -> None:
        """Note that a task has left the queue, or is not waited for any more."""
        waiting = self._waiting.get(model, [])
        place = bisect_left(waiting, submitted)
        if place < len(waiting):
            del waiting[place]
        if not waiting:
            # What is learnt holds for this queue only: the next one may move at another speed.
            self._waiting.pop(model, None)
            self._ends.pop(model, None)

    def ended(self, model: str, now: float) -> None:
        """Note that a task has ended, which lets the next one run."""
        if model in self._waiting:
            self._ends.setdefault(model, deque(maxlen=REMEMBERED)).append(now)

    def expected(self, model: str, submitted: float, now: float) -> float:
        """Return the seconds that a task stays in the queue if it moves on as it did; 0 where too little is known."""
        ends = self._ends.get(model)
        if ends is None or len(ends) < ENOUGH:
            return 0.0
        ahead = bisect_left(self._waiting.get(model, []), submitted)
        return ahead * (now - ends[0]) / (len(ends) - 1)
