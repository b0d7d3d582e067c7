"""The hook in plain tasks, blocking and async."""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.hooks.wan import WanHook


@dag(dag_id="hook_in_tasks", schedule=None)
def hook_in_tasks() -> None:
    @task
    def submit() -> dict:
        return WanHook().submit(TextToVideoRequest(prompt="A paper boat", resolution="720P")).to_dict()

    @task
    def wait(handle: dict) -> str:
        return WanHook().wait(handle, timeout=20, poll_interval=0.1).video_url or ""

    wait(submit())


hook_in_tasks()
