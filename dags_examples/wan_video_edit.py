"""A video in another style, as long as it was (``audio_setting="origin"`` would keep its sound, at DashScope).

Needs the connection ``wan_default`` of a vendor that edits: all but PowerTokens, which does not document it (the task
is refused before anything is sent; ``strict=False`` sends it all the same). ``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanVideoEditOperator

MEDIA = "https://media.example.com"

with DAG(dag_id="wan_video_edit", schedule=None, catchup=False, tags=["wan"]):
    WanVideoEditOperator(
        task_id="video",
        video=f"{MEDIA}/street.mp4",
        prompt="Turn the street into a watercolour painting with the colours of Image 1",
        reference_images=[f"{MEDIA}/palette.png"],
        resolution="720P",
        duration=0,
        poll_interval=2,
    )
