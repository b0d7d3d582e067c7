"""What a generation costs Airflow on Celery and PostgreSQL: CPU seconds of all processes, beside a task that sleeps.

The sandbox is no part of it. What the processes use while nothing happens is measured first and taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import save
from benchmarks.sandbox_process import SandboxProcess, connection
from tools.distributed_airflow import DistributedAirflow

CHECKOUT = Path(__file__).resolve().parent.parent
WAYS = ("cpu_sleep", "cpu_mapped", "cpu_stored", "cpu_batch")
PRELOADED = ("cpu_mapped", "cpu_stored")
PRELOAD = json.dumps({"imports": ["airflow_provider_wan.worker.preload"]})
COPIES = {"api-server": 1, "scheduler": 1, "triggerer": 1, "worker": 1}
SLOTS = 6
VIDEOS = 100
WARM = 6
IDLE_SECONDS = 20.0
ACCESS = re.compile(r"method=(\w+) path=/execution/(\S+)")
NAMED = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|manual__[^/]+")


class MeasuredAirflow(DistributedAirflow):
    """Tells what its processes have used."""

    is_preloading = False
    """Whether workers that are started now load the provider before they fork."""

    def environment(self, component: str = "") -> dict[str, str]:
        more = {"AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": PRELOAD} if self.is_preloading else {}
        return super().environment(component) | more

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each kind of component since its start, those of processes that have ended among them."""
        used: dict[str, float] = defaultdict(float)
        for name in self._running:
            used[self._kinds[name]] += cpu_of(self.pids(name))
        used["PostgreSQL"] = cpu_of(_family(self.postgres.pid))
        rest = set(self._family.pids()) - {pid for name in self._running for pid in self.pids(name)}
        used["broker"] = cpu_of(rest)
        return dict(used)

    def requests(self) -> Counter[str]:
        """How often each kind of call was made to the part of the API server that tasks speak to."""
        log = (self.logs / "api-server-1.log").read_text(errors="replace")
        return Counter(f"{verb} {_kind_of(path)}" for verb, path in ACCESS.findall(log))


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _kind_of(path: str) -> str:
    parts = NAMED.sub("…", path).split("/")
    if parts[0] == "xcoms":
        return f"xcoms/{parts[-1]}"
    if parts[0] == "connections":
        return "connections"
    return "/".join(parts)


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes and of what they have waited for."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def run_way(airflow: MeasuredAirflow, dag_id: str, count: int, idle: Mapping[str, float]) -> dict[str, Any]:
    """Run `count` of one kind; return what each cost."""
    asked, before, began = airflow.requests(), airflow.cpu(), time.monotonic()
    store = f"file://{airflow.home}/store/{dag_id}/"
    run_id = airflow.rest.trigger(dag_id, {"count": count, "store_to": store})
    state = airflow.rest.wait_for_run(dag_id, run_id, 900)
    seconds = time.monotonic() - began
    # Processes that end are counted once they were waited for.
    time.sleep(2)
    lasted, after = time.monotonic() - began, airflow.cpu()
    used = {kind: (after[kind] - before[kind] - idle.get(kind, 0.0) * lasted) / count for kind in after}
    asked = airflow.requests() - asked
    return {
        "way": dag_id,
        "count": count,
        "state": state,
        "seconds": seconds,
        "all": sum(used.values()),
        "cpu": used,
        "requests": {kind: number / count for kind, number in asked.most_common() if number >= count / 20},
    }


def idle_of(airflow: MeasuredAirflow) -> dict[str, float]:
    """Return the share of a core that each kind uses while nothing happens."""
    before, began = airflow.cpu(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, lasted = airflow.cpu(), time.monotonic() - began
    return {kind: (after[kind] - before[kind]) / lasted for kind in after}


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, default=200 if full else VIDEOS, help="of each kind (default: %(default)s)")
    line.add_argument("--only", action="append", choices=WAYS, help="only these, and do not save")
    given = line.parse_args(arguments)
    with SandboxProcess(generation_seconds="4:8", running_limit=1000, answer_delay=0.05) as sandbox:
        env = {
            "AIRFLOW_CONN_WAN_DEFAULT": connection(sandbox.url, "dashscope", submits_per_second=40),
            # As where it is not installed: it would have each task load what all providers have of assets.
            "AIRFLOW__OPENLINEAGE__DISABLED": "True",
            # Airflow's default; a short one makes slow tasks dearer.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
            "PYTHONPATH": str(CHECKOUT),
        }
        home = CHECKOUT / ".run" / f"bench-distributed-{os.getpid()}"
        dags = [CHECKOUT / "benchmarks" / "dags"]
        with MeasuredAirflow(home, dags, copies=COPIES, slots=SLOTS, env=env) as airflow:
            ways = given.only or WAYS
            for dag_id in ways:
                airflow.rest.wait_for_dag(dag_id)
                run_way(airflow, dag_id, WARM, {})
            time.sleep(5)
            idle = idle_of(airflow)
            rows = []
            for dag_id in ways:
                rows.append(run_way(airflow, dag_id, given.n, idle))
                print(rows[-1], flush=True)
            airflow.is_preloading = True
            airflow.terminate("worker-1", 30)
            airflow.start_component("worker", "worker-2")
            airflow.wait_until_healthy()
            for dag_id in [dag_id for dag_id in ways if dag_id in PRELOADED]:
                run_way(airflow, dag_id, WARM, {})
                rows.append(run_way(airflow, dag_id, given.n, idle) | {"is_preloaded": True})
                print(rows[-1], flush=True)
    if not given.only:
        save("distributed", {"rows": rows, "idle": idle, "copies": COPIES, "slots": SLOTS})


if __name__ == "__main__":
    main()
