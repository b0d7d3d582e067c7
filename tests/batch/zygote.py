"""Forks workers that run a batch on a store of files: each one a process that a test can kill at any moment.

It reads one JSON object a line from stdin, forks, and prints the worker's pid, ``begun`` and, at its end, the status.
Everything slow (importing Airflow) is done before the first fork.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import airflow_provider_wan.batch.run
import airflow_provider_wan.batch.settings
import airflow_provider_wan.client.polling.window
import airflow_provider_wan.client.transport.flows
import airflow_provider_wan.delivery.landing
import airflow_provider_wan.durable.ledger
import airflow_provider_wan.durable.times
import airflow_provider_wan.operators.parameters
import airflow_provider_wan.triggers.wan
import airflow_provider_wan.worker.known
from airflow_provider_wan.durable import SubmissionTimes, Timing
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from tests.driving import Driven, Instance


class FileStore:
    """A task state store of files: what ``set`` has returned from is there, whole, whenever the process is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return json.loads((self.folder / key).read_text())
        except FileNotFoundError:
            return default

    def set(self, key: str, value: Any, **_: Any) -> None:
        part = self.folder / f".{key}"
        part.write_text(json.dumps(value))
        part.replace(self.folder / key)

    def delete(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)


def work(order: dict[str, Any]) -> None:
    """One attempt of the task, to its end."""
    folder = Path(order["folder"])
    for name, connection in order["connections"].items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)
    airflow_provider_wan.worker.known.local_root = lambda: f"{folder}/known"
    rows = [
        {"id": f"s{number:03d}", "prompt": f"shot {number:03d}", "resolution": "720P", "duration": 2}
        for number in range(order["rows"])
    ]

    def make() -> WanVideoBatchOperator:
        return WanVideoBatchOperator(
            task_id="shots",
            requests=rows,
            max_in_flight=order["max_in_flight"],
            poll_interval=0.02,
            store_to=f"file://{folder}/clips",
            manifest_path=f"file://{folder}/manifest.jsonl",
            **order.get("given", {}),
        )

    Driven(make, store=FileStore(folder / "state"), instance=Instance(task_id="shots")).run()


def shorten_times() -> None:
    airflow_provider_wan.operators.parameters.LEAST_INTERVAL = 0.01
    airflow_provider_wan.durable.times.TIMES = SubmissionTimes(standstill=timedelta(seconds=2))
    airflow_provider_wan.batch.settings.TIMES = airflow_provider_wan.batch.settings.BatchTimes(
        pause=0.2, search=Timing(late=timedelta(minutes=-1), look_again=0.1)
    )
    airflow_provider_wan.client.polling.window.LINGER_SECONDS = 0.5
    airflow_provider_wan.client.polling.window.SETTLE_SECONDS = 0.05
    airflow_provider_wan.client.transport.flows.back_off = lambda *_: 0.01


def say(**what: Any) -> None:
    os.write(1, f"{json.dumps(what)}\n".encode())


def main() -> None:
    shorten_times()
    say(ready=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            log = os.open(json.loads(line)["folder"] + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            say(pid=os.getpid())
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                work(json.loads(line))
            except BaseException:
                import traceback

                os.write(2, traceback.format_exc().encode())
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        say(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
