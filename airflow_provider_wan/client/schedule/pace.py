"""How fast one account may be asked: its budget, and what throttling and outages make of it."""

from __future__ import annotations

import math
import random

MAX_IN_FLIGHT = 12
"""Below the client's 16 connections: httpx degrades when requests queue on its pool."""

SLOWEST = 8.0
"""A vendor that goes on throttling is asked at last at this fraction of the rate."""

SHARED = 0.75
"""Of the rate, what is left to this process when it is throttled: another one asks for the same account."""

REGAINED = 1 / 3600
"""Of the rate, what it takes back in a second: the other one may have gone."""

LONGEST_PAUSE = 300.0
"""Seconds: a ``Retry-After`` beyond this is more likely a mistake than a wish."""

FIRST_PAUSE = 0.25
"""Seconds; doubled from failure to failure."""

BEARABLE = 2
"""Failures in a row before the account is asked only now and then."""


class Pace:
    """Spaces requests by the inverse of ``rate`` (requests per second); the whole account slows, never one task.

    Of several processes that ask for one account each takes the part of the rate that it is told, where that is known.
    Where it is not, each one that is throttled gives up a part of its rate at once and takes it back slowly, so that
    together they come to what the vendor takes, and hardly ever beyond (Chiu and Jain, "Analysis of the increase and
    decrease algorithms for congestion avoidance", 1989).
    """

    def __init__(self, rate: float, rng: random.Random) -> None:
        self._alone = 1.0 / rate
        self.spacing = self._base = self._alone
        self._rng = rng
        self._next = 0.0
        self._blocked_until = 0.0
        self._in_flight = 0
        self._throttles = 0
        self._troubles = 0
        self.share = 1.0
        """Of the rate, what this process takes."""
        self._sent_at: float | None = None

    def take_part(self, part: float) -> None:
        """Take this part of the account's rate from now on: others have the rest."""
        base = self._alone / min(1.0, max(1 / SLOWEST, part))
        self.spacing *= base / self._base
        self._base = base

    def wait(self, now: float) -> float:
        """Return the seconds until a request may go: 0 for now, infinity until an answer is back."""
        # In an outage one request at a time finds out whether it is over.
        limit = 1 if self._troubles > BEARABLE else MAX_IN_FLIGHT
        if self._in_flight >= limit:
            return math.inf
        return max(0.0, max(self._next, self._blocked_until) - now)

    def sent(self, now: float) -> None:
        """Note that a request goes."""
        self._in_flight += 1
        since = 0.0 if self._sent_at is None else max(0.0, now - self._sent_at)
        self.share = min(1.0, self.share + since * REGAINED)
        self._sent_at = now
        self._next = now + self.spacing

    def answered(self) -> None:
        """Note a good answer."""
        self._in_flight -= 1
        self._throttles = self._troubles = 0
        self.spacing = max(self._base / self.share, self.spacing * 0.98)

    def throttled(self, retry_after: float | None, now: float) -> None:
        """Note a refusal for speed: everything pauses, and goes on more slowly for a while."""
        self._in_flight -= 1
        if now >= self._blocked_until:
            # Those that were under way at the same time are one event.
            self._throttles += 1
            self.spacing = min(self._base * SLOWEST, self.spacing * 1.5)
            if self._throttles == 1:
                # A vendor that refuses again and again is in trouble; that says nothing of others.
                self.share = max(1 / SLOWEST, self.share * SHARED)
        pause = min(60.0, 2.0 ** min(self._throttles, 6)) if retry_after is None else retry_after
        self._block(min(LONGEST_PAUSE, pause), now)

    def troubled(self, now: float, is_refused: bool = False) -> None:
        """Note a failure of the vendor or the network; ``is_refused``: it does not take the key."""
        self._in_flight -= 1
        self._troubles += 1
        if is_refused:
            self._block(min(8.0, FIRST_PAUSE * 2.0 ** min(self._troubles, 5)), now)
        elif self._troubles > BEARABLE:
            self._block(
                min(10.0, FIRST_PAUSE * 2.0 ** min(self._troubles - BEARABLE, 6)) * self._rng.uniform(0.5, 1.0), now
            )

    def _block(self, seconds: float, now: float) -> None:
        self._blocked_until = max(self._blocked_until, now + seconds)
