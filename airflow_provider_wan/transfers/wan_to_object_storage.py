"""The transfer: lands a result that was not stored when it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten

STATE_KEY = "wan_landed"


class WanVideoToObjectStorageOperator(BaseOperator):
    """Download a finished video and put it into object storage, whole or not at all.

    :param result: what an operator or the sensor returned, or a task handle.
    :param store_to: object-storage URI; one that ends with ``/`` gets ``<task_id>.mp4``.
    :param wan_conn_id: the connection whose account made the video.

    Returns the result with ``uri``, ``bytes`` and ``sha256``. A retry or a clear downloads nothing twice.
    """

    template_fields: Sequence[str] = ("result", "store_to", "wan_conn_id")
    template_fields_renderers = {"result": "json"}
    ui_color = "#e7e3ff"

    def __init__(
        self, *, result: dict[str, Any] | str, store_to: str, wan_conn_id: str = "wan_default", **kwargs: Any
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.result = result
        self.store_to = store_to
        self.wan_conn_id = wan_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Land the video; ask for its present address first."""
        from airflow_provider_wan.client.errors import WanError
        from airflow_provider_wan.client.tasks import result_of
        from airflow_provider_wan.delivery.landing import is_stored, land, target_of
        from airflow_provider_wan.hooks.wan import WanHook
        from airflow_provider_wan.operators.handles import read_handle
        from airflow_provider_wan.worker.failing import fail

        handle = read_handle(self.result)
        known = dict(self.result) if isinstance(self.result, Mapping) else {}
        store = context.get("task_state_store")
        stored: dict[str, Any] | None = store.get(STATE_KEY) if store is not None else None
        hook = WanHook(self.wan_conn_id)
        try:
            task = self._task(hook, handle, known)
            result = result_of(task, **(known | handle.to_dict()))
            if stored and stored["uri"] == target_of(task, self.store_to) and is_stored(stored):
                self.log.info("The video is stored already at %s", stored["uri"])
                return result | stored
            landed = land(task, self.store_to, hook.account).to_dict()
        except WanError as error:
            fail(error)
        finally:
            hook.close()
        if store is not None:
            store.set(STATE_KEY, landed)
        self.log.info("Stored the video at %s (%d bytes)", landed["uri"], landed["bytes"])
        self._tell_assets(context, result | landed)
        return result | landed

    def _tell_assets(self, context: Any, result: dict[str, Any]) -> None:
        from airflow_provider_wan.worker.video import tell_assets

        tell_assets(self, context, result)

    def _task(self, hook: Any, handle: Any, known: dict[str, Any]) -> Any:
        """Return the task as the vendor sees it now; its URL may be younger than the one handed on."""
        from airflow_provider_wan.client.errors import WanAuthError, WanError
        from airflow_provider_wan.client.tasks import TaskStatus, VideoTask

        try:
            task = hook.get_task(handle)
            if task.status is TaskStatus.SUCCEEDED:
                return task
        except WanAuthError:
            raise
        except WanError as error:
            self.log.info("The task cannot be asked for now: %s", error)
            task = None
        if known.get("video_url"):
            return VideoTask.model_validate(known | {"status": TaskStatus.SUCCEEDED})
        state = task.status if task is not None else "not known"
        raise WanRequestError(
            violations=[
                Violation(
                    "result",
                    f"is of a finished task (task {handle.task_id} is {state})",
                    shorten(self.result),
                    "wait for it first, with WanTaskSensor",
                    hard=True,
                )
            ]
        )
