"""What a real ``airflow triggerer`` costs with thousands of deferred tasks, in a steady state.

Only the triggerer runs, on SQLite; the deferred tasks are written into its database, their generations never end.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.triggers.wan import WanTaskTrigger
from benchmarks.results import save
from benchmarks.sandbox_process import KEY, SandboxProcess, connection
from benchmarks.triggers import INTERVAL, SdkTrigger, SleepTrigger
from tools.local_airflow import LocalAirflow

CHECKOUT = Path(__file__).resolve().parent.parent
SETTLE_SECONDS = 45.0
"""From the last start to the measurement: by then each task has been looked at once."""

LONGEST_SETTLE = 240.0
"""By then what was seen stands in the tasks' logs, too, which takes the supervisor its time."""

WINDOW_SECONDS = 30.0
LONG_WINDOW_SECONDS = 120.0
"""With many tasks, for a full reading of the list and a full garbage collection come once in a minute or two."""

MANY = 10_000
BLOCKED = re.compile(r"async thread was blocked for (\d+\.\d+) seconds")

Triggers = list[tuple[str, dict[str, Any]]]


def _ours(handles: list[TaskHandle], url: str) -> Triggers:
    deadline = (utc_now() + timedelta(hours=6)).isoformat()
    return [
        WanTaskTrigger("wan_default", handle.to_dict(), deadline, INTERVAL, profile="wan2.7-t2v/720P/5").serialize()
        for handle in handles
    ]


def _sleeping(handles: list[TaskHandle], url: str) -> Triggers:
    return [SleepTrigger(36_000).serialize() for _ in handles]


def _event(handles: list[TaskHandle], url: str) -> Triggers:
    from airflow.providers.http.triggers.http import HttpEventTrigger

    check = "benchmarks.contenders.response_check.is_ended"
    return [
        HttpEventTrigger(
            response_check_path=check,
            http_conn_id="bench_http",
            method="GET",
            endpoint=f"/api/v1/tasks/{handle.task_id}",
            poll_interval=INTERVAL,
        ).serialize()
        for handle in handles
    ]


def _sdk(is_threaded: bool) -> Callable[[list[TaskHandle], str], Triggers]:
    return lambda handles, url: [SdkTrigger(url, handle.task_id, is_threaded).serialize() for handle in handles]


WAYS: dict[str, tuple[Callable[[list[TaskHandle], str], Triggers], str]] = {
    "floor": (_sleeping, "dashscope"),
    "wan": (_ours, "dashscope"),
    "wan, no list": (_ours, "gccai"),
    "HttpEvent": (_event, "dashscope"),
    "to_thread": (_sdk(True), "dashscope"),
    "blocking": (_sdk(False), "dashscope"),
}
CASES = [("floor", 1000), ("wan", 1000), ("wan, no list", 1000), ("floor", 10_000), ("wan", 10_000)]
FULL_CASES = [*CASES, ("HttpEvent", 1000), ("to_thread", 1000), ("blocking", 1000)]


class TriggererOnly(LocalAirflow):
    """An Airflow of a database and, when it is asked for, a triggerer."""

    def start(self, timeout: float = 180) -> TriggererOnly:
        shutil.rmtree(self.home, ignore_errors=True)
        self.logs.mkdir(parents=True)
        for name, arguments in (("db-migrate", ["db", "migrate"]), ("reserialize", ["dags", "reserialize"])):
            if self._spawn(name, arguments).wait(timeout):
                raise RuntimeError(f"airflow {name} failed\n{self.component_log(name)}")
        return self

    def defer(self, triggers: Triggers) -> None:
        """Make these the deferred tasks."""
        argv = [sys.executable, "-m", "benchmarks.deferred_tasks"]
        subprocess.run(argv, input=json.dumps(triggers), text=True, env=self.environment(), cwd=CHECKOUT, check=True)

    def runner(self) -> psutil.Process:
        """The process in which the triggers run: the triggerer's only child once it has settled."""
        children = psutil.Process(self._running["triggerer"].pid).children()
        if not children:
            raise RuntimeError(f"no runner\n{self.component_log('triggerer')}")
        return max(children, key=lambda child: child.memory_info().rss)

    def started(self) -> int:
        """How many triggers have said that they start: each has a log of its own."""
        return sum(1 for _ in self._task_logs())

    def written(self) -> int:
        """How many bytes stand in the logs of the tasks."""
        return sum(path.stat().st_size for path in self._task_logs())

    def _task_logs(self) -> Iterator[Path]:
        return (self.home / "logs").rglob("*.trigger.*.log")

    def deferred(self) -> int:
        with sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=60) as base:
            return int(base.execute("select count(*) from task_instance where state = 'deferred'").fetchone()[0])


def run_case(way: str, number: int, patience: float = 240.0) -> dict[str, Any]:
    make, vendor = WAYS[way]
    settings = {"generation_seconds": 86_000, "running_limit": number}
    with SandboxProcess(**settings) as sandbox:
        http = {"conn_type": "http", "host": sandbox.url, "extra": {"Authorization": f"Bearer {KEY}"}}
        env = {
            "AIRFLOW_CONN_WAN_DEFAULT": connection(sandbox.url, vendor, queries_per_second=15),
            "AIRFLOW_CONN_BENCH_HTTP": json.dumps(http),
            "AIRFLOW__TRIGGERER__CAPACITY": str(number),
            "PYTHONPATH": str(CHECKOUT),
        }
        with TriggererOnly(
            CHECKOUT / ".run" / "bench-triggerer", [CHECKOUT / "benchmarks" / "dags"], env=env
        ) as airflow:
            handles = sandbox.create(vendor, number)
            airflow.defer(make(handles, sandbox.url))
            airflow.start_component("triggerer")
            row = observe(airflow, number, patience)
        asked = sandbox.ledger()["requests"].get(vendor, {})
        row["requests"] = {call: asked[call] for call in ("query", "list") if call in asked}
    row = {"way": way, "n": number, **row}
    print(row, flush=True)
    return row


def observe(airflow: TriggererOnly, number: int, patience: float) -> dict[str, Any]:
    """Wait until all triggers have started, let them settle, and measure the runner."""
    began = time.monotonic()
    while (started := airflow.started()) < number and time.monotonic() - began < patience:
        time.sleep(1)
    all_started = time.monotonic() - began
    settle(airflow)
    runner = airflow.runner()
    supervisor = psutil.Process(runner.ppid())
    mark = len(airflow.component_log("triggerer", 10**6))
    before, before_supervisor, at = runner.cpu_times(), supervisor.cpu_times(), time.monotonic()
    time.sleep(LONG_WINDOW_SECONDS if number >= MANY else WINDOW_SECONDS)
    seconds = time.monotonic() - at
    memory = runner.memory_full_info()
    log = airflow.component_log("triggerer", 10**6)
    blocked = [float(found) for found in BLOCKED.findall(log)]
    blocked_later = [float(found) for found in BLOCKED.findall(log[mark:])]
    return {
        "started": started,
        "all_started": all_started,
        "cpu": _busy(before, runner.cpu_times()) / seconds,
        "supervisor_cpu": _busy(before_supervisor, supervisor.cpu_times()) / seconds,
        "pss": memory.pss,
        "rss": memory.rss,
        "failed": number - airflow.deferred(),
        "warnings": len(blocked),
        "worst": max(blocked, default=0.0),
        "warnings_steady": len(blocked_later),
        "worst_steady": max(blocked_later, default=0.0),
    }


def settle(airflow: TriggererOnly) -> None:
    """Wait until all has been looked at once, and what there is to say about it is written."""
    time.sleep(SETTLE_SECONDS)
    until, known = time.monotonic() + LONGEST_SETTLE, -1
    while (written := airflow.written()) != known and time.monotonic() < until:
        known = written
        time.sleep(5)


def _busy(before: Any, after: Any) -> float:
    return float(after.user + after.system - before.user - before.system)


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, action="append", help="only these numbers of tasks, and do not save")
    line.add_argument("--way", action="append", choices=WAYS, help="only these ways, and do not save")
    line.add_argument("--full", action="store_true", help="the peers' triggers, too")
    given = line.parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The supervisor holds a log file open for each trigger.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    chosen = [
        case
        for case in (FULL_CASES if full or given.full else CASES)
        if (not given.n or case[1] in given.n) and (not given.way or case[0] in given.way)
    ]
    rows = [run_case(*case) for case in chosen]
    if not (given.n or given.way):
        save("triggerer", {"rows": rows, "window": WINDOW_SECONDS, "long_window": LONG_WINDOW_SECONDS})


if __name__ == "__main__":
    main()
