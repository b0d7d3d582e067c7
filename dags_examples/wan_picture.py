"""My picture, a clip, its continuation, my bucket: from a file beside this DAG to two stored videos, with a limit.

Set the Airflow variable ``wan_store`` to a folder or bucket such as ``s3://aws_default@my-bucket/clips``
(default: a local folder). Needs the connection ``wan_default`` of a vendor that can be given files (DashScope); with
picture and videos in a bucket that signs addresses, of any. ``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanImageToVideoOperator

STORE = "{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}/harbour/{{ run_id }}"

with DAG(
    dag_id="wan_picture",
    schedule=None,
    catchup=False,
    tags=["wan"],
    default_args={"resolution": "720P", "poll_interval": 2, "max_cost": "2 USD"},
):
    clip = WanImageToVideoOperator(
        task_id="clip",
        first_frame="harbour.jpg",
        prompt="The sail fills, the boat leaves the harbour",
        duration=4,
        store_to=STORE + "/1.mp4",
    )
    continuation = WanImageToVideoOperator(
        task_id="continuation",
        first_clip=clip.output["uri"],
        prompt="It sails into the rising sun",
        duration=9,
        store_to=STORE + "/2.mp4",
    )

    @task
    def bill(results: list[dict]) -> float:
        """Say where the videos are and what both cost together."""
        for result in results:
            print(result["uri"], result["cost"])
        return sum(result["cost"]["amount"] for result in results)

    bill([clip.output, continuation.output])
