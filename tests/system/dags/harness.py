"""DAGs without any Wan in them, for the tests of the harness itself."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, Context, dag, task


class WaitOperator(BaseOperator):
    """Defers for two seconds."""

    def execute(self, context: Context) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="resume")

    def resume(self, context: Context, event: object) -> None:
        pass


@dag(dag_id="harness_deferred")
def deferred() -> None:
    """A task that defers, then mapped ones that pass values on."""

    @task
    def answer(value: int) -> int:
        return value + 1

    WaitOperator(task_id="wait") >> answer.expand(value=[1, 2])


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
