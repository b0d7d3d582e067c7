"""Drives the real ``Schedule`` and ``Watch`` against a vendor that exists only on a virtual clock.

Hours of thousands of tasks take seconds, and the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_wan.client.errors import (
    WanError,
)
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, Watch
from airflow_provider_wan.client.schedule.schedule import Ask, Query, Schedule
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskPage

from .fake_vendor import EPOCH, FakeVendor, Fate, World

LAST_LOOK = 30.0


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
        self.report = Report(sum(fate.is_ours for fate in self.vendor.tasks.values()))
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._watches: dict[str, Watch] = {}
        self._last_answer: dict[str, float] = {}
        self._in_flight: set[str] = set()
        self._sent: list[float] = []

    def run(self, until: float = 1e6) -> Report:
        """Run until nobody waits any more (or ``until``)."""
        self.begin()
        while self.is_busy and self.now < until:
            self._step()
        return self.finished()

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way or waited for."""
        return bool(self._events) or len(self.schedule) > 0

    def begin(self) -> None:
        """Plan who joins when."""
        for fate in [fate for fate in self.vendor.tasks.values() if fate.is_ours]:
            joins = fate.submitted if self.world.waits_from is None else max(fate.submitted, self.world.waits_from)
            self.at(joins, lambda fate=fate: self._join(fate))  # type: ignore[misc]

    def go_to(self, moment: float) -> None:
        """Do all that is due before a moment of a clock that others share."""
        while self.now < moment:
            self._step(moment)

    def finished(self) -> Report:
        """Return the report, whole."""
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

    def _step(self, until: float = math.inf) -> None:
        began = time.perf_counter()
        step = self.schedule.next(self.now)
        took = time.perf_counter() - began
        self.report.slowest_decision = max(self.report.slowest_decision, took)
        self.report.cpu += took
        if not isinstance(step, float):
            self._send(step)
            return
        wake = self.now + step
        if min([wake, *(event[0] for event in self._events[:1])]) > until:
            self.now = until
        elif self._events and self._events[0][0] <= wake:
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
        # Doubts last by the real clock; this world has one of its own.
        watch = Watch(handle, vendor_of("dashscope"), deadline, self.report.told.append, PollingTimes(doubt=0.0))
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
                rate = vendor_of("dashscope" if has_list else "gccai").queries_per_second
                report = simulate(tasks=count, has_list=has_list, tells_times=has_list, rate=rate, **what)
                print(f"{'list' if has_list else 'none'} {count:>6} {what or ''!s:<28} {report}", flush=True)


if __name__ == "__main__":
    table()
