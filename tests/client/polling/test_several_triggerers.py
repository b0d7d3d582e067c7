"""Several triggerers ask for one account and know nothing of each other."""

from __future__ import annotations

from typing import Any

import pytest

from .triggerers import Triggerers, merged, throttled_share

THOROUGH = pytest.mark.thorough
WORLD: dict[str, Any] = {"has_list": False, "tells_times": False, "rate": 8.0, "vendor_limit": 10}


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
    late = merged(reports)
    assert sum(late) / len(late) <= 20.0


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
