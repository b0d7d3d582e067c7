"""What waiting costs and how late it is where the vendor keeps most tasks in its queue and has no list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wan.client.schedule.schedule import PATIENCE

from .fake_vendor import Fate, World
from .simulation import Report, Simulation, simulate

INTERVAL = 15.0
LARGE = pytest.param(1000, 25, marks=pytest.mark.thorough)
BURST = {"submits_per_second": 4.0}
UNLISTED: dict[str, Any] = {"has_list": False, "tells_times": False, "rate": 8.0}


def is_sound(report: Report) -> bool:
    return report.lost == 0 and report.throttled == 0 and report.busiest_second <= UNLISTED["rate"]


def altered(change: Callable[[list[Fate]], None], **settings: Any) -> Report:
    """Run a world in which the tasks' fates, in the order of submission, are changed."""
    simulation = Simulation(World(**settings, **UNLISTED))
    change(sorted(simulation.vendor.tasks.values(), key=lambda fate: fate.submitted))
    return simulation.run()


@pytest.mark.parametrize("what", [{}, BURST], ids=["at once", "burst"])
@pytest.mark.parametrize(("count", "limit"), [(100, 25), (100, 5), (300, 25), (300, 5), LARGE])
def test_queue_costs_no_more_than_running_at_once(count: int, limit: int, what: dict[str, Any]) -> None:
    # At a plain interval the last of these are looked at hundreds of times.
    report = simulate(tasks=count, running_limit=limit, **what, **UNLISTED)
    assert is_sound(report)
    assert report.per_video <= 4.0
    assert report.mean <= INTERVAL / 2 + 1
    assert max(report.late) <= 3 * INTERVAL


def test_one_that_is_queued_speaks_for_those_behind_it() -> None:
    simulation = Simulation(World(tasks=100, running_limit=5, **UNLISTED))
    # All are worth a first look within the next seconds; five run, and thirteen were looked at as they might have been
    # refused.
    assert 5 <= simulation.run(until=75.0).queries <= 35


@pytest.mark.parametrize("order", ["any", "last in"])
@pytest.mark.parametrize("count", [100, pytest.param(300, marks=pytest.mark.thorough)])
def test_nobody_speaks_for_others_where_there_is_no_order(order: str, count: int) -> None:
    report = simulate(tasks=count, running_limit=5, order=order, **UNLISTED)
    assert is_sound(report)
    assert report.mean <= INTERVAL / 2 + 2
    assert max(report.late) <= 6 * INTERVAL


@pytest.mark.parametrize("part", [0.3, 0.6])
def test_order_is_found_again_in_a_queue_that_others_share(part: float) -> None:
    # Ends of ours may let others begin, and the other way round: what looks like disorder is none.
    report = simulate(tasks=int(300 / (1 - part)), running_limit=5, shared=part, **UNLISTED)
    assert is_sound(report)
    assert report.per_video <= 10.0
    assert report.mean <= INTERVAL - 3
    assert max(report.late) <= 7 * INTERVAL


def test_vendor_that_hesitates_to_begin_the_next_task_is_not_taken_for_disorder() -> None:
    report = simulate(tasks=100, running_limit=5, slow_start=20.0, **UNLISTED)
    assert is_sound(report)
    assert report.per_video <= 4.5
    assert report.mean <= INTERVAL / 2 + 2


def test_probes_find_what_goes_on_behind_a_front_that_does_not_move() -> None:
    def last_in_first_out(fates: list[Fate]) -> None:
        for number, fate in enumerate(reversed(fates)):
            fate.started = 20.0 * number
            fate.ended = fate.started + 80.0

    report = altered(last_in_first_out, tasks=60)
    assert is_sound(report)
    # The first in is queued until the end: it would speak for all others for 20 minutes.
    assert report.mean <= 150.0


def test_one_that_hangs_in_the_queue_holds_nobody_up() -> None:
    def hang(fates: list[Fate]) -> None:
        fates[30].started, fates[30].ended = 1500.0, 1600.0

    report = altered(hang, tasks=100, running_limit=25)
    assert is_sound(report)
    assert report.mean <= INTERVAL / 2 + 3


def test_queue_that_empties_at_once_is_noticed_from_its_front() -> None:
    def drain(fates: list[Fate]) -> None:
        for fate in fates:
            fate.started, fate.ended = min(fate.started, 600.0), min(fate.ended, 660.0)

    report = altered(drain, tasks=300, running_limit=5)
    assert is_sound(report)
    # A look at the front comes each minute or so; then each answer leads on to the next.
    assert max(report.late) <= 60.0 + 4 * INTERVAL + 300 / UNLISTED["rate"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))])
def test_queue_that_is_gone_is_not_believed_in_for_long(seed: int) -> None:
    def vanish(fates: list[Fate]) -> None:
        for number, fate in enumerate(fates):
            run = fate.ended - fate.started
            fate.started = max(fate.submitted, min(8.0 * number, 800.0))
            fate.ended = fate.started + run

    # One begins each 8 seconds while one is made each 4; after 800 seconds there is room for all.
    report = altered(vanish, tasks=500, submits_per_second=0.25, seed=seed)
    assert is_sound(report)
    assert report.per_video <= 4.0
    assert report.mean <= 2 * INTERVAL
    assert max(report.late) <= 9 * INTERVAL


def test_probes_are_not_sent_twice() -> None:
    # The simulation asserts that a task is not asked about while a query for it is under way: here it mostly is.
    report = simulate(tasks=20, running_limit=1, latency=(150.0, 200.0), **UNLISTED)
    assert is_sound(report)


def test_patience_with_what_others_tell_has_an_end() -> None:
    simulation = Simulation(World(tasks=700, running_limit=2, **UNLISTED))
    report = simulation.run()
    assert is_sound(report)
    # The last wait for seven hours; without the bound nobody would ask for them before their turn.
    assert PATIENCE - 900.0 <= report.longest_silence <= PATIENCE + 2 * INTERVAL + 700 / UNLISTED["rate"]
