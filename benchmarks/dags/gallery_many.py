"""A run for ``benchmarks.gallery``: nothing of it is executed, its records are written into the database."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator

MAPPED, ITEMS = 1_000, 3_000

with DAG("gallery_many", schedule=None):
    WanTextToVideoOperator.partial(task_id="mapped", resolution="720P", duration=5).expand(
        prompt=[f"Take {number}" for number in range(MAPPED)]
    )
    WanVideoBatchOperator(task_id="batch", requests=[{"id": "one", "prompt": "A shot"}])
