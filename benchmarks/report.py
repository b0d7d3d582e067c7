"""Writes RESULTS.md from the kept measurements: ``python -m benchmarks.report``."""

from __future__ import annotations

from typing import Any

from benchmarks.accounts import section as accounts_section
from benchmarks.inputs import section as inputs_section
from benchmarks.ledger import section as ledger_section
from benchmarks.page import NOTHING, number, table, verdict
from benchmarks.plots import draw
from benchmarks.report_distributed import cost_section, submitting_section
from benchmarks.report_fan_out import section as fan_out_section
from benchmarks.report_gallery import section as gallery_section
from benchmarks.report_rest import batch_section, faults_section, slots_section, triggerer_section
from benchmarks.results import FOLDER, HERE, load
from benchmarks.soak import section as soak_section

SECTIONS = {
    "fan_out": fan_out_section,
    "faults": faults_section,
    "soak": soak_section,
    "triggerer": triggerer_section,
    "batch": batch_section,
    "accounts": accounts_section,
    "ledger": ledger_section,
    "slots": slots_section,
    "distributed": cost_section,
    "submitting": submitting_section,
    "inputs": inputs_section,
    "gallery": gallery_section,
}


def write() -> None:
    """Write the page from whatever has been measured."""
    found = {name: data for name in SECTIONS if (data := load(name))}
    parts = ["# Benchmarks", _intro(), _machine(found), "## Targets", _targets(found)]
    parts += [section(found[name]) for name, section in SECTIONS.items() if name in found]
    if "fan_out" in found:
        draw(found["fan_out"], FOLDER)
    imports = HERE / "results" / "import.md"
    if imports.exists():
        parts += ["## Import time", imports.read_text().strip()]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


def _intro() -> str:
    return (
        "The provider beside what people use today, in one run on one machine, against the project's sandbox with the "
        "limits that DashScope documents. `make bench` measures all and writes this page; each part also runs alone "
        "(`.venv-bench/bin/python -m benchmarks.fan_out`), and `python -m benchmarks.report` writes the page anew. "
        "`BENCH_FULL=1` runs every contender by itself, and the peers on the real triggerer too.\n\n"
        "Read them as ratios between columns: the machine is small and was shared while this was measured, so single "
        "seconds and milliseconds carry its noise. The last column of each table is the theoretical limit."
    )


def _machine(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            data["made_on"]["date"].replace("+00:00", " UTC"),
            data["made_on"]["commit"],
            f"{data['made_on']['cpu']}, {data['made_on']['cores']} cores, {data['made_on']['memory_gb']} GB",
            f"Python {data['made_on']['python']}, "
            + ", ".join(f"{key.removeprefix('apache-')} {value}" for key, value in data["made_on"]["versions"].items()),
        ]
        for name, data in found.items()
    ]
    return table(["part", "date", "commit", "machine", "versions"], rows, is_text=True)


def _targets(found: dict[str, Any]) -> str:
    lines = [*_money(found), *_soak(found), *_waiting(found), *_triggerer(found), *_batch(found)]
    return table(["target", "wanted", "measured", "verdict", "limit or best known"], lines, is_text=True)


def _line(what: str, target: float, measured: float | None, limit: str, digits: int = 2, unit: str = "") -> list[str]:
    shown = NOTHING if measured is None else f"{number(measured, digits)}{unit}"
    return [what, f"<= {number(target, digits)}{unit}", shown, verdict(measured, target), limit]


def _worst(rows: list[dict[str, Any]], read: Any) -> float | None:
    return max((value for row in rows if (value := read(row)) is not None), default=None)


def _money(found: dict[str, Any]) -> list[list[str]]:
    faults = [row for row in found.get("faults", {}).get("rows", []) if row["way"].startswith("wan")]
    surest = [row for row in faults if row["way"] != "wan, powertokens"]
    blind = [row for row in faults if row["way"] == "wan, powertokens"]
    return [
        _line("paid twice, under every fault (videos, all vendors)", 0, _worst(faults, lambda r: r["twice"]), "0", 0),
        _line(
            "billed per delivered, worst fault (DashScope, GCCAI)",
            1.0,
            _worst(surest, lambda row: row["billed"] / row["delivered"] if row["delivered"] else None),
            "1.00",
        ),
        _line("lost, worst fault (DashScope, GCCAI)", 0, _worst(surest, lambda row: row["lost"]), "0", 0),
        [
            "left to a person, worst fault (PowerTokens)",
            "0",
            number(_worst(blind, lambda row: row["lost"]), 0),
            "a limit of that API, not of the client",
            "without a list or a key nobody can tell whether a lost submission made a task",
        ],
    ]


def _soak(found: dict[str, Any]) -> list[list[str]]:
    rows = found.get("soak", {}).get("rows", [])
    name = "soak of 1,000 at each of two vendors"
    return [
        _line(f"{name}: made or billed twice", 0, _worst(rows, lambda row: row["twice"]), "0", 0),
        _line(f"{name}: billed per delivered", 1.0, _worst(rows, lambda r: r["billed"] / r["delivered"]), "1.00"),
        _line(f"{name}: lost, or left to a person", 0, _worst(rows, lambda r: r["wanted"] - r["delivered"]), "0", 0),
    ]


def _waiting(found: dict[str, Any]) -> list[list[str]]:
    rows = found.get("fan_out", {}).get("rows", [])
    ours = [row for row in rows if row["name"].startswith("wan")]
    many = [row for row in ours if row["n"] >= 100]
    thousand = {row["name"]: row for row in ours if row["n"] == 1000}

    def per_video(row: dict[str, Any]) -> float | None:
        return row["requests"] / row["delivered"] if row["delivered"] else None

    listed = [row for row in many if row["name"] in ("wan", "wan, 19/s")]
    single = [row for row in many if row["name"] == "wan, no list"]
    default, wide = thousand.get("wan", {}), thousand.get("wan, 19/s", {})
    each = [row for name, row in thousand.items() if name != "wan batch"]
    together = [row for name, row in thousand.items() if name == "wan batch"]
    return [
        _line("lost while waiting, any N", 0, _worst(ours, lambda row: row["lost"] + row["late"]), "0", 0),
        _line("queries per video, N >= 100, with a list", 1.2, _worst(listed, per_video), "1 + pages per cycle"),
        _line("queries per video, no list, 15 s", 4.0, _worst(single, per_video), "6.7 with plain jitter"),
        _line("429s at 20 queries per second, any N", 0, _worst(ours, lambda row: row["throttled"]), "0", 0),
        _line("mean detection, N = 1,000, list, default budget", 8.5, default.get("mean"), "7.5", 1, " s"),
        _line("mean detection, N = 1,000, list, 19 queries per second", 8.5, wide.get("mean"), "7.5", 1, " s"),
        *(
            _line(
                f"most CPU between two turns of the loop, N = 1,000, {what}",
                50,
                _worst(those, lambda row: row["busiest"] * 1000),
                "0",
                0,
                " ms",
            )
            for what, those in (("a trigger each", each), ("one batch", together))
        ),
    ]


def _triggerer(found: dict[str, Any]) -> list[list[str]]:
    rows = {(row["way"], row["n"]): row for row in found.get("triggerer", {}).get("rows", [])}
    lines = []
    for count, cpu, memory in ((1000, 2.0, 165.0), (10_000, 10.0, 310.0)):
        row, floor = rows.get(("wan", count), {}), rows.get(("floor", count), {})
        best = f"sleeping: {floor['cpu'] * 100:.1f} %, {floor['pss'] / 1e6:.0f} MB" if floor else NOTHING
        name = f"real triggerer, {count:,} tasks"
        lines.append(_line(f"{name}: runner CPU", cpu, _scaled(row, "cpu", 100), best, 1, " %"))
        lines.append(_line(f"{name}: runner memory (PSS)", memory, _scaled(row, "pss", 1e-6), best, 0, " MB"))
        lines.append(_line(f"{name}: failed", 0, row.get("failed"), "0", 0))
    return lines


def _scaled(row: dict[str, Any], key: str, factor: float) -> float | None:
    return row[key] * factor if key in row else None


def _batch(found: dict[str, Any]) -> list[list[str]]:
    rows = found.get("batch", {}).get("rows", [])
    if not rows:
        return []
    row = rows[0]
    extra = row["held"] - row["items"] / row["submits_per_second"]
    per_item = f"{1000 * extra / row['items']:.0f} ms an item beyond the vendor's submission rate"
    return [
        [
            "batch of 3,000",
            "one task; workers held only to submit and to store",
            f"{row['delivered']:,} delivered, worker held {row['held']:.0f} of {row['wall']:.0f} s ({per_item})",
            "met" if row["delivered"] == row["billed"] == row["items"] else "**missed**",
            f"{row['items'] / row['submits_per_second']:.0f} s of submitting",
        ]
    ]


if __name__ == "__main__":
    write()
