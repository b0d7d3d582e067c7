"""The page's part on waiting for many tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contenders import KNOWN, meaning_of
from benchmarks.page import NOTHING, number, ratio, table

Row = dict[str, Any]


def section(data: dict[str, Any]) -> str:
    low, high = data["generation"]
    names = [name for name in KNOWN if any(row["name"] == name for row in data["rows"])]
    parts = [
        "## Waiting for many generations",
        f"Generations of {low:.0f} to {high:.0f} s that all run at once, 20 queries per second for each endpoint, "
        f"150 ms an answer; {data['interval']:.0f} s between two polls of a task, where the contender lets one choose. "
        "The tasks are made beforehand, and all waits start together, as after a restart of the triggerer. "
        "Each contender has a process and a sandbox of its own; those of one wave share the machine.",
        *([data["again"]] if "again" in data else []),
        table(["contender", "what it is"], [[name, meaning_of(name)] for name in names], is_text=True),
    ]
    for count in sorted({row["n"] for row in data["rows"]}):
        rows = {row["name"]: row for row in data["rows"] if row["n"] == count}
        parts += [f"### {count:,} tasks in flight", _table(data, [rows[name] for name in names if name in rows], count)]
    parts += [
        "![Queries per video](results/queries_per_video.svg)",
        "![Detection latency](results/detection_latency.svg)",
        _notes(data),
    ]
    return "\n\n".join(parts)


def _table(data: dict[str, Any], rows: list[Row], count: int) -> str:
    limit = _limits(data, count)
    lines: list[list[str]] = [
        ["delivered", *(_if_asked(row, f"{row['delivered']:,}") for row in rows), f"{count:,}"],
        ["lost (billed, never delivered)", *(_if_asked(row, f"{row['lost']:,}") for row in rows), "0"],
        ["not delivered when stopped", *(_if_asked(row, f"{row['late']:,}") for row in rows), "0"],
        ["billed per delivered", *(ratio(row["billed"], row["delivered"]) for row in rows), "1.00"],
        ["queries per video", *(ratio(row["requests"], row["delivered"]) for row in rows), limit["queries"]],
        ["of them list pages", *(f"{row['pages']:,}" for row in rows), limit["pages"]],
        ["answers 429", *(f"{row['throttled']:,}" for row in rows), "0"],
        ["detection, mean s", *(number(row["mean"]) for row in rows), limit["mean"]],
        ["detection, p95 s", *(number(row["p95"]) for row in rows), limit["p95"]],
        ["longest pause of the loop, ms", *(_stall(row) for row in rows), _of_floor(rows, _stall)],
        ["time in which the loop did not turn", *(_away(row) for row in rows), _of_floor(rows, _away)],
        ["most CPU in one go, ms", *(_own(row) for row in rows), "< 50"],
        ["longest garbage collection, ms (full ones)", *(_collector(row) for row in rows), NOTHING],
        ["CPU s (the meter's own 1.3 s included)", *(_cpu(row) for row in rows), _of_floor(rows, _cpu)],
    ]
    return table(["", *(row["name"] for row in rows), "limit"], lines)


def _limits(data: dict[str, Any], count: int) -> dict[str, str]:
    low, high = data["generation"]
    interval = data["interval"]
    # A list is worth asking only once tasks can have ended: some cycles over the span in which they end.
    pages = -(-count // 100) * (high - low) / interval
    # If more end in a second than may be asked for in a second, the queue of results adds to the wait.
    queue = max(0.0, count / 20 - (high - low)) / 2
    return {
        "queries": f"1 + {pages / count:.2f}",
        "pages": f"{pages:.0f}",
        "mean": number(interval / 2 + queue),
        "p95": number(0.95 * interval + 2 * queue),
    }


def _if_asked(row: Row, text: str) -> str:
    return NOTHING if row["name"] == "floor" else text


def _stall(row: Row) -> str:
    return NOTHING if row["name"] == "sdk threads" else f"{row['stall'] * 1000:,.0f}"


def _of_floor(rows: list[Row], read: Callable[[Row], str]) -> str:
    return next((f"floor: {read(row)}" for row in rows if row["name"] == "floor"), NOTHING)


def _cpu(row: Row) -> str:
    return number(row["cpu"])


def _away(row: Row) -> str:
    return NOTHING if row["name"] == "sdk threads" else f"{row['away']:.0%}"


def _collector(row: Row) -> str:
    if row["name"] == "sdk threads":
        return NOTHING
    return f"{row['collecting'] * 1000:,.0f} ({row['full_collections']})"


def _own(row: Row) -> str:
    return NOTHING if row["name"] == "sdk threads" else f"{row['busiest'] * 1000:,.0f}"


def _notes(data: dict[str, Any]) -> str:
    words: dict[str, set[str]] = {}
    for row in data["rows"]:
        for word in row["lost_words"]:
            words.setdefault(row["name"], set()).add(word)
    lost = "; ".join(f"{name}: {', '.join(sorted(found))}" for name, found in words.items()) or "nobody lost any"
    return "\n".join(
        [
            "Reading notes",
            "",
            f"- Why tasks were lost: {lost}. `HttpSensor` fires at the first answer that is not a 404, so the download "
            "step reads a task that is still running; with a `response_check` it does not defer at all.",
            "- Latency counts what was delivered only: a contender that loses the slow tasks looks quick.",
            "- The longest pause is wall time and holds the machine's own pauses, which the floor shows; the most CPU "
            "in one go is what the process itself did without letting the loop turn (blocking network calls use none).",
            "- `wan batch` lets endings gather until a fifth of the window or 30 s are full, so that a worker is worth "
            "waking; its latency is that choice.",
            "- A full garbage collection of such a process takes 100 to 200 ms, nearly all of it for what Airflow and "
            "the vendors' libraries have imported, and comes when a quarter as much has been added. What was imported "
            "is collected before the start, as it is in a triggerer that has run for a while; the line says how often "
            "a contender brought the process to another one.",
            "- `wan` keeps to 17 queries per second by default, pages included. When 1,000 tasks end within a minute "
            "(16.7 per second) their results queue; the column with 19 per second shows what the vendor's own limit "
            "would allow.",
        ]
    )
