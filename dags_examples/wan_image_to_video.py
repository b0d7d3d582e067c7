"""A picture comes to life: a video that starts at one image and ends at another.

Needs the connection ``wan_default``, and pictures at addresses that the vendor can reach (``WanHook.upload_file`` hands
local ones to vendors that take uploads). ``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanImageToVideoOperator

MEDIA = "https://media.example.com"

with DAG(dag_id="wan_image_to_video", schedule=None, catchup=False, tags=["wan"]):
    WanImageToVideoOperator(
        task_id="video",
        prompt="The fox wakes up, stretches and trots out of the picture",
        first_frame=f"{MEDIA}/fox_asleep.png",
        last_frame=f"{MEDIA}/empty_den.png",
        resolution="720P",
        duration=5,
        poll_interval=2,
    )
