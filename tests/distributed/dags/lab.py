"""What runs while machines die: mapped generations, a batch, and single ones that wait in their worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator

PARAMS = {"prompts": [], "store_to": "", "ledger_path": "", "conn": "wan_default"}
RETRIES: dict[str, Any] = {"retries": 6, "retry_delay": timedelta(seconds=1)}
REQUEST: dict[str, Any] = {"resolution": "720P", "duration": 2}
ARGS: dict[str, Any] = RETRIES | {
    "wan_conn_id": "{{ params.conn }}",
    "poll_interval": 2,
    "ledger_path": "{{ params.ledger_path }}",
}


@task(**RETRIES)
def prompts(params: dict[str, Any]) -> list[str]:
    """What is asked for."""
    return list(params["prompts"])


@task(**RETRIES)
def rows(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The same, as the rows of a batch."""
    return [{"id": f"row-{n:04d}", "prompt": prompt, **REQUEST} for n, prompt in enumerate(params["prompts"])]


with DAG("lab_mapped", params=PARAMS, default_args=ARGS, schedule=None, max_active_tasks=1000):
    WanTextToVideoOperator.partial(task_id="video", store_to="{{ params.store_to }}", **REQUEST).expand(
        prompt=prompts()
    )

with DAG("lab_batch", params=PARAMS, default_args=ARGS, schedule=None):
    WanVideoBatchOperator(
        task_id="videos",
        requests=rows(),
        store_to="{{ params.store_to }}",
        manifest_path="{{ params.store_to }}manifest.jsonl",
        max_in_flight=40,
    )

with DAG("lab_in_worker", params=PARAMS, default_args=ARGS, schedule=None, max_active_tasks=1000):
    WanTextToVideoOperator.partial(task_id="video", deferrable=False, **REQUEST).expand(prompt=prompts())

with DAG("lab_batch_in_worker", params=PARAMS, default_args=ARGS, schedule=None):
    WanVideoBatchOperator(task_id="videos", requests=rows(), deferrable=False)
