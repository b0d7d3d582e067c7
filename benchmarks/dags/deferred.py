"""The DAG whose deferred task instances ``benchmarks.deferred_tasks`` writes into the database."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

with DAG("deferred", schedule=None, is_paused_upon_creation=True):
    WanTextToVideoOperator(task_id="wait", prompt="A boat")
