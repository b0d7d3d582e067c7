"""Store and publish: the video lands in object storage and its asset wakes a second DAG.

Set the Airflow variable ``wan_store`` to a folder or bucket such as ``s3://aws_default@my-bucket/clips``
(default: a local folder).
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

CLIP = Asset("wan_daily_clip")
STORE = "{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}"

with DAG(dag_id="wan_store", schedule=None, catchup=False, tags=["wan"]):
    WanTextToVideoOperator(
        task_id="daily_clip",
        prompt="Morning light moves over a quiet harbour, {{ dag_run.run_after | ds }}",
        resolution="720P",
        duration=3,
        poll_interval=2,
        store_to=STORE + "/{{ dag_run.run_after | ds }}/{{ run_id }}.mp4",
        outlets=[CLIP],
    )

with DAG(dag_id="wan_publish", schedule=[CLIP], catchup=False, tags=["wan"]):

    @task
    def publish(triggering_asset_events: dict) -> list[str]:
        """Read where the clips lie from the events' extra."""
        found = [event.extra["uri"] for events in triggering_asset_events.values() for event in events]
        print("ready:", *found)
        return found

    publish()
