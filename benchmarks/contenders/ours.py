"""(e) The provider's triggers, run as a triggerer runs them; the vendor is the connection's."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_wan.batch.run import REFILL_FRACTION
from airflow_provider_wan.client.polling.window import WindowItem
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.triggers.wan import WanBatchTrigger, WanTaskTrigger
from benchmarks.contenders.base import VIDEO, Contender, Job, started

CONN_ID = "wan_default"


def _profile(handle: TaskHandle) -> str:
    return f"{handle.model}/720P/5"


class TaskTriggers(Contender):
    """A trigger for each task; they share one poller."""

    async def wait(self, job: Job) -> None:
        deadline = (utc_now() + timedelta(hours=6)).isoformat()
        await started(self._one(job, handle, deadline) for handle in job.handles)

    async def _one(self, job: Job, handle: TaskHandle, deadline: str) -> None:
        trigger = WanTaskTrigger(CONN_ID, handle.to_dict(), deadline, job.interval, profile=_profile(handle))
        async for event in trigger.run():
            is_video = event.payload["status"] == "success" and event.payload["task"].get("video_url")
            job.tell(handle.task_id, VIDEO if is_video else event.payload["status"])


class BatchTrigger(Contender):
    """One trigger for the window, made anew with the rest after each event, as the batch operator does."""

    async def wait(self, job: Job) -> None:
        deadline = utc_now() + timedelta(hours=6)
        window = {
            handle.task_id: WindowItem(handle.task_id, handle, deadline, _profile(handle)) for handle in job.handles
        }
        while window:
            trigger = WanBatchTrigger(
                CONN_ID,
                [item.to_list() for item in window.values()],
                enough=min(len(window), max(1, int(len(job.handles) * REFILL_FRACTION))),
                poll_interval=job.interval,
            )
            async for event in trigger.run():
                for key, ending in event.payload["endings"].items():
                    window.pop(key)
                    is_video = ending["status"] == "success" and ending["task"].get("video_url")
                    job.tell(key, VIDEO if is_video else ending["status"])
