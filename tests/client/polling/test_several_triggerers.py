"""Several triggerers ask for one account: each is told its part of the waits, or knows nothing of the others."""

from __future__ import annotations

from typing import Any

import pytest

from .simulation import Report
from .triggerers import Triggerers, merged, throttled_share

THOROUGH = pytest.mark.thorough
WORLD: dict[str, Any] = {"has_list": False, "tells_times": False, "rate": 8.0, "vendor_limit": 10}


def mean_lateness(reports: list[Report]) -> float:
    late = merged(reports)
    return sum(late) / len(late)


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=THOROUGH)])
def test_with_a_part_each_they_are_not_refused_and_no_later_than_one(count: int) -> None:
    reports = Triggerers(count, 1440, submits_per_second=5.0 / count, is_counted=True, **WORLD).run()
    alone = Triggerers(1, 1440, submits_per_second=5.0, **WORLD).run()
    assert sum(report.lost for report in reports) == 0
    assert throttled_share(reports) <= 0.001
    assert mean_lateness(reports) <= 1.1 * mean_lateness(alone)


@pytest.mark.parametrize(
    ("count", "most"),
    [(1, 0.0), (2, 0.004), pytest.param(4, 0.012, marks=THOROUGH)],
)
def test_together_they_keep_the_accounts_budget(count: int, most: float) -> None:
    """With a budget of its own each, two were refused 4 % of their queries in this world, and four 5 %."""
    reports = Triggerers(count, 1440, submits_per_second=5.0 / count, **WORLD).run()
    assert sum(report.lost for report in reports) == 0
    assert throttled_share(reports) <= most
    # Alone, the mean is 15 s.
    assert mean_lateness(reports) <= 20.0


def test_what_the_other_one_leaves_is_taken_back() -> None:
    """The second one has little to do and is gone after a few minutes."""
    pair = Triggerers(2, 400, submits_per_second=2.5, **WORLD)
    one, _ = pair.run()
    assert one.lost == 0
    pace = pair.pollers[0].schedule._pace
    now = pair.pollers[0].now
    pace.sent(now)
    before = pace.share
    pace.sent(now + 600.0)
    assert pace.share > before or before == 1.0
