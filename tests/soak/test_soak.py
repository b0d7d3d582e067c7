"""Everything goes wrong at once, and in the end each video is there and paid for once."""

from __future__ import annotations

from pathlib import Path

from .driver import soaked
from .settings import Moment, Soak

EACH = 35
SMALL = Soak(
    each=EACH,
    sandbox={
        "seed": 11,
        "generation_seconds": "1:3",
        "running_limit": 1000,
        "query_qps": 20,
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
        "drop_answer_rate": 0.05,
        "drop_before_rate": 0.05,
        "error_after_create_rate": 0.05,
        "truncate_downloads": 3,
        "html_downloads": 2,
    },
    moments=(
        Moment("waiting", 0.5, "outage", 3.0),
        Moment("waiting", 0.5, "kill triggerer", 1.0),
        Moment("landed", 0.5, "kill triggerer"),
    ),
    connection={"timeout": 10},
    retry_delay=0.5,
    poll_interval=1.0,
    # One clock, and a list that is half a second behind: what is true of this sandbox.
    timing={"late": 1.0, "look_again": 0.5, "clock_margin": 1.0, "unknown_clock_margin": 1.0},
    patience=3.0,
    throttled_pause=0.5,
    patience_of_all=240.0,
)


async def test_nothing_is_lost_and_nothing_is_paid_twice_when_everything_goes_wrong(tmp_path: Path) -> None:
    tally, verdicts = await soaked(SMALL, tmp_path)
    assert tally.lost == {}, tally
    for verdict in verdicts:
        assert verdict.is_clean, (verdict, tally)
    # It did go wrong.
    assert tally.counts["outages"] == 1
    assert tally.counts["triggerers killed"] == 2
    for verdict in verdicts:
        answers = verdict.requests["submit"]
        assert {"dropped", "429", "503", "malformed"} & answers.keys(), answers
