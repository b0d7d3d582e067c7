"""What holds of the schedule whatever the waiters, the vendor and the clock do."""

from __future__ import annotations

import copy
import heapq
import math
import random
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanTransportError,
)
from airflow_provider_wan.client.schedule.pace import LONGEST_PAUSE, MAX_IN_FLIGHT
from airflow_provider_wan.client.schedule.runtimes import LONGEST
from airflow_provider_wan.client.schedule.schedule import GUEST_TURNS, PATIENCE, Ask, Page, Query, Schedule
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

from .fake_vendor import EPOCH
from .simulation import busiest_second, simulate

LATENCY = 0.2
TIME_OUT = 30.0
IDS = st.integers(min_value=0, max_value=15)
INTERVALS = (5.0, 15.0, 60.0)

ERRORS: dict[str, WanError] = {
    "500": WanServerError("HTTP 500"),
    "429": WanQuotaError("too many"),
    "retry-after": WanQuotaError("too many", retry_after=7.0),
    "retry-after-ages": WanQuotaError("too many", retry_after=1e9),
    "401": WanAuthError("wrong key"),
    "404": WanRejectedError("no such task"),
    "malformed": WanResponseError("not JSON"),
}
MOODS = ["good", "good", "silent", "list is broken", "list is empty", *ERRORS]
PAGE = 5
"""Rows on a page of the list: so few that it pays to ask for what has ended only."""

DELIVERY = LONGEST_PAUSE + LONGEST + 2 * TIME_OUT + 4 * max(INTERVALS)
"""Seconds after which a finished task has been told, whatever was learnt or went wrong before."""


class Polling(RuleBasedStateMachine):
    """A driver and a vendor with moods; the rules are what can happen, the checks are in ``_pump``."""

    @initialize(
        rate=st.sampled_from([1.0, 3.0, 15.0]),
        can_list=st.booleans(),
        heeds_status=st.booleans(),
        seed=st.integers(0, 999),
    )
    def begin(self, rate: float, can_list: bool, heeds_status: bool, seed: int) -> None:
        self.rate = rate
        self.heeds_status = heeds_status
        self.schedule = Schedule(rate, can_list, random.Random(seed))
        self.rng = random.Random(seed)
        self.now = 0.0
        self.mood = "good"
        self.sent: list[float] = []
        self.flight: list[tuple[float, int, Ask]] = []
        self.number = 0
        self.waiting: dict[str, float] = {}
        """By task, the moment before which it must not be asked."""
        self.ends: dict[str, float] = {}
        self.told: set[str] = set()
        self.guests: dict[Ask, float] = {}

    # -- what can happen ------------------------------------------------------------------------------

    @rule(number=IDS, interval=st.sampled_from(INTERVALS), age=st.sampled_from([0.0, 40.0, 5000.0]))
    def join(self, number: int, interval: float, age: float) -> None:
        task_id = f"t{number}"
        if task_id in self.told:
            return
        made = EPOCH + timedelta(seconds=self.now - age)
        handle = TaskHandle(vendor="v", task_id=task_id, mode=Mode.TEXT_TO_VIDEO, model="m", submitted_at=made)
        self.schedule.add(handle, interval, "p", self.now, age)
        self.waiting.setdefault(task_id, self.now + interval)
        self.ends.setdefault(task_id, self.now + self.rng.uniform(0.0, 400.0))

    @rule(count=st.integers(20, 60))
    def many_join(self, count: int) -> None:
        for number in range(count):
            self.join(1000 + number, 15.0, 0.0)

    @rule(number=IDS)
    def leave(self, number: int) -> None:
        self.waiting.pop(f"t{number}", None)
        self.schedule.remove(f"t{number}")

    @rule(number=IDS)
    def deadline(self, number: int) -> None:
        if f"t{number}" in self.waiting:
            self.waiting[f"t{number}"] = 0.0
        self.schedule.hurry(f"t{number}")

    @rule(count=st.integers(1, 20))
    def guests_come(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            made = EPOCH + timedelta(seconds=self.now)
            handle = TaskHandle(
                vendor="v", task_id=f"t{10_000 + self.number}", mode=Mode.TEXT_TO_VIDEO, model="m", submitted_at=made
            )
            self.ends[handle.task_id] = 0.0
            ask = Query(handle) if self.number % 3 else Page(TaskFilter(), self.number)
            self.guests[ask] = self.now
            self.schedule.take_guest(ask)

    @rule()
    def guests_leave(self) -> None:
        for ask in self.guests:
            self.schedule.drop_guest(ask)
        self.guests.clear()

    @rule(mood=st.sampled_from(MOODS))
    def vendor_becomes(self, mood: str) -> None:
        self.mood = mood

    @rule(seconds=st.sampled_from([0.1, 1.0, 14.9, 100.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self._pump(self.now + seconds)

    @rule()
    def vendor_recovers_and_everything_finishes(self) -> None:
        self.mood = "good"
        self.ends = dict.fromkeys(self.ends, self.now)
        due, guests = set(self.waiting), set(self.guests)
        self._pump(self.now + DELIVERY + (len(due) + len(guests)) / self.rate * GUEST_TURNS)
        assert not due & set(self.waiting), "a finished task was not told in time"
        assert not guests & set(self.guests), "a guest was not served in time"

    @invariant()
    def waiters_are_known(self) -> None:
        if hasattr(self, "schedule"):
            assert len(self.schedule) == len(self.waiting)

    # -- the driver -----------------------------------------------------------------------------------

    def _pump(self, until: float) -> None:
        while True:
            step = self.schedule.next(self.now)
            if not isinstance(step, float):
                self._send(step)
                continue
            self._check_wait(step)
            answer_at = self.flight[0][0] if self.flight else math.inf
            moment = min(self.now + step, answer_at, until)
            assert moment < math.inf, "nobody would ever ask again"
            # A virtual clock must move by more than its rounding.
            self.now = max(moment, self.now + 1e-6)
            while self.flight and self.flight[0][0] <= self.now:
                self._answer(heapq.heappop(self.flight)[2])
            if self.now >= until:
                break
        assert busiest_second(self.sent) <= math.ceil(self.rate), "the budget was exceeded"

    def _check_wait(self, wait: float) -> None:
        """Nothing must become due within a wait that ``next`` returned."""
        assert wait > 0.0 or self.schedule.next(self.now) != wait, "a wait of nothing would spin"
        if wait > 1e-3 and self.rng.random() < 0.05:
            fraction = self.rng.uniform(0.0, 0.999)
            earlier = self.now + fraction * min(wait, 1000.0)
            assert isinstance(copy.deepcopy(self.schedule).next(earlier), float), "something was due within the wait"

    def _send(self, ask: Ask) -> None:
        if isinstance(ask, Query):
            task_id = ask.handle.task_id
            asked = [other.handle.task_id for _, _, other in self.flight if isinstance(other, Query)]
            assert task_id not in asked, "two queries of one task at the same time"
            if ask not in self.guests:
                assert task_id in self.waiting, "nobody waits for it"
                assert self.now >= self.waiting[task_id] - 1e-6, "asked too soon"
        self.guests.pop(ask, None)
        self.sent.append(self.now)
        self.number += 1
        took = TIME_OUT if self.mood == "silent" else LATENCY
        heapq.heappush(self.flight, (self.now + took, self.number, ask))
        assert len(self.flight) <= MAX_IN_FLIGHT

    def _answer(self, ask: Ask) -> None:
        mood = self.mood
        if mood == "silent":
            self.schedule.failed(ask, WanTransportError("no answer"), self.now)
        elif mood in ERRORS or (mood == "list is broken" and isinstance(ask, Page)):
            self.schedule.failed(ask, ERRORS.get(mood, ERRORS["500"]), self.now)
        elif isinstance(ask, Page):
            self.schedule.answered(ask, self._page(ask), self.now)
        else:
            task = self._task(ask.handle.task_id)
            self.schedule.answered(ask, task, self.now)
            if task.status.is_ended and task.task_id in self.waiting:
                self.told.add(task.task_id)
                self.waiting.pop(task.task_id)
                self.schedule.remove(task.task_id)

    def _task(self, task_id: str) -> VideoTask:
        left = self.ends[task_id] - self.now
        status = TaskStatus.SUCCEEDED if left <= 0 else TaskStatus.RUNNING if left < 60 else TaskStatus.PENDING
        return VideoTask(task_id=task_id, vendor="v", model="m", status=status)

    def _page(self, ask: Page) -> TaskPage:
        known = [] if self.mood == "list is empty" else sorted(self.ends)
        # One task in three is not in the list at all, and its pages are small.
        tasks = [self._task(task_id) for task_id in known if int(task_id[1:]) % 3]
        rows = [task for task in tasks if not self.heeds_status or ask.wanted.status in (None, task.status)]
        shown = rows[(ask.number - 1) * PAGE : ask.number * PAGE]
        return TaskPage(shown, ask.number + 1 if ask.number * PAGE < len(rows) else None, len(rows))


TestPolling = Polling.TestCase
TestPolling.settings = settings(
    max_examples=50, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@given(
    tasks=st.integers(1, 60),
    running_limit=st.integers(1, 10),
    longest_run=st.sampled_from([60.0, 600.0, 3000.0]),
    order=st.sampled_from(["first in", "last in", "any"]),
    shared=st.sampled_from([0.0, 0.5]),
    interval=st.sampled_from(INTERVALS),
    rate=st.sampled_from([1.0, 8.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=50, deadline=None)
def test_no_waiter_goes_without_an_answer_of_its_own_for_longer_than_patience(
    longest_run: float, interval: float, rate: float, tasks: int, **world: Any
) -> None:
    """Whatever is concluded from the states of others."""
    report = simulate(
        has_list=False, tells_times=False, run=(30.0, longest_run), interval=interval, rate=rate, tasks=tasks, **world
    )
    assert report.lost == 0
    assert report.longest_silence <= PATIENCE + 2 * interval + tasks / rate
