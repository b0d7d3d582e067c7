"""Many videos in one task: a file of shots of all modes, stored as they finish, and a manifest to go on from.

Change a line in ``shots.jsonl`` and clear the task: only that line is paid again. Set the Airflow variable
``wan_store`` to a folder or bucket such as ``s3://aws_default@my-bucket/clips`` (default: a local folder).
"""

from __future__ import annotations

import json
from pathlib import Path

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_wan.operators.batch import WanVideoBatchOperator

SHOTS = Path(__file__).with_name("shots.jsonl").as_uri()
STORE = "{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}/{{ run_id }}"

with DAG(dag_id="wan_batch", schedule=None, catchup=False, tags=["wan"]):
    shots = WanVideoBatchOperator(
        task_id="shots",
        requests=SHOTS,
        defaults={"resolution": "720P"},
        max_in_flight=50,
        store_to=STORE,
        manifest_path=STORE + "/manifest.jsonl",
        poll_interval=2,
    )

    @task
    def contact_sheet(summary: dict) -> list[str]:
        """Read the manifest: one line for each shot, with the place of its video."""
        lines = ObjectStoragePath(summary["manifest"]).read_text(encoding="utf-8").splitlines()
        shots = [json.loads(line) for line in lines]
        for shot in shots:
            print(f"{shot['id']:>10}  {shot['mode']:<20}  {shot['bytes']:>8} bytes  {shot['uri']}")
        return [shot["uri"] for shot in shots]

    contact_sheet(shots.output)
