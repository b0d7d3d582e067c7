"""Everything goes wrong at once, and in the end each video is there and paid for once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from .driver import soaked
from .settings import Moment, Soak

EACH = 30
SMALL = Soak(
    each=EACH,
    sandbox={
        "seed": 11,
        "generation_seconds": "1:3",
        "running_limit": 1000,
        "query_qps": 60,
        "submit_qps": 20,
        "answer_delay": 0.01,
        "list_lag_seconds": 0.5,
        "retry_after_seconds": 0.5,
        "error_rates": {
            "submit": {"429": 0.1, "503": 0.03},
            "query": {"429": 0.03, "500": 0.1},
            "list": {"429": 0.03, "500": 0.1},
            "download": {"500": 0.05},
        },
        "malformed_rate": 0.05,
        "truncate_downloads": 3,
        "html_downloads": 2,
    },
    moments=(
        Moment("waiting", 0.5, "outage", 3.0),
        Moment("waiting", 0.5, "kill triggerer", 1.0),
        Moment("landed", 0.5, "kill triggerer"),
    ),
    orders=("drop-answer", "drop-before", "error-after-create=500"),
    every=10,
    connection={"timeout": 10, "queries_per_second": 45},
    retry_delay=0.5,
    poll_interval=1.0,
    # One clock, told in whole seconds and late where the machine is busy; a list that is half a second behind.
    timing={"late": 2.0, "look_again": 0.5, "clock_margin": 5.0, "unknown_clock_margin": 5.0},
    patience=3.0,
    throttled_pause=0.5,
    patience_of_all=240.0,
)


@pytest.mark.parametrize("has_ledger", [False, True], ids=["task state", "ledger_path"])
async def test_nothing_is_lost_and_nothing_is_paid_twice_when_everything_goes_wrong(
    tmp_path: Path, has_ledger: bool
) -> None:
    tally, verdicts = await soaked(replace(SMALL, has_ledger=has_ledger), tmp_path)
    records = list((tmp_path / "ledger").rglob("wan_submission.*.json"))
    assert bool(records) == has_ledger
    assert tally.lost == {}, tally
    for verdict in verdicts:
        assert verdict.is_clean, (verdict, tally)
    # It did go wrong.
    assert (tally.counts["outages"], tally.counts["triggerers killed"]) == (1, 2)
    assert tally.counts["triggers started"] > len(verdicts) * EACH, "the killed ones had something to wait for"
    for verdict in verdicts:
        answers = verdict.requests["submit"]
        assert answers["dropped"] + answers["dropped-before"] + answers["500"] >= EACH // 10 * 3, answers
        assert sum(given.get("outage", 0) for given in verdict.requests.values()) >= 1, verdict.requests
