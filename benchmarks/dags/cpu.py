"""Mapped generations, a batch, and an operator that only sleeps, for ``benchmarks.distributed``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, task

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from benchmarks.triggers import SleepTrigger

PARAMS = {"count": 1, "store_to": ""}
REQUEST: dict[str, Any] = {"resolution": "720P", "duration": 2}
ARGS: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1), "poll_interval": 5}
SLEEP_SECONDS = 6.0


class SleepOperator(BaseOperator):
    """The floor: what any operator costs that defers once."""

    def __init__(self, *, prompt: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt

    def execute(self, context: Any) -> None:
        self.defer(trigger=SleepTrigger(SLEEP_SECONDS), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any) -> str:
        return str(event)


@task
def prompts(params: dict[str, Any]) -> list[str]:
    """What is asked for."""
    return [f"Take {number}" for number in range(params["count"])]


@task
def rows(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The same, as the rows of a batch."""
    return [{"id": f"row-{number}", "prompt": f"Take {number}", **REQUEST} for number in range(params["count"])]


with DAG("cpu_sleep", params=PARAMS, schedule=None, max_active_tasks=1000):
    SleepOperator.partial(task_id="video").expand(prompt=prompts())

with DAG("cpu_mapped", params=PARAMS, default_args=ARGS, schedule=None, max_active_tasks=1000):
    WanTextToVideoOperator.partial(task_id="video", **REQUEST).expand(prompt=prompts())

with DAG("cpu_stored", params=PARAMS, default_args=ARGS, schedule=None, max_active_tasks=1000):
    WanTextToVideoOperator.partial(task_id="video", store_to="{{ params.store_to }}", **REQUEST).expand(
        prompt=prompts()
    )

with DAG("cpu_batch", params=PARAMS, default_args=ARGS, schedule=None):
    WanVideoBatchOperator(task_id="videos", requests=rows(), max_in_flight=60)
