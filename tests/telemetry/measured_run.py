"""Runs tasks as Airflow would, each in a process of its own whose Airflow sends metrics.

It reads one JSON object a line from stdin: the name of a scenario and its variables; forks, and prints the exit status.
Everything slow (importing Airflow) is done before the first fork.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.recovery import search
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


def measure(scenario: str, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    search.TIMING = search.Timing(look_again=0.1)
    carried({})  # as in Airflow's processes, this sets its statistics up
    SCENARIOS[scenario]()


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)  # what the task logs is no answer
            try:
                measure(**json.loads(line))
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
