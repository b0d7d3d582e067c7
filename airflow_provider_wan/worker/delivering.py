"""Handing on the video of a run: the result, the stored file, the link, the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, result_of
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.telemetry import metrics, traces
from airflow_provider_wan.worker.assets import add_to_events
from airflow_provider_wan.worker.lineage import note_video
from airflow_provider_wan.worker.outputs import push_own
from airflow_provider_wan.worker.task_run import TaskRun

if TYPE_CHECKING:
    from airflow_provider_wan.durable import Obtained


class Delivering:
    """Makes the result of a run from its task."""

    def __init__(self, run: TaskRun) -> None:
        self._run = run

    def deliver(self, task: VideoTask) -> dict[str, Any]:
        """Return the result; land the video first where the operator asks for it.

        :raises WanError: when it could not be stored.
        """
        if task.actual_prompt is None and getattr(task, "prompt_was_rewritten", False):
            task = self._with_prompts(task)
        if self._run.accounts.is_choice:
            task = task.model_copy(update={"wan_conn_id": self._run.conn_id})
        result = self._result(task, None)
        self._run.log.info("Task %s has its video; the link 'Generated video' leads to it", task.task_id)
        record = self._run.record()
        if record is not None and (record.handle is None or record.handle.task_id != task.task_id):
            record = None
        if record is not None and record.handle is not None and task.submitted_at is None:
            task = task.model_copy(update={"submitted_at": record.handle.submitted_at})
        self.show_link(result["video_url"])
        if record is None or not record.finished:
            metrics.delivered(task, result["cost"] or (record.cost if record else None))
            traces.delivered(task)
        if self._run.settings.store_to:
            result |= self._land(task, self._run.settings.store_to, record.stored if record else None)
        if record is not None:
            # A decorated function's request is not at hand any more: its estimate is on record.
            result["cost"] = result["cost"] or record.cost
            stored = {name: result[name] for name in ("uri", "bytes", "sha256") if name in result}
            # Without a stored video, too: what is finished is not cancelled (or deleted) when another replaces it.
            update = {"finished": True, "stored": stored or record.stored, "cost": result["cost"]}
            self._run.keep(record.model_copy(update=update))
        return self._hand_on(result)

    def deliver_stored(self, obtained: Obtained, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a task whose video was stored by an earlier run; it is stored anew where it is gone.

        :raises WanError: when it could not be stored.
        """
        handle = obtained.handle
        task = obtained.task or VideoTask(task_id=handle.task_id, vendor=handle.vendor, mode=handle.mode)
        known = {"status": str(TaskStatus.SUCCEEDED)}
        landed = self._land(task, self._run.settings.store_to or stored["uri"], stored)
        if landed != stored and (record := self._run.record()) is not None:
            self._run.keep(record.model_copy(update={"stored": landed}))
        result = self._result(task, handle) | known | landed
        record = self._run.record()
        return self._hand_on(result | {"cost": result["cost"] or (record.cost if record else None)})

    def _with_prompts(self, task: VideoTask) -> VideoTask:
        """Fetch the rewritten prompt: events carry no prompts, they are user data."""
        try:
            return self._run.hook.get_task(self._run.handle_of(task))
        except WanError as error:
            self._run.log.warning("The rewritten prompt could not be fetched: %s", error)
            return task
        finally:
            self._run.accounts.close()

    def _land(self, task: VideoTask, target: str, stored: dict[str, Any] | None) -> dict[str, Any]:
        """Put the video where it is wanted; say what is there to be saved when that fails.

        :raises WanError: when it could not be stored.
        """
        from airflow_provider_wan.delivery.landing import land_once
        from airflow_provider_wan.delivery.storage import reason_of

        try:
            return land_once(task, target, self._run.hook.account, stored, log=self._run.log)
        except WanError as error:
            kind, reason, retryable = type(error), error.message, error.retryable
        except Exception as error:  # noqa: BLE001 - whatever the storage raises
            kind, reason, retryable = WanError, reason_of(error), True
        raise kind(not_stored(task, target, reason), task_id=task.task_id, retryable=retryable)

    def _result(self, task: VideoTask, handle: TaskHandle | None) -> dict[str, Any]:
        request = self._run.operator.request_or_none(self._run.context)
        known = self._run.operator.known_of_request(self._run.context, request) | {"wan_conn_id": self._run.conn_id}
        if handle is not None:
            known |= handle.to_dict()
        return result_of(self._run.hook.priced(task, request), **known)

    def _hand_on(self, result: dict[str, Any]) -> dict[str, Any]:
        self.show_link(result.get("video_url"))
        add_to_events(self._run.operator.outlets, self._run.context, result)
        push_own(self._run.operator, self._run.context, result)
        note_video(self._run.operator, self._run.operator.request_or_none(self._run.context), result)
        return result

    def show_link(self, url: str | None, *, now: bool = False) -> None:
        """Let the link *Generated video* lead to an address; ``now`` pushes it before the task ends."""
        WanVideoLink().show(self._run.operator, self._run.context, url, now=now)


def not_stored(task: VideoTask, target: str, reason: str) -> str:
    """Say of a video that was made and could not be stored: that it exists, where, until when, and what to do."""
    address = public_url(task.video_url) if task.video_url else "its vendor's content endpoint"
    until = f"until {task.url_expires_at:%Y-%m-%d %H:%M} UTC" if task.url_expires_at else "for about a day"
    return (
        f"The video of task {task.task_id} was made and is paid, but could not be stored at {target}: {reason}. It is "
        f"at {address} {until} (the link 'Generated video' has the full address). Mend the storage, then clear this "
        "task: it adopts the video and pays nothing"
    )
