"""What is learnt while waiting: how long tasks of one kind run, and how many ends a page of the list brings."""

from __future__ import annotations

import math
from collections import deque

from airflow_provider_wan.client.schedule.asks import Entry
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask

TYPICAL_LEAST = 60.0
"""Seconds: the vendors speak of one to five minutes; believed until something is learnt."""

COLD_INTERVALS = 4
COLD_INTERVALS_LISTED = 2
"""But the first look comes after so many intervals at most, earlier where the list makes it cheap."""

REMEMBERED = 64
ENOUGH = 5
"""Observations before anything is concluded."""

CAUTION = 0.9
LONGEST = 900.0
"""Seconds: no look is put off for longer, whatever was learnt."""

GAIN = 0.5
"""Weight of the latest page in what pages are expected to bring."""


class Runtimes:
    """The recent run times (seconds from leaving the queue to the end) by profile."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}
        self._least: dict[str, float] = {}

    def learn(self, entry: Entry, task: VideoTask, least: float, now: float) -> None:
        """Take what a task that has ended tells.

        :param least: seconds that it was thought to run at least.
        """
        if task.status is not TaskStatus.SUCCEEDED:
            return
        was_queued = entry.starts > entry.made
        began = task.started_at or (None if was_queued else task.submitted_at)
        if began is not None and task.finished_at is not None:
            self._remember(entry.profile, (task.finished_at - began).total_seconds())
        elif entry.is_seen or was_queued:
            # The vendor tells no times: it ended after the last look, and hardly before it could have.
            after = max(entry.looked, min(now, entry.starts + least))
            self._remember(entry.profile, (after + now) / 2 - entry.starts)

    def _remember(self, profile: str, seconds: float) -> None:
        if seconds <= 0:
            return
        seen = self._seen.setdefault(profile, deque(maxlen=REMEMBERED))
        seen.append(seconds)
        if len(seen) >= ENOUGH:
            self._least[profile] = min(LONGEST, sorted(seen)[len(seen) // 20] * CAUTION)

    def least(self, entry: Entry, is_cheap: bool) -> float:
        """Return the seconds that such a task runs at least.

        :param is_cheap: whether a look shows many tasks at once.
        """
        learnt = self._least.get(entry.profile)
        if learnt is not None:
            return learnt
        intervals = COLD_INTERVALS_LISTED if is_cheap else COLD_INTERVALS
        return max(0.0, min(TYPICAL_LEAST, intervals * entry.interval) - 0.5 * entry.interval)


class Yields:
    """How many ends a page of the vendor's list brings for each second since it was last looked at."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self._looked: dict[int, float] = {}
        self._none_before = -math.inf
        self._is_barren = self._was_barren = False

    def turn(self) -> None:
        """Note that a sweep begins."""
        self._was_barren, self._is_barren = self._is_barren, True

    def learn(self, number: int, ends: int, now: float) -> None:
        """Take what page ``number`` shows at ``now``."""
        since = max(self._looked.get(number, -math.inf), self._none_before)
        gain = GAIN
        if self._is_barren and self._was_barren:
            # Tasks that were made together end together: after whole sweeps without an end, the first ones are fresh.
            if ends:
                gain = 1.0
            else:
                self._none_before = now
        if ends:
            self._is_barren = False
        self._looked[number] = now
        if now > since:
            self.per_second += gain * (ends / (now - since) - self.per_second)
