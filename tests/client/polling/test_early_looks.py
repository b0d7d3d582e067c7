"""Requests that the vendor takes and refuses at once: how soon that is known, and what it costs to look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.tasks import TaskStatus

from .fake_vendor import FakeVendor, Fate, World
from .simulation import Simulation

INTERVAL = 15.0
UNLISTED: dict[str, Any] = {"has_list": False, "tells_times": False, "rate": 8.0}
LISTED: dict[str, Any] = {}
both = pytest.mark.parametrize("kind", [LISTED, UNLISTED], ids=["list", "no list"])


class Refusing(FakeVendor):
    """Refuses some tasks a tenth of a second after it took them."""

    refuses: Callable[[int], bool] = staticmethod(lambda number: False)

    def status_of(self, fate: Fate, now: float) -> TaskStatus:
        is_refused = fate.is_ours and self.refuses(int(fate.task_id[5:])) and now >= fate.submitted + 0.1
        return TaskStatus.FAILED if is_refused else super().status_of(fate, now)


class Refusals(Simulation):
    """Notes how long after its submission each refused task was known to be."""

    def __init__(self, world: World, refuses: Callable[[int], bool]) -> None:
        vendor = Refusing(world)
        vendor.refuses = refuses  # type: ignore[method-assign]
        super().__init__(world, vendor)
        self.after: dict[int, float] = {}

    def _judge(self, watch: Any, ending: Ending | None) -> None:
        if ending is not None and ending.status is EndingStatus.FAILED:
            fate = self.vendor.tasks[watch.handle.task_id]
            self.after[int(fate.task_id[5:])] = self.now - fate.submitted
        super()._judge(watch, ending)


@both
@pytest.mark.parametrize("refused", [0, 3])
def test_a_refusal_among_the_first_is_known_after_one_interval(kind: dict[str, Any], refused: int) -> None:
    run = Refusals(World(tasks=40, submits_per_second=5.0, **kind), lambda number: number == refused)
    run.run()
    assert run.after.keys() == {refused}
    assert INTERVAL <= run.after[refused] <= INTERVAL + 1.0


@both
def test_when_all_are_refused_nobody_waits_for_a_video(kind: dict[str, Any]) -> None:
    run = Refusals(World(tasks=100, **kind), lambda number: True)
    report = run.run()
    assert len(run.after) == 100
    # One query each, at the account's budget; the first ones after one interval.
    assert min(run.after.values()) <= INTERVAL + 1.0
    assert max(run.after.values()) <= INTERVAL + 100 / run.world.rate + 2.0
    assert report.per_video <= 1.2


@both
def test_a_kind_that_went_on_well_for_long_is_still_looked_at(kind: dict[str, Any]) -> None:
    run = Refusals(World(tasks=300, submits_per_second=1.0, run=(60.0, 70.0), **kind), lambda number: number >= 200)
    run.run()
    assert len(run.after) == 100
    assert max(run.after.values()) <= 2 * INTERVAL


def test_a_task_that_was_waited_for_before_is_not_looked_at_early() -> None:
    world = World(tasks=20, waits_from=INTERVAL + 1.0, **UNLISTED)
    run = Refusals(world, lambda number: False)
    run.run()
    # What such tasks take at least, less half an interval of doubt.
    assert min(run.report.first_asked.values()) >= 60.0 - INTERVAL / 2
