"""DAGs whose tasks are cleared while they wait, after their end, and in a loop; a param says where they record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task_group

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator

PARAMS = {"prompt": "", "mark": "", "has_ledger": False}
ARGS: dict[str, Any] = {"resolution": "720P", "duration": 2}
PLACES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
    "ledger_path": "{{ var.value.wan_store ~ '/ledger' if params.has_ledger else '' }}",
    "poll_interval": 1,
}
ROWS = [{"prompt": f"{{{{ params.prompt }}}} {number}"} for number in range(3)]
MANIFEST = "{{ var.value.wan_store }}/manifests/{{ params.mark }}.jsonl"

with DAG("clear_video", params=PARAMS, schedule=None):
    WanTextToVideoOperator(task_id="video", prompt="{{ params.prompt }}", **ARGS, **PLACES)

with DAG("clear_batch", params=PARAMS, schedule=None):
    WanVideoBatchOperator(task_id="video", requests=ROWS, defaults=ARGS, manifest_path=MANIFEST, **PLACES)

with DAG("clear_batch_without_manifest", params=PARAMS, schedule=None):
    WanVideoBatchOperator(task_id="video", requests=ROWS, defaults=ARGS, **PLACES)


@task_group
def takes() -> None:
    WanTextToVideoOperator(task_id="video", prompt="{{ params.prompt }} take {{ loop.index }}", **ARGS, **PLACES)


if hasattr(takes, "loop"):  # Airflow 3.4 and newer
    with DAG("clear_loop", params=PARAMS, schedule=None):
        takes.loop(max_iterations=3)
