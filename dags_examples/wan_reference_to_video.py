"""Characters with faces and voices of their own: references, named in the prompt by kind and order.

Needs the connection ``wan_default`` of a vendor that takes voices: DashScope and Freepik do; GCCAI takes one per image;
PowerTokens documents none (``strict=False`` sends them all the same). ``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanReferenceToVideoOperator

MEDIA = "https://media.example.com"

with DAG(dag_id="wan_reference_to_video", schedule=None, catchup=False, tags=["wan"]):
    WanReferenceToVideoOperator(
        task_id="video",
        prompt="Image 1 sits at a piano and says: Shall we begin? Image 2 laughs and takes the guitar of Image 3",
        reference_images=[
            {"url": f"{MEDIA}/pianist.png", "voice": f"{MEDIA}/pianist.mp3"},
            {"url": f"{MEDIA}/guitarist.png", "voice": f"{MEDIA}/guitarist.mp3"},
            f"{MEDIA}/guitar.png",
        ],
        resolution="720P",
        ratio="16:9",
        duration=8,
        poll_interval=2,
    )
