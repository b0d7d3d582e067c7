"""The page's parts on money, the triggerer, the batch and workers."""

from __future__ import annotations

from typing import Any

from benchmarks.fault_contenders import WAYS
from benchmarks.faults import FAULTS
from benchmarks.page import NOTHING, number, ratio, table
from benchmarks.slots import WAYS as SLOT_WAYS


def faults_section(data: dict[str, Any]) -> str:
    rows = {(row["fault"], row["way"]): row for row in data["rows"]}
    lines = []
    for name, fault in FAULTS.items():
        cells = [_money(rows.get((name, way))) for way in WAYS]
        lines.append([f"{name}: {fault.what}", *cells, f"1.00 · {data['videos']}/{data['videos']} · 0"])
    reasons = [
        f"- {row['fault']}, {row['way']}: {count} times {reason}"
        for row in data["rows"]
        for reason, count in row["reasons"].items()
        if row["way"].startswith("wan")
    ]
    reasons += [
        f"- {row['fault']}, {row['way']}, measured again: {row['again']}" for row in data["rows"] if "again" in row
    ]
    return "\n\n".join(
        [
            "## Paid and delivered under faults",
            f"{data['videos']} videos from the prompt to the file on disk, each an Airflow task with four retries "
            "(1 s apart, 20 s in the outage). "
            "Each cell: billed per delivered · delivered · lost (billed, but no whole file in the end).",
            table(["way", "what it is"], [[name, meaning] for name, (_, _, meaning) in WAYS.items()], is_text=True),
            table(["fault", *WAYS, "limit"], lines),
            "What the provider did not deliver, and what it said:\n\n" + ("\n".join(reasons) or "- nothing"),
        ]
    )


def _money(row: dict[str, Any] | None) -> str:
    if row is None:
        return NOTHING
    said = f"{ratio(row['billed'], row['delivered'])} · {row['delivered']} · {row['lost']}"
    return f"{said} ({row['damaged']} damaged files taken for videos)" if row["damaged"] else said


def triggerer_section(data: dict[str, Any]) -> str:
    lines = []
    floors = {row["n"]: row for row in data["rows"] if row["way"] == "floor"}
    for row in data["rows"]:
        floor = floors.get(row["n"])
        limit = f"{floor['cpu'] * 100:.1f} %, {floor['pss'] / 1e6:.0f} MB" if floor else NOTHING
        asked = sum(sum(outcomes.values()) for outcomes in row["requests"].values())
        lines.append(
            [
                f"{row['way']}, {row['n']:,}",
                number(row["all_started"], 0) if row["started"] >= row["n"] else f"only {row['started']:,}",
                f"{row['cpu'] * 100:.1f} %",
                f"{row['supervisor_cpu'] * 100:.1f} %",
                f"{row['pss'] / 1e6:.0f}",
                f"{row['rss'] / 1e6:.0f}",
                str(row["failed"]),
                f"{row['warnings_steady']} ({number(row['worst_steady'], 2)})",
                f"{row['warnings']} ({number(row['worst'], 2)})",
                f"{asked:,}",
                limit,
            ]
        )
    head = ["triggers", "all started, s", "runner CPU", "supervisor CPU", "runner PSS, MB", "RSS, MB", "failed"]
    head += ["warnings while steady (worst, s)", "warnings in all (worst, s)", "requests in all", "limit: sleeping"]
    return "\n\n".join(
        [
            "## A real triggerer",
            *([data["again"]] if "again" in data else []),
            f"`airflow triggerer` on SQLite with deferred tasks written into its database; the generations run on. "
            f"CPU is that of the runner process over {data['window']:.0f} s ({data['long_window']:.0f} s with 10,000 "
            "tasks, as full readings of the list and full garbage collections come once in a minute or two), from 45 s "
            "after the last trigger has started, or later, when what was seen stands in the tasks' logs. "
            "Memory is the runner's: PSS shares what it has in common with its supervisor, RSS does not. "
            "Warnings are those of Airflow's own watchdog (loop blocked for more than 0.2 s); "
            "those while starting are Airflow's too.",
            table(head, lines),
        ]
    )


def batch_section(data: dict[str, Any]) -> str:
    first = data["rows"][0]
    least = first["items"] / first["submits_per_second"]

    def line(what: str, values: list[str], limit: str) -> list[str]:
        return [what, *values, limit]

    rows = data["rows"]
    lines = [
        line("delivered", [f"{row['delivered']:,}" for row in rows], f"{first['items']:,}"),
        line("billed per delivered", [ratio(row["billed"], row["delivered"]) for row in rows], "1.00"),
        line("items in the manifest", [f"{row['in_manifest']:,}" for row in rows], f"{first['items']:,}"),
        line("wall time, s", [number(row["wall"], 0) for row in rows], number(_wall(first), 0)),
        line("worker held, s", [number(row["held"], 0) for row in rows], f"{least:.0f} (submitting)"),
        line("share of the time", [f"{row['held'] / row['wall']:.0%}" for row in rows], NOTHING),
        line("times a worker was taken", [str(row["rounds"]) for row in rows], NOTHING),
        line("CPU, s", [number(row["cpu"], 0) for row in rows], NOTHING),
        line("queries per video", [_asked(row) for row in rows], "1 + pages"),
        line("state store: writes per item", [ratio(row["writes"], row["items"]) for row in rows], "2"),
        line("state store: KB written per item", [number(row["bytes"] / row["items"] / 1e3) for row in rows], NOTHING),
        line("state store: largest value, KB", [number(row["largest"] / 1e3) for row in rows], "< 64"),
        line("state store: kept in the end, KB", [number(row["kept"] / 1e3, 0) for row in rows], NOTHING),
        line("XCom, KB", [number(row["xcom"] / 1e3, 0) for row in rows], NOTHING),
    ]
    return "\n\n".join(
        [
            "## A batch of 3,000 in one Airflow task",
            f"`WanVideoBatchOperator` with {first['running']} generations running at the vendor; time runs "
            f"{first['scale']} times as fast: 3 to 6 s a generation, {first['submits_per_second']} submissions per "
            "second. The provider's own work is not scaled, so its share of the time is overstated by that factor. "
            "Mapping cannot do this: it ends at 1,024 tasks.",
            table(["", "no storing", "each video stored", "limit"], lines),
        ]
    )


def _wall(row: dict[str, Any]) -> float:
    return max(row["items"] / row["running"] * 4.5, row["items"] / row["submits_per_second"])


def _asked(row: dict[str, Any]) -> str:
    asked = sum(sum(row["requests"].get(call, {}).values()) for call in ("query", "list"))
    return ratio(asked, row["delivered"])


def slots_section(data: dict[str, Any]) -> str:
    lines = [
        [
            SLOT_WAYS[row["way"]],
            number(row["held"] / data["videos"]),
            number(row["seconds"], 0),
            str(row["most"]),
            row["state"],
            "0" if row["way"] == "slots_wan" else number(data["generation"], 0),
        ]
        for row in data["rows"]
    ]
    head = ["way", "worker s per video", "run, s", "most workers at once", "run ended", "limit, s"]
    return "\n\n".join(
        [
            "## Worker seconds per video",
            f"A real Airflow (LocalExecutor, SQLite), {data['videos']} mapped tasks, generations of "
            f"{data['generation']:.0f} s. What a deferred task holds is the start of two processes, whatever "
            "the generation takes.",
            table(head, lines),
        ]
    )
