"""Worker seconds per video on a real Airflow: deferred, and waiting in the worker; one way after the other."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.results import save
from benchmarks.sandbox_process import KEY, REAL_LIMITS, SandboxProcess, connection
from tools.local_airflow import LocalAirflow
from tools.worker_meter import WorkerMeter

CHECKOUT = Path(__file__).resolve().parent.parent
WAYS = {
    "slots_wan": "`WanTextToVideoOperator`, deferrable",
    "slots_wan_sync": "the same with `deferrable=False`",
    "slots_sdk": "`VideoSynthesis.call()` in a `PythonOperator`",
}
VIDEOS = 4
"""As in the DAG; as many as workers, so that none queues."""

GENERATION = 45.0


def run_way(airflow: LocalAirflow, dag_id: str) -> dict[str, Any]:
    began = time.monotonic()
    with WorkerMeter(airflow) as meter:
        run_id = airflow.rest.trigger(dag_id)
        airflow.rest.wait_for_run(dag_id, run_id, timeout=240)
    seconds = time.monotonic() - began
    state = airflow.rest.run(dag_id, run_id)["state"]
    row = {"way": dag_id, "state": state, "seconds": seconds, "held": meter.held_seconds, "most": meter.most_at_once}
    print(row, flush=True)
    return row


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with SandboxProcess(generation_seconds=GENERATION, running_limit=100, **REAL_LIMITS) as sandbox:
        env = {
            "AIRFLOW_CONN_WAN_DEFAULT": connection(sandbox.url, "dashscope"),
            "BENCH_URL": sandbox.url,
            "BENCH_KEY": KEY,
            "PYTHONPATH": str(CHECKOUT),
        }
        home = CHECKOUT / ".run" / "bench-slots"
        with LocalAirflow(home, [CHECKOUT / "benchmarks" / "dags"], env=env, parallelism=VIDEOS) as airflow:
            for dag_id in WAYS:
                airflow.rest.wait_for_dag(dag_id)
            # The workers import Airflow at their first task; that is not what is compared.
            run_way(airflow, "slots_wan")
            rows = [run_way(airflow, dag_id) for dag_id in WAYS]
        billed = len(sandbox.ledger()["billed"])
    save("slots", {"rows": rows, "videos": VIDEOS, "generation": GENERATION, "billed": billed})


if __name__ == "__main__":
    main()
