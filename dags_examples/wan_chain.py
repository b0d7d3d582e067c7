"""A chain: each video is continued by the next, which gets it as its ``first_clip``.

``duration`` is the whole length, the clip before included, and a clip has 2 to 10 seconds: so two continuations.
Needs the connection ``wan_default``. ``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanImageToVideoOperator, WanTextToVideoOperator

with DAG(
    dag_id="wan_chain",
    schedule=None,
    catchup=False,
    tags=["wan"],
    default_args={"resolution": "720P", "poll_interval": 2},
):
    shot = WanTextToVideoOperator(
        task_id="opening",
        prompt="A hot-air balloon is being filled at sunrise",
        duration=4,
    )
    for task_id, prompt, seconds in (
        ("rise", "The balloon leaves the ground and rises over the valley", 9),
        ("flight", "It drifts into the clouds and out of sight", 14),
    ):
        shot = WanImageToVideoOperator(
            task_id=task_id,
            prompt=prompt,
            first_clip=shot.output["video_url"],
            duration=seconds,
        )
