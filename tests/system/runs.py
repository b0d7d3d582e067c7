"""One run of a case's DAG together with what the sandbox's books say of it."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from airflow_provider_wan.links.gallery import page_address
from airflow_provider_wan.sandbox import Sandbox
from tools.airflow_rest import TASK_FINISHED, Json, wait_until
from tools.local_airflow import LocalAirflow

_numbers = itertools.count(1)


class Cost(NamedTuple):
    """How many tasks the vendor made, bills, and cancelled at our wish."""

    created: int
    billed: int
    cancelled: int = 0


ONE_VIDEO = Cost(created=1, billed=1)


class Run:
    """A DAG run whose prompts carry a mark of their own, so that runs share one sandbox."""

    def __init__(self, airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, prompt: str, **params: Any) -> None:
        self.mark = f"case-{next(_numbers):03d}"
        self.airflow, self.sandbox, self.dag_id = airflow, sandbox, dag_id
        self.run_id = airflow.rest.trigger(dag_id, {"prompt": f"{self.mark} {prompt}", "mark": self.mark, **params})

    # -- Airflow's side -----------------------------------------------------------------------------------

    def wait(self, *states: str, task_id: str = "video", timeout: float = 180, min_try: int = 1) -> Json:
        """Wait until the task is in one of the states (default: it has ended)."""
        wanted = states or TASK_FINISHED
        return self.airflow.rest.wait_for_task(
            self.dag_id, self.run_id, task_id, wanted, timeout=timeout, min_try=min_try
        )

    def end(self, timeout: float = 240) -> str:
        """Wait for the end of the run."""
        return self.airflow.rest.wait_for_run(self.dag_id, self.run_id, timeout)

    def task(self, task_id: str = "video") -> Json:
        return self.airflow.rest.task(self.dag_id, self.run_id, task_id)

    def result(self, task_id: str = "video", key: str = "return_value") -> Any:
        return self.airflow.rest.xcom(self.dag_id, self.run_id, task_id, key)

    def record(self, task_id: str = "video") -> Json:
        """What the task state store keeps of the last submission."""
        store = self.airflow.rest.state_store(self.dag_id, self.run_id, task_id)
        return dict(store.get("wan_submission") or {})

    def page(self, task_id: str = "video") -> str:
        """The gallery's page of a task."""
        return page_address(self.airflow.url, self.dag_id, self.run_id, task_id)

    def link(self, task_id: str = "video") -> str | None:
        return self.airflow.rest.links(self.dag_id, self.run_id, task_id)["Generated video"]

    def log(self, task_id: str = "video", try_number: int | None = None) -> str:
        return self.airflow.rest.task_log(self.dag_id, self.run_id, task_id, try_number=try_number)

    def wait_for_log(
        self, text: str, task_id: str = "video", timeout: float = 180, try_number: int | None = None
    ) -> str:
        """Wait until a text stands in the task's log; returns the log."""

        def logged() -> str | None:
            if self.task(task_id)["try_number"] < (try_number or 1):
                return None
            log = self.log(task_id, try_number)
            return log if text in log else None

        return wait_until(logged, timeout, f"{text!r} is in the log of {self.dag_id}.{task_id}", every=0.5)

    def wait_for_trigger(self, task_id: str = "video", timeout: float = 180) -> int:
        """Wait until a triggerer has taken the deferred task; returns which."""

        def taken() -> int | None:
            trigger = self.task(task_id)["trigger"]
            return trigger["triggerer_id"] if trigger else None

        return wait_until(taken, timeout, f"a triggerer has taken {self.dag_id}.{task_id}")

    def clear(self, *task_ids: str, wish: str | None = None, keep_task_state: bool | None = None) -> None:
        """Clear tasks; `wish` is what the DAG takes its policies from."""
        if wish is not None:
            self.airflow.rest.call("POST", "/variables", json={"key": f"wish_{self.mark}", "value": wish})
        self.airflow.rest.clear(self.dag_id, self.run_id, task_ids or ["video"], keep_task_state=keep_task_state)

    def mark_as(self, state: str, task_id: str = "video") -> None:
        self.airflow.rest.mark(self.dag_id, self.run_id, task_id, state)

    def kill_process(self, task_id: str = "video") -> None:
        """SIGKILL the process in which the task's own code runs."""
        os.kill(self.airflow.wait_for_task_pid(self.dag_id, self.run_id, task_id), signal.SIGKILL)

    # -- the vendor's side --------------------------------------------------------------------------------

    def cost(self) -> Cost:
        ledger = self.sandbox.ledger()
        created = {entry["task_id"] for entry in ledger["created"] if self.mark in entry["prompt"]}
        billed = [entry for entry in ledger["billed"] if entry["task_id"] in created]
        cancels = [entry for entry in ledger["cancels"] if entry["task_id"] in created and entry["accepted"]]
        return Cost(len(created), len(billed), len(cancels))

    def wait_for_cost(self, true: Callable[[Cost], bool], timeout: float = 180) -> Cost:
        """Wait until the books say something of this run (also of a task whose answer is still held back)."""

        def told() -> Cost | None:
            cost = self.cost()
            return cost if true(cost) else None

        return wait_until(told, timeout, f"the books of {self.dag_id} ({self.mark}) say so", every=0.1)

    def vendor_tasks(self) -> list[Json]:
        """The vendor's tasks of this run, oldest first."""
        return [task for task in self.sandbox.tasks() if self.mark in task["prompt"]]

    def wait_until_it_runs(self, timeout: float = 180) -> None:
        """Wait until the vendor runs all tasks of this run, so that none can be cancelled."""

        def runs() -> bool:
            tasks = self.vendor_tasks()
            return bool(tasks) and all(task["status"] == "RUNNING" for task in tasks)

        wait_until(runs, timeout, f"the tasks of {self.dag_id} ({self.mark}) run", every=0.1)

    def change(self, change: str) -> None:
        """Finish, release or fail the newest of the vendor's tasks."""
        self.sandbox.change(self.vendor_tasks()[-1]["task_id"], change)
