"""The same videos in three ways, for ``benchmarks.slots``: how long each holds a worker."""

from __future__ import annotations

import os

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

URL = os.environ.get("BENCH_URL", "")
VIDEOS = 4
PROMPTS = [f"Take {number}" for number in range(VIDEOS)]
REQUEST = {"resolution": "720P", "duration": 5}


@task(task_id="make")
def with_sdk(prompt: str) -> str:
    """What the SDK's pages show, in a ``PythonOperator``."""
    import dashscope
    from dashscope import VideoSynthesis

    dashscope.base_http_api_url = f"{URL}/api/v1"
    done = VideoSynthesis.call(
        api_key=os.environ["BENCH_KEY"], model="wan2.7-t2v", prompt=f"{prompt} of the SDK", **REQUEST
    )
    return str(done.output.video_url)


with DAG("slots_sdk", schedule=None):
    with_sdk.expand(prompt=PROMPTS)

with DAG("slots_wan", schedule=None):
    WanTextToVideoOperator.partial(task_id="make", **REQUEST).expand(prompt=PROMPTS)

with DAG("slots_wan_sync", schedule=None):
    WanTextToVideoOperator.partial(task_id="make", deferrable=False, **REQUEST).expand(prompt=PROMPTS)
