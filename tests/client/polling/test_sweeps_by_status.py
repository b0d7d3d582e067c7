"""Long lists: what has ended is read by status, so that the rest costs no pages."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanServerError
from airflow_provider_wan.client.schedule.schedule import Ask, Query
from airflow_provider_wan.client.schedule.sweep import ENDS, TRIES
from airflow_provider_wan.client.schedule.sweeps import FULL_EVERY
from airflow_provider_wan.client.tasks import TaskStatus

from .fake_vendor import FakeVendor, Fate, World
from .simulation import Report, Simulation, simulate

LONG: dict[str, Any] = {"tasks": 1600, "run": (400.0, 600.0)}
INTERVAL = 15.0


class Watched(FakeVendor):
    """Keeps what the pages were asked for, and can end tasks in other ways than with a video."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.pages: list[tuple[float, TaskStatus | None]] = []
        self.ends_as: dict[str, TaskStatus] = {}
        self.failing = 0
        """So many pages are not given, whatever they show."""

    def answer(self, ask: Ask, now: float) -> Any:
        if not isinstance(ask, Query):
            self.pages.append((now, ask.wanted.status))
            if self.failing:
                self.failing -= 1
                return WanServerError("HTTP 500")
        return super().answer(ask, now)

    def status_of(self, fate: Fate, now: float) -> TaskStatus:
        status = super().status_of(fate, now)
        return self.ends_as.get(fate.task_id, status) if status.is_ended else status


def run(until: float = 1e6, **world: Any) -> tuple[Watched, Report]:
    vendor = Watched(World(**world))
    return vendor, Simulation(vendor.world, vendor).run(until)


def test_many_that_run_cost_few_pages() -> None:
    vendor, report = run(until=390.0, **LONG)
    asked = Counter(status for _, status in vendor.pages)
    sweeps = 390.0 / INTERVAL
    assert asked[None] <= 16 * (sweeps / FULL_EVERY + 2)
    for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED):
        assert asked[status] >= sweeps / 2
    assert not report.queries
    assert not vendor.throttled


def test_ends_are_told_in_time_and_once() -> None:
    report = simulate(**LONG)
    assert report.lost == 0
    assert report.throttled == 0
    assert report.queries <= 1.02 * report.tasks
    assert report.mean <= INTERVAL / 2 + 1
    assert report.p95 <= INTERVAL


@pytest.mark.parametrize("end", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_a_task_without_a_video_is_found_as_soon(end: TaskStatus) -> None:
    vendor = Watched(World(**LONG))
    fate = vendor.tasks["task-00700"]
    fate.ended = 200.0
    vendor.ends_as[fate.task_id] = end
    simulation = Simulation(vendor.world, vendor)
    simulation.run(until=200.0 + 1.3 * INTERVAL)
    assert simulation.report.endings[fate.task_id].status == end


def test_new_tasks_are_looked_for_in_the_list_at_once() -> None:
    # The older ones have long been listed; a task that is not in the list at all must not wait for the next full sweep.
    world = World(tasks=1800, submits_per_second=3.0, run=(1200.0, 1800.0))
    vendor = Watched(world)
    hidden = [vendor.tasks[f"task-{1200 + 45 * number:05}"] for number in range(FULL_EVERY)]  # one in each cycle
    for fate in hidden:
        vendor.hide(fate)
        fate.ended = fate.submitted + 70.0
    simulation = Simulation(world, vendor)
    simulation.run(until=hidden[-1].submitted + 200.0)
    asked = [simulation.report.first_asked[fate.task_id] - fate.submitted for fate in hidden]
    assert max(asked) <= 5 * INTERVAL
    assert {fate.task_id for fate in hidden} <= simulation.report.endings.keys()


def test_a_task_that_the_list_shows_no_more_is_found_by_the_next_full_sweep() -> None:
    vendor = Watched(World(**LONG))
    fate = vendor.tasks["task-00700"]
    simulation = Simulation(vendor.world, vendor)
    simulation.at(200.0, lambda: vendor.hide(fate))
    fate.ended = 201.0
    simulation.run(until=200.0 + (FULL_EVERY + 4) * INTERVAL)
    assert fate.task_id in simulation.report.endings


def test_a_page_that_fails_is_asked_for_again_at_once() -> None:
    vendor = Watched(World(**LONG))
    simulation = Simulation(vendor.world, vendor)
    simulation.at(257.0, lambda: setattr(vendor, "failing", TRIES - 1))
    simulation.run(until=280.0)
    pages = [(at, status) for at, status in vendor.pages if at >= 257.0][:TRIES]
    assert len({status for _, status in pages}) == 1
    assert pages[-1][0] - pages[0][0] < 3.0
    # The sweep goes on, and no full one is made in its place.
    assert {status for at, status in vendor.pages if 257.0 <= at < 257.0 + INTERVAL} == set(ENDS)


@pytest.mark.parametrize("answer", ["ignored", "refused"])
def test_a_vendor_that_takes_no_status_gets_full_sweeps(answer: str) -> None:
    vendor, report = run(status_is=answer, **LONG)
    assert report.lost == 0
    assert report.mean <= INTERVAL / 2 + 2
    by_status = [at for at, status in vendor.pages if status]
    # An answer that shows other states tells at once; a refusal could be a passing trouble.
    assert len(by_status) <= {"ignored": 3, "refused": 8}[answer]
    assert max(by_status) < 200.0
    in_a_row = [len(list(pages)) for status, pages in groupby(vendor.pages, lambda page: page[1]) if status]
    assert max(in_a_row) <= 3  # then a full sweep comes first


def test_a_queue_is_swept_in_full() -> None:
    # Who has not begun need not be looked for, and only a full sweep shows it.
    vendor, _ = run(until=600.0, tasks=2500, running_limit=50, submits_per_second=20.0)
    assert len(vendor.pages) > 100
    assert {status for _, status in vendor.pages} == {None}
    assert simulate(tasks=1000, running_limit=25, submits_per_second=5.0).lost == 0


def test_a_short_list_is_swept_in_full() -> None:
    vendor, _ = run(tasks=300, run=(600.0, 900.0))
    assert {status for _, status in vendor.pages} == {None}
