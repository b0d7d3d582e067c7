"""Books by themselves: each stored video's asset event carries its cost and wakes a second DAG that adds it up.

Set the Airflow variable ``wan_store`` to a folder or bucket such as ``s3://aws_default@my-bucket/clips``
(default: a local folder).
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

CLIP = Asset("wan_paid_clip")
STORE = "{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}"

with DAG(dag_id="wan_costs", schedule=None, catchup=False, tags=["wan"]):
    WanTextToVideoOperator(
        task_id="clip",
        prompt="A tram climbs a steep street in the rain",
        resolution="720P",
        duration=4,
        poll_interval=2,
        max_cost=5,
        store_to=STORE + "/paid/{{ run_id }}.mp4",
        outlets=[CLIP],
    )

with DAG(dag_id="wan_bookkeeping", schedule=[CLIP], catchup=False, tags=["wan"]):

    @task
    def book(triggering_asset_events: dict) -> dict[str, float]:
        """Add up the costs of the events, each currency by itself."""
        sums: dict[str, float] = {}
        for events in triggering_asset_events.values():
            for event in events:
                cost = event.extra.get("cost")
                if cost:
                    sums[cost["currency"]] = sums.get(cost["currency"], 0.0) + cost["amount"]
                    print(event.extra["uri"], cost["amount"], cost["currency"], f"({cost['basis']})")
        return sums

    book()
