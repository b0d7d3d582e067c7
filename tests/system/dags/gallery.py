"""Videos in every state that the gallery shows: running, done, stored, expired, failed, in doubt, batch, subclass."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanReferenceToVideoOperator, WanTextToVideoOperator

STORE = "{{ var.value.wan_store }}/{{ run_id }}"
COMMON = {
    "resolution": "720P",
    "duration": 3,
    "poll_interval": 2,
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
    "timeout": timedelta(minutes=20),
}


class BrandFilm(WanTextToVideoOperator):
    """A user's own subclass."""


with DAG(dag_id="gallery_states", schedule=None, catchup=False, tags=["wan"], default_args=COMMON):
    BrandFilm(
        task_id="subclass",
        prompt="A paper boat sails down a rainy street at dusk, neon signs mirrored in the puddles",
        ratio="16:9",
        seed=7,
        store_to=STORE + "/boat.mp4",
    )
    WanTextToVideoOperator.partial(
        task_id="seasons", ratio="1:1", store_to=STORE + "/", map_index_template="{{ task.prompt }}"
    ).expand(
        prompt=[
            "The old oak in spring, blossoms drifting",
            "The old oak in summer, tall grass in the wind",
            "The old oak in autumn, leaves falling",
            "The old oak in winter, first snow",
        ]
    )
    WanReferenceToVideoOperator(
        task_id="reference",
        prompt="Video 1 plays the guitar from Image 1 in a small cafe",
        reference_images=["https://media.example.com/guitar.png"],
        reference_videos=["https://media.example.com/actor.mp4?signature=secret-signature"],
        ratio="9:16",
    )
    WanTextToVideoOperator(
        task_id="markup",
        prompt='<img src=x onerror=alert(1)> \u202egnp.exe \u6cb3\u8fb9 <b>bold</b> "quotes"',
        ratio="16:9",
        store_to=STORE + "/markup.mp4",
    )
    WanTextToVideoOperator(task_id="expired", prompt="A lighthouse in fog [sandbox expire-url]", ratio="16:9")
    WanTextToVideoOperator(task_id="moderated", prompt="A crowd [sandbox fail=DataInspectionFailed]", ratio="16:9")
    WanTextToVideoOperator(task_id="failed", prompt="A crowd [sandbox fail=InternalError]", ratio="16:9")
    # This vendor has neither a task list nor a key: nobody finds out later what became of a lost answer.
    WanTextToVideoOperator(
        task_id="doubtful",
        prompt="A swan [sandbox drop-answer]",
        ratio="16:9",
        wan_conn_id="wan_powertokens",
        on_unknown_submission="fail",
    )
    WanTextToVideoOperator(task_id="slow", prompt="A very slow river [sandbox seconds=900]", ratio="16:9")
    WanVideoBatchOperator(
        task_id="batch",
        requests=[
            {"id": f"shot-{number}", "prompt": f"Shot {number}: the harbour at {number} o'clock", "ratio": ratio}
            for number, ratio in enumerate(["16:9", "9:16", "1:1", "4:3"] * 3, 1)
        ]
        + [{"id": "bad", "prompt": "A crowd [sandbox fail=DataInspectionFailed]"}]
        + [{"id": "long", "prompt": "A glacier [sandbox seconds=600]"}],
        defaults={"resolution": "720P", "duration": 2},
        max_in_flight=6,
        store_to=STORE + "/batch/",
    )

    @task.wan_video(resolution="720P", poll_interval=2)
    def decorated() -> dict:
        return {"prompt": "A fox turns its head and smiles", "duration": 2, "ratio": "16:9"}

    decorated()

    @task
    def not_ours() -> int:
        return 1

    not_ours()
