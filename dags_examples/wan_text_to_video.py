"""A video from a prompt, and what becomes of its address: the smallest pipeline.

Needs the connection ``wan_default``. ``poll_interval`` is short for the sandbox; leave it out for a real vendor.
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

with DAG(dag_id="wan_text_to_video", schedule=None, catchup=False, tags=["wan"]):
    video = WanTextToVideoOperator(
        task_id="video",
        prompt="A paper boat sails down a rainy street at dusk, neon signs mirrored in the puddles",
        negative_prompt="text, watermark, blur",
        resolution="720P",
        ratio="16:9",
        duration=5,
        poll_interval=2,
    )

    @task
    def publish(url: str) -> None:
        # The vendor deletes the video within a day: store_to keeps it (see wan_store).
        print("ready:", url.split("?")[0])

    publish(video.output["video_url"])
