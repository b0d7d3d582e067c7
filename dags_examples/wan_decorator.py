"""The request is written by a function: ``@task.wan_video``."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task


@dag(dag_id="wan_decorator", schedule=None, catchup=False, tags=["wan"])
def wan_decorator() -> None:
    @task
    def headline() -> str:
        return "The ferry is back in service"

    @task.wan_video(poll_interval=2)
    def clip(text: str) -> dict[str, Any]:
        """Return the request; ``mode`` may stand in it too."""
        return {"prompt": f"Short news clip: {text}", "resolution": "720P", "ratio": "9:16", "duration": 4}

    @task
    def publish(result: dict[str, Any]) -> str:
        print("ready:", result["video_url"].split("?")[0])
        return str(result["task_id"])

    publish(clip(headline()))


wan_decorator()
