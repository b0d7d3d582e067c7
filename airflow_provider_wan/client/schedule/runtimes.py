"""What is learnt while waiting: how long tasks of one kind run, and how many ends a page of the list brings."""

from __future__ import annotations

from collections import deque

from airflow_provider_wan.client.schedule.asks import Wait
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


class Runtimes:
    """The recent run times (seconds from leaving the queue to the end) by profile."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}
        self._least: dict[str, float] = {}

    def learn(self, entry: Wait, task: VideoTask, least: float, now: float) -> None:
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

    def least(self, entry: Wait, is_cheap: bool) -> float:
        """Return the seconds that such a task runs at least.

        :param is_cheap: whether a look shows many tasks at once.
        """
        learnt = self._least.get(entry.profile)
        if learnt is not None:
            return learnt
        intervals = COLD_INTERVALS_LISTED if is_cheap else COLD_INTERVALS
        return max(0.0, min(TYPICAL_LEAST, intervals * entry.interval) - 0.5 * entry.interval)
