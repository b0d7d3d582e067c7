"""DAGs without any Wan in them, for the tests of the harness itself."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import dag, task


@dag(dag_id="harness_deferred")
def deferred() -> None:
    """A task that defers for as long as the run's configuration says, and then a value passed on."""

    @task
    def answer(value: int) -> int:
        return value + 1

    wait = TimeDeltaSensor(task_id="wait", delta=timedelta(seconds=2), deferrable=True)
    wait >> answer.expand(value=[1, 2])


@dag(dag_id="harness_running")
def running() -> None:
    """A task that keeps its worker until it is killed."""

    @task(retries=1, retry_delay=timedelta(seconds=0))
    def hold(ti) -> int:  # type: ignore[no-untyped-def]
        if ti.try_number == 1:
            time.sleep(600)
        return ti.try_number

    hold()


@dag(dag_id="harness_failing")
def failing() -> None:
    """A task that fails with a message of its own."""

    @task(retries=0)
    def fail() -> None:
        raise ValueError("the reason to be shown")

    fail()


deferred()
running()
failing()
