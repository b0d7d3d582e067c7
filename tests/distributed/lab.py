"""Runs, what is done to machines meanwhile, and what the sandbox's books say in the end."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_wan.sandbox import Sandbox
from tools.airflow_rest import wait_until
from tools.distributed_airflow import DistributedAirflow

_marks = itertools.count(1)


@dataclass
class Lab:
    """A distributed Airflow with its sandbox.

    `said` is the table of what happened: seconds, what, how many tasks the vendor had made and billed by then, and how
    many videos were stored.
    """

    airflow: DistributedAirflow
    sandbox: Sandbox
    said: list[tuple[float, str, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mark = f"lab-{next(_marks):02d}"
        self._began = time.monotonic()
        self._first = len(self.airflow.rest.triggered)

    # -- runs ---------------------------------------------------------------------------------------------

    def start(self, dag_id: str, count: int, order: str = "", **params: Any) -> str:
        """Trigger a run of `count` generations, each with a prompt of its own; returns the run's id."""
        asked = [f"{self.mark} {dag_id} scene {number:04d}{order and f' [sandbox {order}]'}" for number in range(count)]
        params = {"store_to": f"{self.store}{dag_id}/"} | params
        return self.airflow.rest.trigger(dag_id, {"prompts": asked, **params})

    @property
    def store(self) -> str:
        """The folder that all machines share."""
        return f"file://{self.airflow.home}/store/{self.mark}/"

    def end(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Wait for the end of a run."""
        return self.airflow.rest.wait_for_run(dag_id, run_id, timeout)

    def end_runs(self) -> None:
        """End what a failed test has left."""
        for dag_id, run_id in self.airflow.rest.triggered[self._first :]:
            if self.airflow.rest.run(dag_id, run_id)["state"] not in ("success", "failed"):
                self.airflow.rest.set_run_state(dag_id, run_id, "failed")

    # -- machines -----------------------------------------------------------------------------------------

    def kill(self, name: str, what: str) -> str:
        """SIGKILL a component with all its children and start another one in its place; returns the new one's name."""
        self.airflow.kill(name)
        self.note(f"killed {what}")
        return self.airflow.replace(name)

    def freeze(self, name: str, seconds: float, what: str) -> threading.Timer:
        """Freeze a component, and thaw it later; `join` what is returned."""
        self.airflow.freeze(name)
        self.note(f"froze {what} for {seconds:.0f} s")
        timer = threading.Timer(seconds, self.thaw, (name, what))
        timer.start()
        return timer

    def thaw(self, name: str, what: str) -> None:
        self.airflow.thaw(name)
        self.note(f"thawed {what}")

    def note(self, what: str) -> None:
        ledger = self.sandbox.ledger()
        counts = len(ledger["created"]), len(ledger["billed"]), len(self.stored())
        self.said.append((time.monotonic() - self._began, what, *counts))

    def table(self) -> str:
        """What happened, as the table of a page."""
        lines = [f"| {when:.0f} s | {what} | {' | '.join(map(str, counts))} |" for when, what, *counts in self.said]
        return "\n".join(["| when | what | made | billed | delivered |", "| --- | --- | --- | --- | --- |", *lines])

    # -- the books ----------------------------------------------------------------------------------------

    def wait_for_created(self, count: int, timeout: float = 300) -> None:
        """Wait until the vendor has made so many tasks."""
        wait_until(
            lambda: len(self.sandbox.ledger()["created"]) >= count, timeout, f"{count} tasks are made", every=0.1
        )

    def created(self) -> list[str]:
        return [entry["task_id"] for entry in self.sandbox.ledger()["created"]]

    def billed(self) -> list[str]:
        return [entry["task_id"] for entry in self.sandbox.ledger()["billed"]]

    def cancels(self) -> list[str]:
        """Tasks of which a cancellation was asked for, accepted or not."""
        return [entry["task_id"] for entry in self.sandbox.ledger()["cancels"]]

    def stored(self) -> list[Path]:
        """The videos in the folder that all machines share, those under way not counted."""
        return list(Path(self.store.removeprefix("file://")).rglob("*.mp4"))

    def queries(self) -> int:
        """How often the vendor was asked how tasks are."""
        asked = self.sandbox.ledger()["requests"].get("dashscope", {})
        return sum(sum(asked.get(call, {}).values()) for call in ("query", "list"))

    def made_twice(self) -> list[str]:
        """Prompts for which there is more than one task."""
        counts = Counter(entry["prompt"] for entry in self.sandbox.ledger()["created"])
        return [prompt for prompt, count in counts.items() if count > 1]

    def results(self, dag_id: str, run_id: str, count: int) -> Sequence[dict[str, Any]]:
        """The results of a mapped task, in order."""
        rest = self.airflow.rest
        return [dict(rest.xcom(dag_id, run_id, "video", map_index=index)) for index in range(count)]

    def manifest(self, dag_id: str) -> Sequence[dict[str, Any]]:
        """The last line of each item in the manifest of a batch."""
        path = Path(f"{self.store}{dag_id}/manifest.jsonl".removeprefix("file://"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return list({line["id"]: line for line in lines}.values())

    def logged(self, dag_id: str, run_id: str, text: str, try_number: int = 1) -> bool:
        """Whether a text stands in the log of that try of each of a run's tasks that make videos."""
        tasks = [task for task in self.airflow.rest.tasks(dag_id, run_id) if task["task_id"] in ("video", "videos")]
        return bool(tasks) and all(self._is_in_log(task, text, try_number) for task in tasks)

    def _is_in_log(self, task: dict[str, Any], text: str, try_number: int) -> bool:
        if task["try_number"] < try_number:
            return False
        where = (task["dag_id"], task["dag_run_id"], task["task_id"])
        return text in self.airflow.rest.task_log(*where, map_index=task["map_index"], try_number=try_number)
