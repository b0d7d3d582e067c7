"""Drives the real ``Schedule`` and ``Watch`` against a vendor that exists only on a virtual clock.

Hours of thousands of tasks take seconds, and the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
import statistics
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
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
from airflow_provider_wan.client.schedule import Ask, Query, Schedule
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage
from airflow_provider_wan.client.waiting import Ending, EndingStatus, Watch

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
LAST_LOOK = 30.0


@dataclass(frozen=True)
class World:
    """What is simulated; times in seconds."""

    tasks: int = 100
    seed: int = 0
    interval: float = 15.0
    rate: float = 15.0
    run: tuple[float, float] = (60.0, 120.0)
    submits_per_second: float | None = None
    """``None``: all are submitted, and waited for, at once."""
    running_limit: int | None = None
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
        slots = [0.0] * (world.running_limit or 0)
        for number in range(world.tasks):
            at = number / (world.submits_per_second or 10_000.0)
            start = max(at, heapq.heappop(slots)) if slots else at
            end = start + self.rng.uniform(*world.run)
            if world.running_limit:
                heapq.heappush(slots, end)
            self.tasks[f"task-{number:05}"] = Fate(f"task-{number:05}", at, start, end)
        horizon = max(fate.ended for fate in self.tasks.values())
        if world.foreign_per_second:
            at, number = -7200.0, 0
            while at < horizon:
                at += self.rng.expovariate(world.foreign_per_second)
                self.tasks[f"foreign-{number}"] = Fate(f"foreign-{number}", at, at, at + 90.0, is_ours=False)
                number += 1

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
        task = self._told(fate, fate.status(now), now)
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
        return VideoTask.model_construct(
            task_id=fate.task_id, vendor="dashscope", model="wan2.7-t2v", status=status, raw_status=str(status), **times
        )

    def _page(self, wanted: TaskFilter, number: int, now: float) -> TaskPage:
        seen_at = now - self.world.list_lag
        shift = self.world.list_shift
        since = (wanted.since - EPOCH).total_seconds() - shift if wanted.since else -1e9
        until = (wanted.until - EPOCH).total_seconds() - shift if wanted.until else 1e9
        first, last = bisect_left(self._times, since), bisect_right(self._times, min(until, seen_at))
        size = min(wanted.page_size, self.world.page_cap)
        total = last - first
        end = last - (number - 1) * size
        rows = self._rows[max(first, end - size) : max(first, end)]
        pages = -(-total // size)
        tasks = [self._told(fate, fate.status(seen_at), seen_at) for fate in reversed(rows)]
        return TaskPage(tasks, number + 1 if number < pages else None, total)


@dataclass
class Report:
    """What a run cost and brought."""

    tasks: int
    endings: dict[str, Ending] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    queries: int = 0
    pages: int = 0
    throttled: int = 0
    busiest_second: int = 0
    slowest_decision: float = 0.0
    cpu: float = 0.0
    ended_at: float = 0.0
    first_asked: dict[str, float] = field(default_factory=dict)
    longest_silence: float = 0.0
    told: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.tasks - sum(ending.status is EndingStatus.SUCCESS for ending in self.endings.values())

    @property
    def per_video(self) -> float:
        return (self.queries + self.pages) / max(1, self.tasks)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.late) if self.late else float("nan")

    @property
    def p95(self) -> float:
        return sorted(self.late)[int(len(self.late) * 0.95)] if self.late else float("nan")

    def __str__(self) -> str:
        return "  ".join(
            (
                f"{self.per_video:6.2f}/video ({self.queries}+{self.pages} pages)",
                f"429: {self.throttled}  lost: {self.lost}",
                f"detected mean {self.mean:6.1f} p95 {self.p95:6.1f}",
                f"busiest second {self.busiest_second:2}",
                f"slowest decision {self.slowest_decision * 1e3:5.1f} ms",
                f"cpu {self.cpu:5.2f} s over {self.ended_at:6.0f} s",
            )
        )


class Simulation:
    """The poller's driver on a virtual clock."""

    def __init__(self, world: World, vendor: FakeVendor | None = None) -> None:
        self.world = world
        self.vendor = vendor or FakeVendor(world)
        self.schedule = Schedule(world.rate, world.has_list, random.Random(world.seed + 1))
        self.report = Report(world.tasks)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._watches: dict[str, Watch] = {}
        self._last_answer: dict[str, float] = {}
        self._in_flight: set[str] = set()
        self._sent: list[float] = []

    def run(self, until: float = 1e6) -> Report:
        """Run until nobody waits any more (or ``until``)."""
        for fate in [fate for fate in self.vendor.tasks.values() if fate.is_ours]:
            joins = fate.submitted if self.world.waits_from is None else max(fate.submitted, self.world.waits_from)
            self.at(joins, lambda fate=fate: self._join(fate))  # type: ignore[misc]
        while (self._events or len(self.schedule)) and self.now < until:
            self._step()
        report = self.report
        report.queries, report.pages = len(self.vendor.asked["query"]), len(self.vendor.asked["page"])
        report.throttled = self.vendor.throttled
        report.busiest_second = busiest_second(self._sent)
        report.ended_at = self.now
        return report

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Do something at a moment."""
        self._order += 1
        heapq.heappush(self._events, (moment, self._order, what))

    def _step(self) -> None:
        began = time.perf_counter()
        step = self.schedule.next(self.now)
        took = time.perf_counter() - began
        self.report.slowest_decision = max(self.report.slowest_decision, took)
        self.report.cpu += took
        if not isinstance(step, float):
            self._send(step)
            return
        wake = self.now + step
        if self._events and self._events[0][0] <= wake:
            self.now, _, what = heapq.heappop(self._events)
            what()
        elif wake - self.now > 2000.0:
            raise AssertionError(f"{len(self.schedule)} wait, but nothing is asked and nothing is under way")
        else:
            # A virtual clock must not stand still on a wait too small for it to show.
            self.now = max(wake, self.now + 1e-9)

    def _send(self, ask: Ask) -> None:
        self._sent.append(self.now)
        if isinstance(ask, Query):
            task_id = ask.handle.task_id
            assert task_id not in self._in_flight, "two queries of one task at the same time"
            self._in_flight.add(task_id)
            self.report.first_asked.setdefault(task_id, self.now)
        out, back = (self.vendor.rng.uniform(*self.world.latency) / 2 for _ in range(2))
        self.at(self.now + out, lambda: self._arrive(ask, back))

    def _arrive(self, ask: Ask, back: float) -> None:
        answer = self.vendor.answer(ask, self.now)
        self.at(self.now + back, lambda: self._take(ask, answer))

    def _take(self, ask: Ask, answer: VideoTask | TaskPage | WanError) -> None:
        if isinstance(ask, Query):
            self._in_flight.discard(ask.handle.task_id)
        began = time.perf_counter()
        if isinstance(answer, WanError):
            self.schedule.failed(ask, answer, self.now)
        else:
            self.schedule.answered(ask, answer, self.now)
        self.report.cpu += time.perf_counter() - began
        watch = self._watches.get(ask.handle.task_id) if isinstance(ask, Query) else None
        if watch is None or isinstance(answer, TaskPage):
            return
        if isinstance(answer, WanError):
            self._judge(watch, watch.see_error(answer))
        else:
            self._hear(watch.handle.task_id)
            self._judge(watch, watch.see(answer))

    def _hear(self, task_id: str) -> None:
        silence = self.now - self._last_answer[task_id]
        self.report.longest_silence = max(self.report.longest_silence, silence)
        self._last_answer[task_id] = self.now

    def _join(self, fate: Fate) -> None:
        handle = TaskHandle(
            vendor="dashscope",
            task_id=fate.task_id,
            mode=Mode.TEXT_TO_VIDEO,
            model="wan2.7-t2v",
            submitted_at=EPOCH + timedelta(seconds=fate.submitted),
        )
        deadline = EPOCH + timedelta(seconds=min(fate.submitted + self.world.deadline, 1e8))
        watch = Watch(handle, vendor_of("dashscope"), deadline, self.report.told.append)
        self._watches[fate.task_id] = watch
        self._last_answer[fate.task_id] = self.now
        self.schedule.add(handle, self.world.interval, "t2v", self.now, self.now - fate.submitted)
        if self.world.deadline < 1e8:
            self.at(fate.submitted + self.world.deadline, lambda: self._last_look(watch))

    def _last_look(self, watch: Watch) -> None:
        if watch.handle.task_id in self._watches:
            self.schedule.hurry(watch.handle.task_id)
            self.at(self.now + LAST_LOOK, lambda: self._judge(watch, watch.see_time(watch.deadline)))

    def _judge(self, watch: Watch, ending: Ending | None) -> None:
        task_id = watch.handle.task_id
        if ending is None or task_id not in self._watches:
            return
        del self._watches[task_id]
        self.report.endings[task_id] = ending
        if ending.status is EndingStatus.SUCCESS:
            fate = self.vendor.tasks[task_id]
            joined = fate.ended if self.world.waits_from is None else max(fate.ended, self.world.waits_from)
            self.report.late.append(self.now - joined)
        self.schedule.remove(task_id)


def busiest_second(moments: list[float]) -> int:
    """Return the most moments that any half-open second holds."""
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1.0 - 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


def simulate(**settings: Any) -> Report:
    """Run one world to its end."""
    return Simulation(World(**settings)).run()


def table() -> None:
    """Print the figures of the worlds that matter."""
    for has_list in (True, False):
        for count in (20, 100, 300, 1000, 10_000):
            for what in ({}, {"submits_per_second": 5.0}, {"running_limit": 25}, {"running_limit": 5}):
                if count == 10_000 and "running_limit" in what:
                    continue
                rate = 15.0 if has_list else 8.0
                report = simulate(tasks=count, has_list=has_list, tells_times=has_list, rate=rate, **what)
                print(f"{'list' if has_list else 'none'} {count:>6} {what or ''!s:<28} {report}", flush=True)


if __name__ == "__main__":
    table()
