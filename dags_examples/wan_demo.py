"""All four modes and a mapped fan-out, side by side: what ``make demo`` runs.

Needs a connection ``wan_default``; its vendor decides whose API makes the videos.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)

MEDIA = "https://media.example.com"

with DAG(
    dag_id="wan_demo",
    schedule=None,
    catchup=False,
    tags=["wan"],
    default_args={
        "resolution": "720P",
        "poll_interval": 2,
        "timeout": timedelta(hours=1),
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
    },
) as dag:
    text = WanTextToVideoOperator(
        task_id="text_to_video",
        prompt="A paper boat sails down a rainy street at dusk, neon signs mirrored in the puddles",
        ratio="16:9",
        duration=5,
    )

    image = WanImageToVideoOperator(
        task_id="image_to_video",
        prompt="The fox turns its head and smiles",
        first_frame=f"{MEDIA}/fox.png",
        duration=3,
    )

    reference = WanReferenceToVideoOperator(
        task_id="reference_to_video",
        prompt="Video 1 plays the guitar from Image 1 in a small cafe",
        reference_images=[f"{MEDIA}/guitar.png"],
        reference_videos=[f"{MEDIA}/actor.mp4"],
        ratio="9:16",
        duration=4,
    )

    edit = WanVideoEditOperator(
        task_id="video_edit",
        prompt="Turn the street into a watercolour painting",
        video=f"{MEDIA}/street.mp4",
        duration=0,
    )

    seasons = WanTextToVideoOperator.partial(
        task_id="four_seasons",
        ratio="1:1",
        duration=2,
        map_index_template="{{ task.prompt }}",
    ).expand(
        prompt=[
            "The old oak in spring, blossoms drifting",
            "The old oak in summer, tall grass in the wind",
            "The old oak in autumn, leaves falling",
            "The old oak in winter, first snow",
        ]
    )

    @task
    def publish(urls: list[str], more: list[str]) -> int:
        """Stand in for whatever takes the finished videos."""
        found = [*urls, *more]
        for url in found:
            print("ready:", url.split("?")[0])
        return len(found)

    publish(
        [op.output["video_url"] for op in (text, image, reference, edit)],
        seasons.output.map(lambda result: result["video_url"]),
    )
