"""Many workers that submit at once, at a vendor that takes five submissions a second: each one a process of its own.

Once without anything shared, once with a `ledger_path` that all share. No Airflow: how fast it starts tasks would hide
what 60 workers do that have all been given one in the same second. They are forked off one process that has imported
everything, as Celery's are with ``airflow_provider_wan.worker.preload``.
"""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import homes
from benchmarks.results import save
from benchmarks.sandbox_process import SandboxProcess, connection

WORKERS = 60
SUBMITS_PER_SECOND = 5
"""Of the vendor; the account keeps a little below, as one does."""

PACE = 4.6
WAYS = ("nothing shared", "ledger_path")


def work(number: int, place: str, ledger_path: str | None, start: Any, told: Any) -> None:
    """Run one task from its first attempt to its end; tell how long it held its worker at a stretch."""
    from airflow_provider_wan.operators.wan import WanTextToVideoOperator
    from benchmarks.driver import FileStore, Run

    folder = Path(place) / str(number)
    folder.mkdir()
    make = functools.partial(
        WanTextToVideoOperator,
        task_id="make",
        prompt=f"Take {number}",
        resolution="720P",
        duration=2,
        poll_interval=5,
        ledger_path=ledger_path,
    )
    run = Run(make, FileStore(folder), map_index=number)
    start.wait()
    result = run.attempt()
    told.put((number, run.longest, run.on_worker, run.deferrals, result["task_id"]))


def run_way(way: str, workers: int) -> dict[str, Any]:
    """Let all workers begin at once; return what the vendor saw and how long they were held."""
    import airflow_provider_wan.worker.preload  # noqa: F401 - before the workers are forked

    fork = multiprocessing.get_context("fork")
    settings = {"generation_seconds": "5:10", "running_limit": 1000, "submit_qps": SUBMITS_PER_SECOND}
    with tempfile.TemporaryDirectory() as place, SandboxProcess(answer_delay=0.15, **settings) as sandbox:
        os.environ["AIRFLOW_CONN_WAN_DEFAULT"] = connection(sandbox.url, "dashscope", submits_per_second=PACE)
        ledger_path = f"file://{place}/ledger" if way == "ledger_path" else None
        start, told = fork.Event(), fork.Queue()
        processes = [
            fork.Process(target=work, args=(number, place, ledger_path, start, told)) for number in range(workers)
        ]
        for process in processes:
            process.start()
        time.sleep(2)
        began = time.time()
        start.set()
        reports = [told.get(timeout=300) for _ in processes]
        for process in processes:
            process.join()
        ledger, tasks = sandbox.ledger(), sandbox.tasks()
    submitted = [datetime.fromisoformat(task["created"]).timestamp() - began for task in tasks]
    asked = ledger["requests"]["dashscope"]["submit"]
    row = {
        "way": way,
        "workers": workers,
        "created": len(ledger["created"]),
        "billed": len(ledger["billed"]),
        "delivered": len({report[-1] for report in reports}),
        "submissions": sum(asked.values()),
        "throttled": asked.get("429", 0),
        "seconds": max(submitted),
        "ideal": workers / SUBMITS_PER_SECOND,
        "longest": max(report[1] for report in reports),
        "held": sum(report[2] for report in reports) / workers,
        "deferrals": sum(report[3] for report in reports) / workers,
    }
    print(row, flush=True)
    return row


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, default=WORKERS, help="workers (default: %(default)s)")
    given = line.parse_args(arguments)
    homes.make_own()
    logging.disable(logging.ERROR)
    rows = [run_way(way, given.n) for way in WAYS]
    if given.n == WORKERS:
        save("submitting", {"rows": rows})


if __name__ == "__main__":
    main()
