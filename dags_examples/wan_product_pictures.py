"""A folder of product pictures becomes a batch: one clip for each picture, stored beside each other.

Set the Airflow variables ``wan_pictures`` and ``wan_store`` to folders or buckets such as
``s3://aws_default@my-bucket/products``. By default the pictures are those beside this file and the clips go to a local
folder. A picture that is replaced is paid again at the next clear, the others are not.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_wan.operators.batch import WanVideoBatchOperator

HERE = Path(__file__).with_name("products").as_uri()
STORE = "{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}/{{ run_id }}"

with DAG(dag_id="wan_product_pictures", schedule=None, catchup=False, tags=["wan"]):

    @task
    def pictures(folder: str) -> list[dict]:
        """Make a row of each picture; ``takes`` would make several clips of it."""
        found = sorted(ObjectStoragePath(folder).iterdir(), key=lambda path: path.name)
        return [
            {
                "id": path.stem,
                "mode": "image_to_video",
                "first_frame": str(path),
                "prompt": f"The camera moves slowly around the {path.stem}",
            }
            for path in found
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
        ]

    WanVideoBatchOperator(
        task_id="clips",
        requests=pictures("{{ var.value.get('wan_pictures', '" + HERE + "') }}"),
        defaults={"resolution": "720P", "duration": 3},
        store_to=STORE,
        manifest_path=STORE + "/manifest.jsonl",
        poll_interval=2,
    )
