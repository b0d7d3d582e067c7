"""Request limits: so many per sliding second, for each account and endpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable


class SlidingSecond:
    """Admits at most ``limit`` requests in any second; a refused request does not count against the next."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, deque[float]] = {}

    def admit(self, key: Hashable, limit: float, now: float) -> bool:
        """Tell whether one more request of ``key`` fits in the second that ends ``now``; 0 means no limit."""
        if limit <= 0:
            return True
        taken = self._taken.setdefault(key, deque())
        while taken and taken[0] <= now - 1.0:
            taken.popleft()
        if len(taken) >= limit:
            return False
        taken.append(now)
        return True

    def clear(self) -> None:
        """Forget all that was taken."""
        self._taken.clear()
