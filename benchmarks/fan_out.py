"""Many generations in flight: what each way of waiting asks, loses and delays.

The tasks are made before (submitting is measured in ``faults``). Every contender has a sandbox and a process of its
own. Contenders of one wave run at the same time, so that all meet the same state of the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from benchmarks.contenders import KNOWN, vendor_of
from benchmarks.contenders.base import VIDEO
from benchmarks.homes import environment
from benchmarks.measuring import mean, percentile
from benchmarks.results import save
from benchmarks.sandbox_process import SandboxProcess

OURS = ("wan", "wan, no list", "wan batch", "floor")
PEERS = tuple(name for name in KNOWN if not name.startswith(("wan", "floor")))
NAMES = (*PEERS, *OURS)
BUDGETED = "wan, 19/s"
"""Makes a difference only where more tasks end than the default budget can fetch."""
GENERATION = (60.0, 120.0)
INTERVAL = 15.0

Case = tuple[str, int]
WAVES: list[list[Case]] = [
    [(name, number) for number in (20, 100) for name in NAMES],
    [(name, 300) for name in NAMES],
    [(name, 1000) for name in PEERS],
    [(name, 1000) for name in (*OURS, BUDGETED)],
]
ALONE: list[list[Case]] = [[(name, number)] for number in (20, 100, 300, 1000) for name in NAMES]


def patience(number: int) -> float:
    """Seconds until a contender is stopped; the last task has ended after 120 s or so."""
    return 240.0 if number < 1000 else 330.0


def run_case(case: Case) -> dict[str, Any]:
    """Let one contender wait for its tasks; return what it did."""
    name, number = case
    argv = [sys.executable, "-m", "benchmarks.fan_out_process", name]
    span = f"{GENERATION[0]}:{GENERATION[1]}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        tempfile.TemporaryDirectory() as home,
        SandboxProcess(generation_seconds=span, running_limit=number) as sandbox,
        subprocess.Popen(argv, env=environment(home), **pipes) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{name} did not start")
            handles = sandbox.create(vendor_of(name), number)
            given = {
                "url": sandbox.url,
                "handles": [handle.to_dict() for handle in handles],
                "interval": INTERVAL,
                "ends": GENERATION[1],
                "patience": patience(number),
            }
            process.stdin.write(json.dumps(given) + "\n")
            process.stdin.flush()
            report = json.loads(process.stdout.readline())
        finally:
            process.kill()
        return judged(name, number, report, sandbox)


def judged(name: str, number: int, report: dict[str, Any], sandbox: SandboxProcess) -> dict[str, Any]:
    """Hold what a contender told against the sandbox's books."""
    ended = {task["task_id"]: task["ended"] for task in sandbox.tasks() if task["status"] == "SUCCEEDED"}
    told: dict[str, list[Any]] = report.pop("told")
    at = {task_id: moment for task_id, (word, moment) in told.items() if word == VIDEO}
    delays = [moment - datetime.fromisoformat(ended[task_id]).timestamp() for task_id, moment in at.items()]
    words = [word for word, _ in told.values() if word != VIDEO]
    asked = sandbox.ledger()["requests"].get(vendor_of(name), {})
    queries = {call: asked.get(call, {}) for call in ("query", "list")}
    requests = sum(sum(outcomes.values()) for outcomes in queries.values())
    return {
        "name": name,
        "n": number,
        "delivered": len(at),
        "lost": len(words),
        "lost_words": {word: words.count(word) for word in sorted(set(words))},
        "late": 0 if name == "floor" else number - len(told),
        "billed": len(ended),
        "requests": requests,
        "pages": sum(queries["list"].values()),
        "throttled": sum(outcomes.get("429", 0) for outcomes in queries.values()),
        "mean": mean(delays),
        "p95": percentile(delays, 0.95),
        "max": max(delays, default=None),
        **report,
    }


def measure(waves: list[list[Case]]) -> dict[str, Any]:
    rows = []
    for wave in waves:
        with ThreadPoolExecutor(len(wave)) as pool:
            for row in pool.map(run_case, wave):
                rows.append(row)
                print(told(row), flush=True)
    return {"rows": rows, "generation": GENERATION, "interval": INTERVAL}


def told(row: dict[str, Any]) -> str:
    mean_, p95 = row["mean"] or 0, row["p95"] or 0
    per_video = row["requests"] / row["delivered"] if row["delivered"] else row["requests"]
    return (
        f"{row['name']:>14} N={row['n']:<5} delivered {row['delivered']}, lost {row['lost']}, late {row['late']}, "
        f"{per_video:.2f} queries each ({row['pages']} pages), {row['throttled']} 429s, "
        f"latency {mean_:.1f}/{p95:.1f} s, stall {row['stall'] * 1000:.0f} ms (cpu {row['stall_cpu'] * 1000:.0f}, "
        f"busiest {row['busiest'] * 1000:.0f} at {row['busiest_at']:.1f} s), {row['cpu']:.1f} CPU s"
    )


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, action="append", help="only these numbers of tasks")
    line.add_argument("--only", action="append", choices=KNOWN, help="only these contenders, and do not save")
    given = line.parse_args(arguments)
    waves = [
        [case for case in wave if (not given.n or case[1] in given.n) and (not given.only or case[0] in given.only)]
        for wave in (ALONE if full else WAVES)
    ]
    data = measure([wave for wave in waves if wave])
    if not (given.n or given.only):
        save("fan_out", data)


if __name__ == "__main__":
    main()
