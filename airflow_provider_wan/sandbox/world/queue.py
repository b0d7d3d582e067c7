"""The queue of one account and model: so many run at once, the rest wait their turn.

State is computed from timestamps when somebody looks, so ten thousand tasks cost nothing while nobody does.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from itertools import count

from airflow_provider_wan.sandbox.world.tasks import Status, Task


class ModelQueue:
    """First come, first served, ``limit()`` at once; calls back at each change of state, in order of time."""

    def __init__(
        self,
        limit: Callable[[], float],
        on_start: Callable[[Task, float], None],
        on_end: Callable[[Task, float], None],
    ) -> None:
        self._limit = limit
        self._on_start = on_start
        self._on_end = on_end
        self._waiting: deque[Task] = deque()
        self._ends: list[tuple[float, int, Task]] = []
        self._running = 0
        self._order = count()
        self._time = -math.inf

    @property
    def waiting(self) -> int:
        """How many wait for a free slot."""
        return len(self._waiting)

    def join(self, task: Task) -> None:
        """Queue a task."""
        self._waiting.append(task)

    def leave(self, task: Task) -> None:
        """Take a queued task out, if it is in the queue."""
        if task in self._waiting:
            self._waiting.remove(task)

    def vacate(self) -> None:
        """Free the slot of a running task that somebody ended from outside."""
        self._running -= 1

    def next_event(self) -> float:
        """When the next change of state is due, ``inf`` if none is."""
        return min(self._next_end(), self._next_start())

    def advance(self, now: float) -> None:
        """Play all starts and ends that were due until ``now``, in their order."""
        while True:
            end, start = self._next_end(), self._next_start()
            if min(end, start) > now:
                break
            if end <= start:
                self._time = max(self._time, end)
                task = heapq.heappop(self._ends)[2]
                self._running -= 1
                self._on_end(task, end)
            else:
                self._time = start
                task = self._waiting.popleft()
                self._running += 1
                self._on_start(task, start)
                self._push(task)
        # A slot that is given later (a higher limit) is given from then on, not backdated.
        self._time = max(self._time, now)

    def _push(self, task: Task) -> None:
        heapq.heappush(self._ends, (task.ends, next(self._order), task))

    def _next_end(self) -> float:
        while self._ends:
            end, _, task = self._ends[0]
            if task.status is Status.RUNNING and task.ends == end:
                return end
            heapq.heappop(self._ends)
        return math.inf

    def _next_start(self) -> float:
        if not self._waiting or self._running >= self._limit():
            return math.inf
        return max(self._time, self._waiting[0].ready)
