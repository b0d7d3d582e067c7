"""What waiting costs and how late it is, on a virtual clock: the figures that the poller promises."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_wan.client.polling.watch import EndingStatus

from .fake_vendor import BUDGET, World
from .simulation import Report, Simulation, simulate

INTERVAL = 15.0
MORE = pytest.mark.thorough
SEEDS = [0, *(pytest.param(seed, marks=MORE) for seed in (1, 2, 3))]
BURST = {"submits_per_second": 5.0}
UNLISTED: dict[str, Any] = {"has_list": False, "tells_times": False, "rate": 8.0}


def is_sound(report: Report) -> bool:
    return report.lost == 0 and report.throttled == 0 and report.busiest_second <= BUDGET


@pytest.mark.parametrize("count", [100, 300, pytest.param(1000, marks=MORE)])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_list_costs_little_more_than_the_results(count: int, seed: int) -> None:
    report = simulate(tasks=count, seed=seed, **BURST)
    assert is_sound(report)
    assert report.per_video <= 1.2
    assert report.mean <= INTERVAL / 2 + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_that_end_within_a_minute_are_told_in_time(seed: int) -> None:
    # 16.7 end each second, and each costs a query; the pages come on top.
    report = simulate(tasks=1000, seed=seed)
    assert is_sound(report)
    assert report.per_video <= 1.2
    assert report.mean <= INTERVAL / 2 + 1
    assert report.p95 <= INTERVAL - 3


@pytest.mark.parametrize("seed", SEEDS)
def test_default_budget_stays_below_the_vendors_limit_on_a_restless_line(seed: int) -> None:
    report = simulate(tasks=1000, seed=seed, latency=(0.05, 0.5))
    assert is_sound(report)
    assert report.mean <= INTERVAL / 2 + 1


@pytest.mark.parametrize("count", [100, 300])
@pytest.mark.parametrize("what", [{}, BURST], ids=["at once", "burst"])
def test_sweeps_hurry_while_their_pages_bring_many_ends(count: int, what: dict[str, Any]) -> None:
    report = simulate(tasks=count, **what)
    assert is_sound(report)
    assert report.per_video <= 1.2
    assert report.mean <= 6.0


def test_sweeps_take_their_time_for_single_ends() -> None:
    report = simulate(tasks=100, running_limit=5)
    assert report.pages <= report.ended_at / (0.9 * INTERVAL)


def test_pages_wait_while_known_results_do() -> None:
    # Half of the budget: the results queue for a minute, and pages would only make them later.
    report = simulate(tasks=1000, rate=BUDGET / 2)
    assert report.lost == 0
    assert report.pages <= 80


@pytest.mark.parametrize(("count", "most"), [(20, 4.4), (100, 4.0), (300, 4.0)])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_single_queries_start_late(count: int, most: float, seed: int) -> None:
    # Of few, the looks at the first ones, which may have been refused, weigh more.
    report = simulate(tasks=count, seed=seed, **UNLISTED)
    assert is_sound(report)
    assert report.per_video <= most


@MORE
def test_ten_thousand_cost_no_more_each() -> None:
    report = simulate(tasks=10_000, **BURST)
    assert is_sound(report)
    assert report.per_video <= 1.2
    assert report.mean <= INTERVAL / 2 + 2


@pytest.mark.parametrize(
    ("count", "limit", "most"),
    [(100, 5, 3.2), *(pytest.param(*row, marks=MORE) for row in [(300, 5, 3.2), (1000, 25, 1.7), (1000, 5, 4.0)])],
)
def test_listed_queue_is_not_asked_about_in_vain(count: int, limit: int, most: float) -> None:
    report = simulate(tasks=count, running_limit=limit, submits_per_second=5.0)
    assert is_sound(report)
    assert report.per_video <= most
    assert report.mean <= INTERVAL / 2 + 2


@MORE
def test_restart_with_ten_thousand_finished_is_spread_over_the_budget() -> None:
    report = simulate(tasks=10_000, waits_from=400.0)
    assert is_sound(report)
    # The budget's own limit: one query for each.
    assert report.ended_at <= 400.0 + 2 * INTERVAL + 10_000 / BUDGET * 1.1
    assert report.slowest_decision < 0.5


@pytest.mark.parametrize(
    "world",
    [
        World(tasks=200, run=(1.0, 30.0), **BURST),
        World(tasks=400, submits_per_second=1.0, running_limit=2, interval=120.0, **UNLISTED),
    ],
    ids=["list", "queue"],
)
def test_no_task_is_asked_within_its_first_interval(world: World) -> None:
    simulation = Simulation(world)
    asked = simulation.run().first_asked
    fates = simulation.vendor.tasks
    assert len(asked) == world.tasks
    assert all(asked[task_id] >= fates[task_id].submitted + world.interval - 1e-6 for task_id in asked)


def test_thousands_of_foreign_tasks_do_not_make_the_list_expensive() -> None:
    report = simulate(tasks=60, foreign_per_second=20.0, **BURST)
    assert is_sound(report)
    # Some pages are spent to find out; plain queries cost about five each.
    assert report.per_video <= 6.2
    assert report.pages <= 40


@pytest.mark.parametrize(
    "trouble",
    [
        {"list_shift": 28_800.0},
        {"list_lag": 1000.0},
        {"list_is_broken": True},
    ],
    ids=["other zone", "lag", "broken"],
)
def test_useless_list_gives_way_to_single_queries(trouble: dict[str, Any]) -> None:
    report = simulate(tasks=200, **BURST, **trouble)
    assert report.lost == 0
    assert report.pages <= 12
    assert report.per_video <= 6.0
    assert report.mean <= INTERVAL / 2 + 4


def test_list_that_breaks_while_sweeps_hurry_is_left_alone() -> None:
    simulation = Simulation(World(tasks=300))
    simulation.run(until=90.0)
    pages = len(simulation.vendor.asked["page"])
    simulation.vendor.world = World(tasks=300, list_is_broken=True)
    report = simulation.run()
    assert report.lost == 0
    assert report.pages - pages <= 8


def test_lagging_list_delays_by_its_lag_only() -> None:
    report = simulate(tasks=200, list_lag=20.0, **BURST)
    assert is_sound(report)
    assert report.mean <= 20.0 + INTERVAL / 2 + 2


def test_small_pages_are_counted_as_they_are() -> None:
    report = simulate(tasks=300, page_cap=10, **BURST)
    assert is_sound(report)
    assert report.per_video <= 3.0


@pytest.mark.parametrize("has_list", [True, False])
def test_trouble_loses_nothing(has_list: bool) -> None:
    report = simulate(
        tasks=200, has_list=has_list, error_rate=0.1, malformed_rate=0.05, outages=((60.0, 120.0),), **BURST
    )
    assert report.lost == 0
    assert report.per_video <= 8.0


def test_outage_is_probed_not_hammered() -> None:
    simulation = Simulation(World(tasks=300, outages=((30.0, 330.0),)))
    report = simulation.run()
    asked = [at for kind in simulation.vendor.asked.values() for at in kind if 30.0 <= at < 330.0]
    assert report.lost == 0
    assert len(asked) <= 300.0 / 5.0 + 15
    # After five minutes without an answer, everything is told as fast as the budget allows.
    assert report.ended_at <= 330.0 + 10.0 + 2 * INTERVAL + 300 / 15


@pytest.mark.parametrize("retry_after", [None, 4.0])
def test_throttling_slows_the_account_until_it_fits(retry_after: float | None) -> None:
    # Somebody else uses most of the account's 20 queries per second.
    report = simulate(tasks=300, vendor_limit=5, retry_after=retry_after, **BURST)
    assert report.lost == 0
    assert report.throttled <= 40


def test_retry_after_is_kept_by_everybody() -> None:
    simulation = Simulation(World(tasks=200, vendor_limit=0, retry_after=40.0))
    simulation.run(until=300.0)
    asked = sorted(at for kind in simulation.vendor.asked.values() for at in kind)
    bursts = [after - before for before, after in pairwise(asked) if after - before > 2.0]
    assert len(bursts) >= 3
    assert all(gap >= 39.5 for gap in bursts)


def test_unknown_tasks_end_and_do_not_slow_the_others() -> None:
    report = simulate(tasks=200, unknown=20, **BURST)
    errors = [ending for ending in report.endings.values() if ending.status is EndingStatus.ERROR]
    assert len(errors) == 20
    assert report.mean <= INTERVAL / 2 + 1


def test_deadline_brings_a_last_look_to_many_at_once() -> None:
    # All have ended by then, most of them since their last look.
    report = simulate(tasks=100, run=(60.0, 61.0), deadline=62.0, **UNLISTED)
    assert report.lost == 0


def test_same_seed_same_run() -> None:
    one, two = simulate(tasks=100, seed=7), simulate(tasks=100, seed=7)
    assert (one.queries, one.pages, one.late) == (two.queries, two.pages, two.late)
