"""A thousand videos while everything goes wrong: ``.venv-bench/bin/python -m benchmarks.soak``, about fifteen minutes.

The vendor's real limits (20 queries and 5 submissions a second, 150 ms an answer), every fault that is survivable,
a minute without service, triggerers and workers that are killed. The provider's own defaults throughout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.page import NOTHING, number, ratio, table
from benchmarks.results import save
from benchmarks.sandbox_process import REAL_LIMITS
from tests.soak.driver import kind, soaked
from tests.soak.settings import VENDORS, Moment, Soak

VIDEOS = 1000
GENERATION = "30:90"
OUTAGE = 60.0
FAULTS: dict[str, Any] = {
    "error_rates": {
        "submit": {"429": 0.05},
        "query": {"429": 0.02, "500": 0.05},
        "list": {"429": 0.02, "500": 0.05},
        "download": {"500": 0.03},
    },
    "malformed_rate": 0.02,
    "drop_answer_rate": 0.01,
    "drop_before_rate": 0.01,
    "error_after_create_rate": 0.01,
    "list_lag_seconds": 5,
    "retry_after_seconds": 1,
    "truncate_downloads": 30,
    "html_downloads": 20,
}
BIG = Soak(
    each=VIDEOS,
    sandbox={"seed": 7, "generation_seconds": GENERATION, "running_limit": VIDEOS, **REAL_LIMITS, **FAULTS},
    moments=(
        Moment("waiting", 0.15, "kill worker"),
        Moment("waiting", 0.3, "kill triggerer"),
        Moment("waiting", 0.5, "outage", OUTAGE),
        Moment("waiting", 0.5, "kill triggerer", OUTAGE / 2),
        Moment("waiting", 0.8, "kill worker"),
        Moment("landed", 0.8, "kill triggerer"),
    ),
    patience_of_all=2400.0,
)


def section(data: dict[str, Any]) -> str:
    """The part of the results page."""
    rows = data["rows"]
    counts = Counter(data["counts"])

    def line(what: str, key: Any, limit: str) -> list[str]:
        return [what, *(str(key(row)) for row in rows), limit]

    lines = [
        line("delivered, whole and the right one", lambda row: f"{row['delivered']:,}", f"{rows[0]['wanted']:,}"),
        line("billed per delivered", lambda row: ratio(row["billed"], row["delivered"]), "1.00"),
        line("made or billed twice", lambda row: row["twice"], "0"),
        line("billed and not delivered", lambda row: row["billed"] - row["delivered"], "0"),
        line("given up, left to a person", lambda row: row["given_up"], "0"),
        line("cancels", lambda row: row["cancels"], "0"),
        line("files that are damaged, another's, left over", lambda row: row["odd_files"], "0"),
        line("submissions answered with a task", lambda row: f"{row['submitted']:,}", NOTHING),
        line("submissions whose answer was lost or wrong", lambda row: row["unclear"], NOTHING),
        line("queries and list pages per video", lambda row: ratio(row["asked"], row["delivered"]), NOTHING),
        line("429s: submit, query, list", lambda row: row["throttled"], NOTHING),
    ]
    head = ["", *(row["vendor"] for row in rows), "limit"]
    return "\n\n".join(
        [
            "## Soak",
            f"{rows[0]['wanted']:,} videos at each of two vendors in one run of {number(data['seconds'], 0)} s, from "
            "the prompt to the file, with the provider's defaults. "
            f"Generations of {data['generation'].replace(':', ' to ')} s; the vendors' real limits; 429s, 500s, "
            "malformed answers, answers lost before and after the task was made, spoiled downloads all the time; "
            f"{data['outage']:.0f} s without service; {counts['triggerers killed']} triggerers and "
            f"{counts['workers killed']} workers ended by SIGKILL ({counts['triggers started']:,} triggers started in "
            f"all, {counts['adopted']} tasks adopted).",
            table(head, lines),
            "What was left to a person, and why:\n\n"
            + ("\n".join(f"- {count} times: {why}" for why, count in data["lost"].items()) or "- nothing"),
        ]
    )


def run(soak: Soak, folder: Path) -> dict[str, Any]:
    tally, verdicts = asyncio.run(soaked(soak, folder))
    rows = []
    for verdict in verdicts:
        submits = Counter(verdict.requests.get("submit", {}))
        throttled = verdict.throttled
        rows.append(
            {
                **asdict(verdict),
                "asked": verdict.asked,
                "given_up": sum(key.startswith(verdict.vendor) for key in tally.lost),
                "odd_files": verdict.damaged + verdict.foreign + verdict.strange_files,
                "submitted": submits["200"],
                "unclear": submits.total() - submits["200"] - submits["429"],
                "throttled": ", ".join(str(throttled.get(call, 0)) for call in ("submit", "query", "list")),
                "clean": verdict.is_clean,
            }
        )
    return {
        "rows": rows,
        "counts": dict(tally.counts),
        "come_backs": dict(tally.come_backs),
        "failures": dict(tally.failures),
        "lost": dict(Counter(kind(why) for why in tally.lost.values())),
        "seconds": tally.seconds,
        "generation": soak.sandbox["generation_seconds"],
        "outage": OUTAGE,
    }


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, default=VIDEOS, help="videos per vendor (default: %(default)s)")
    line.add_argument("--vendor", action="append", choices=VENDORS, help="only these, and do not save")
    given = line.parse_args(arguments)
    soak = replace(BIG, each=given.n, vendors=tuple(given.vendor or VENDORS))
    with tempfile.TemporaryDirectory(prefix="wan-soak-") as folder:
        data = run(soak, Path(folder))
    print(json.dumps(data))
    print(section(data))
    if given.n == VIDEOS and not given.vendor:
        save("soak", data)
    if not all(row["clean"] for row in data["rows"]):
        raise SystemExit("something was lost, damaged or paid twice")


if __name__ == "__main__":
    main()
