"""(d) Without a line of Python: the http provider's own triggers, as its operators use them."""

from __future__ import annotations

import json
import os

import httpx
from airflow.providers.http.triggers.http import HttpEventTrigger, HttpSensorTrigger

from benchmarks.contenders.base import VIDEO, Contender, Job, started

CONN_ID = "bench_http"


def _connect(job: Job) -> None:
    connection = {"conn_type": "http", "host": job.url, "extra": {"Authorization": f"Bearer {job.key}"}}
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(connection)


def _outcome(answer: dict[str, object]) -> str:
    output = answer.get("output") or {}
    assert isinstance(output, dict)
    if output.get("task_status") == "SUCCEEDED" and output.get("video_url"):
        return VIDEO
    return f"read while {str(output.get('task_status')).lower()}"


class Sensor(Contender):
    """The deferrable ``HttpSensor`` fires at the first answer that is not 404, whatever the answer says.

    With a ``response_check`` it would not defer, but hold its worker. The downstream ``HttpOperator`` reads the task.
    """

    async def wait(self, job: Job) -> None:
        _connect(job)
        headers = {"Authorization": f"Bearer {job.key}"}
        async with httpx.AsyncClient(base_url=job.url, headers=headers, timeout=60, trust_env=False) as http:
            await started(self._one(job, http, handle.task_id) for handle in job.handles)

    async def _one(self, job: Job, http: httpx.AsyncClient, task_id: str) -> None:
        path = f"/api/v1/tasks/{task_id}"
        trigger = HttpSensorTrigger(endpoint=path, http_conn_id=CONN_ID, poke_interval=job.interval)
        word = "no event"
        try:
            async for _ in trigger.run():
                answer = await http.get(path)
                word = _outcome(answer.json()) if answer.status_code == 200 else f"HTTP {answer.status_code}"
        except Exception as error:
            word = type(error).__name__
        job.tell(task_id, word)


class Event(Contender):
    """Generic async polling, a session for each query: the best that the http provider has for this."""

    async def wait(self, job: Job) -> None:
        _connect(job)
        await started(self._one(job, handle.task_id) for handle in job.handles)

    async def _one(self, job: Job, task_id: str) -> None:
        trigger = HttpEventTrigger(
            response_check_path="benchmarks.contenders.response_check.is_ended",
            http_conn_id=CONN_ID,
            method="GET",
            endpoint=f"/api/v1/tasks/{task_id}",
            poll_interval=job.interval,
        )
        word = "no event"
        try:
            async for event in trigger.run():
                word = VIDEO if event.payload["status"] == "success" else str(event.payload["status"])
        except Exception as error:
            word = type(error).__name__
        job.tell(task_id, word)
