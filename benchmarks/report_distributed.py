"""The page's parts on a distributed Airflow: what a generation costs it, and many workers that submit at once."""

from __future__ import annotations

from typing import Any

from benchmarks.page import number, table, verdict

NAMES = {
    "cpu_sleep": "an operator that defers and sleeps",
    "cpu_mapped": "mapped, not stored",
    "cpu_stored": "mapped, stored",
    "cpu_batch": "row of a batch",
}
WANTED = {"cpu_mapped": 1.2, "cpu_stored": 1.5}
"""Times the operator that sleeps, in the same run."""
KINDS = ("api-server", "worker", "scheduler", "triggerer", "PostgreSQL")


def cost_section(data: dict[str, Any]) -> str:
    """What one generation costs all processes, and what is asked of the API server for it."""
    rows = data["rows"]
    floor = next(row["all"] for row in rows if row["way"] == "cpu_sleep")

    def line(row: dict[str, Any]) -> list[str]:
        wanted = WANTED.get(row["way"])
        return [
            _name(row),
            number(row["all"]),
            number(row["all"] / floor),
            *(number(row["cpu"][kind], 3) for kind in KINDS),
            number(sum(row["requests"].values()), 1),
            f"<= {wanted}: {verdict(row['all'] / floor, wanted)}" if wanted else "-",
        ]

    stored = next(row for row in rows if row["way"] == "cpu_stored")
    asked = ", ".join(f"{kind} {count:.1f}" for kind, count in stored["requests"].items())
    return "\n\n".join(
        [
            "## What a generation costs Airflow",
            f"CPU seconds over all processes for one of {rows[0]['count']}, on CeleryExecutor and PostgreSQL with one "
            f"of each component and {data['slots']} slots, less what they use while nothing happens. `preloaded`: "
            "Celery's workers have loaded the provider before they fork. The sandbox is not counted.",
            table(["", "all", "times sleeping", *KINDS, "requests", "wanted"], [line(row) for row in rows]),
            f"Requests of one that is mapped and stored: {asked}.",
        ]
    )


def _name(row: dict[str, Any]) -> str:
    return NAMES[row["way"]] + (", preloaded" if row.get("is_preloaded") else "")


def submitting_section(data: dict[str, Any]) -> str:
    """How 60 workers keep the pace of one account."""
    rows = [
        [
            row["way"],
            f"{row['created']} / {row['billed']} / {row['delivered']}",
            str(row["submissions"]),
            f"{row['throttled']} ({row['throttled'] / row['submissions']:.0%})",
            number(row["seconds"], 1),
            number(row["seconds"] / row["ideal"]),
            number(row["longest"], 1),
        ]
        for row in data["rows"]
    ]
    first = data["rows"][0]
    head = ["", "made / billed / delivered", "submissions sent", "429s", "all made after, s", "times the ideal"]
    return "\n\n".join(
        [
            "## Many workers that submit at once",
            f"{first['workers']} processes that are given a task each in the same second, at a vendor that takes five "
            f"submissions a second: {first['ideal']:.0f} s at best. Wanted with a shared `ledger_path`: at most 5 % "
            "429s, 1.3 times the ideal, no worker held for more than 5 s for its turn.",
            table([*head, "longest hold, s"], rows),
        ]
    )
