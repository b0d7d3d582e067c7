"""Which tasks are looked at soon after their submission, long before they can have made a video.

Vendors take requests that they then refuse within a second, and a person waits for that answer. A look at each task
would cost a query each, and most tasks are like others that went on well.
"""

from __future__ import annotations

from collections import Counter

TRIED = 4
"""Tasks of one kind that are looked at early before the others are believed to be well."""

SAMPLE = 10
"""Then one of so many is."""

SUSPECTED = 25
"""After a refusal, so many of the same kind are looked at, one after the other."""


class EarlyLooks:
    """Decides by kind (``profile``): the first ones, then samples, all again after a refusal."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        """How many more of a kind are looked at, whoever comes."""
        self._passed: Counter[str] = Counter()

    def wants(self, profile: str) -> bool:
        """Whether the next task of a kind is looked at early."""
        left = self._left.get(profile, TRIED)
        if left > 0:
            self._left[profile] = left - 1
            return True
        self._passed[profile] += 1
        return self._passed[profile] % SAMPLE == 0

    def suspect(self, profile: str) -> None:
        """Take note that a task of a kind was refused."""
        self._left[profile] = SUSPECTED
