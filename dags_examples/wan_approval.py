"""A person approves the money: the task waits until somebody has seen the prompt and what the video will cost.

The question stands under *Required Actions* in Airflow's UI. A rejection skips the video, and nothing is paid.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

SHOT = {
    "prompt": "A lighthouse keeper waters tomatoes at sunrise, the sea calm below",
    "resolution": "720P",
    "duration": 5,
}

with DAG(dag_id="wan_approval", schedule=None, catchup=False, tags=["wan"]):

    @task
    def price() -> str:
        """Ask the price table; nothing is sent to the vendor."""
        from airflow_provider_wan.client import TextToVideoRequest
        from airflow_provider_wan.hooks.wan import WanHook

        return str(WanHook().estimate_cost(TextToVideoRequest(**SHOT)) or "not known")

    approve = ApprovalOperator(
        task_id="approve",
        subject="Make and pay for this video?",
        body=f"**{SHOT['prompt']}**\n\nEstimated cost: {{{{ ti.xcom_pull(task_ids='price') }}}}",
        response_timeout=timedelta(days=2),
    )

    video = WanTextToVideoOperator(
        task_id="video",
        **SHOT,
        poll_interval=2,
        # Whatever was approved: more than this is never paid. A price that nobody knows has been seen by a person.
        max_cost=5,
        on_unknown_price="allow",
    )

    price() >> approve >> video
