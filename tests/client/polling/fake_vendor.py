"""A vendor that exists only on a virtual clock: its tasks, its list, its limits and its troubles."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wan.client.errors import (
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanTransportError,
)
from airflow_provider_wan.client.schedule.schedule import Ask, Query
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

BUDGET = vendor_of("dashscope").queries_per_second
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """What is simulated; times in seconds."""

    tasks: int = 100
    seed: int = 0
    interval: float = 15.0
    rate: float = BUDGET
    run: tuple[float, float] = (60.0, 120.0)
    submits_per_second: float | None = None
    """``None``: all are submitted, and waited for, at once."""
    running_limit: int | None = None
    slow_start: float = 0.0
    """Seconds that pass until a free place is taken."""
    shared: float = 0.0
    """This part of the tasks in the vendor's queue is not ours."""
    order: str = "first in"
    """Which of the queued tasks begins next: the first in, the last in, or any."""
    latency: tuple[float, float] = (0.12, 0.18)
    vendor_limit: int = 20
    has_list: bool = True
    tells_times: bool = True
    page_cap: int = 100
    list_lag: float = 0.0
    list_shift: float = 0.0
    """Seconds by which the list's clock is off."""
    list_is_broken: bool = False
    foreign_per_second: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()
    error_rate: float = 0.0
    malformed_rate: float = 0.0
    retry_after: float | None = None
    unknown: int = 0
    """So many of the tasks are not known to the vendor."""
    deadline: float = 1e9
    waits_from: float | None = None
    """When set, everybody starts to wait at this moment (a triggerer that restarts)."""


@dataclass
class Fate:
    """One task of the vendor."""

    task_id: str
    submitted: float
    started: float
    ended: float
    is_ours: bool = True

    def status(self, now: float) -> TaskStatus:
        if now >= self.ended:
            return TaskStatus.SUCCEEDED
        return TaskStatus.RUNNING if now >= self.started else TaskStatus.PENDING


class FakeVendor:
    """Queries, pages and limits of a vendor at a virtual moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(world.seed)
        self.tasks: dict[str, Fate] = {}
        self.asked: dict[str, list[float]] = {"query": [], "page": []}
        self.throttled = 0
        self._window: dict[str, deque[float]] = {"query": deque(), "page": deque()}
        self._submit()
        self._rows = sorted(self.tasks.values(), key=lambda fate: fate.submitted)
        self._times = [fate.submitted for fate in self._rows]

    def _submit(self) -> None:
        world = self.world
        times = [number / (world.submits_per_second or 10_000.0) for number in range(world.tasks)]
        slots = [0.0] * (world.running_limit or world.tasks)
        queue: deque[int] = deque()
        arrived = 0
        for _ in times:
            free = heapq.heappop(slots)
            start = max(free + world.slow_start if free else 0.0, times[queue[0] if queue else arrived])
            while arrived < world.tasks and times[arrived] <= start:
                queue.append(arrived)
                arrived += 1
            number = self._next_of(queue)
            end = start + self.rng.uniform(*world.run)
            heapq.heappush(slots, end)
            is_ours = not world.shared or self.rng.random() >= world.shared
            self.tasks[f"task-{number:05}"] = Fate(f"task-{number:05}", times[number], start, end, is_ours)
        self.tasks = dict(sorted(self.tasks.items()))
        horizon = max(fate.ended for fate in self.tasks.values())
        if world.foreign_per_second:
            at, number = -7200.0, 0
            while at < horizon:
                at += self.rng.expovariate(world.foreign_per_second)
                self.tasks[f"foreign-{number}"] = Fate(f"foreign-{number}", at, at, at + 90.0, is_ours=False)
                number += 1

    def hide(self, fate: Fate) -> None:
        """Keep a task out of the list; a query finds it."""
        self._rows.remove(fate)
        self._times.remove(fate.submitted)

    def status_of(self, fate: Fate, now: float) -> TaskStatus:
        """Return the state of a task."""
        return fate.status(now)

    def _next_of(self, queue: deque[int]) -> int:
        if self.world.order == "any":
            queue.rotate(-self.rng.randrange(len(queue)))
        return queue.pop() if self.world.order == "last in" else queue.popleft()

    def answer(self, ask: Ask, now: float) -> VideoTask | TaskPage | WanError:
        """Return what the vendor says to ``ask`` when it arrives at ``now``."""
        kind = "query" if isinstance(ask, Query) else "page"
        self.asked[kind].append(now)
        if any(begin <= now < end for begin, end in self.world.outages):
            return WanTransportError("connection reset")
        if self._is_too_much(kind, now):
            self.throttled += 1
            return WanQuotaError("too many", retry_after=self.world.retry_after)
        lot = self.rng.random()
        if lot < self.world.error_rate:
            return WanServerError("HTTP 500")
        if lot < self.world.error_rate + self.world.malformed_rate:
            return WanResponseError("not JSON")
        if isinstance(ask, Query):
            return self._task(ask.handle, now)
        if self.world.list_is_broken:
            return WanServerError("the list is out of order")
        return self._page(ask.wanted, ask.number, now)

    def _is_too_much(self, kind: str, now: float) -> bool:
        window = self._window[kind]
        while window and window[0] <= now - 1.0:
            window.popleft()
        if len(window) >= self.world.vendor_limit:
            return True
        window.append(now)
        return False

    def _task(self, handle: TaskHandle, now: float) -> VideoTask | WanError:
        fate = self.tasks[handle.task_id]
        if int(fate.task_id[5:]) < self.world.unknown:
            return WanRejectedError("no such task")
        task = self._told(fate, self.status_of(fate, now), now)
        if task.status is TaskStatus.SUCCEEDED:
            task.video_url = f"https://results.example/{fate.task_id}.mp4"
        return task

    def _told(self, fate: Fate, status: TaskStatus, now: float) -> VideoTask:
        times: dict[str, Any] = {}
        if self.world.tells_times:
            times = {
                "submitted_at": EPOCH + timedelta(seconds=fate.submitted + self.world.list_shift),
                "started_at": EPOCH + timedelta(seconds=fate.started) if now >= fate.started else None,
                "finished_at": EPOCH + timedelta(seconds=fate.ended) if now >= fate.ended else None,
            }
        return VideoTask(
            task_id=fate.task_id, vendor="dashscope", model="wan2.7-t2v", status=status, raw_status=str(status), **times
        )

    def _page(self, wanted: TaskFilter, number: int, now: float) -> TaskPage:
        seen_at = now - self.world.list_lag
        shift = self.world.list_shift
        since = (wanted.since - EPOCH).total_seconds() - shift if wanted.since else -1e9
        until = (wanted.until - EPOCH).total_seconds() - shift if wanted.until else 1e9
        first, last = bisect_left(self._times, since), bisect_right(self._times, min(until, seen_at))
        size = min(wanted.page_size, self.world.page_cap)
        rows = self._rows[first:last]
        end = len(rows) - (number - 1) * size
        shown = rows[max(0, end - size) : max(0, end)]
        tasks = [self._told(fate, self.status_of(fate, seen_at), seen_at) for fate in reversed(shown)]
        return TaskPage(tasks, number + 1 if end > size else None, len(rows))
