"""Runs one task as Airflow would, in a process of its own whose Airflow sends metrics: `python -m … SCENARIO`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from tests.driving import Driven, Instance, Store, carried

QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P", "duration": 5}


def video(prompt: str = "A paper boat") -> Driven:
    return Driven(lambda: WanTextToVideoOperator(**QUICK, prompt=prompt))


def retried() -> None:
    """Submit, then go on in a second attempt, and clear the task once more when it is done."""
    store, instance = Store(), Instance()
    for method in ("deferred", "run", "run"):
        getattr(Driven(lambda: WanTextToVideoOperator(**QUICK, prompt="A boat"), store, instance), method)()


def refused() -> None:
    with suppress(AirflowFailException):
        video("A storm [sandbox fail=DataInspectionFailed]").run()


def batch() -> None:
    rows = [{"prompt": "A boat"}, {"prompt": "A kite"}, {"prompt": "A storm [sandbox fail=DataInspectionFailed]"}]
    options = {"defaults": {"resolution": "720P", "duration": 5}, "poll_interval": 0.1, "fail_if": "all"}
    Driven(lambda: WanVideoBatchOperator(task_id="make", requests=rows, **options)).run()


SCENARIOS = {
    "video": lambda: video().run(),
    "retried": retried,
    "refused": refused,
    "batch": batch,
    "lost": lambda: video("A boat [sandbox drop-answer]").run(),
    "throttled": lambda: video("A boat [sandbox reject=429 times=1]").run(),
}

if __name__ == "__main__":
    carried({})  # as in Airflow's processes, this sets its statistics up
    SCENARIOS[sys.argv[1]]()
