"""The sandbox's only source of time."""

from __future__ import annotations

import time


class Clock:
    """Wall-clock seconds that only move forward, even when the machine's clock is set back."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        """Jump forward by ``seconds``, for tests of expiry."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._offset += seconds


class ManualClock(Clock):
    """A clock that moves only when told."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        super().__init__()
        self._now = start

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
