"""The worker side of the transfer: the video of a finished task goes to where it is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_wan.client.errors import Violation, WanAuthError, WanError, WanRequestError
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, result_of
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.delivery.landing import land_once
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.worker.assets import add_to_events
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.lineage import note_video
from airflow_provider_wan.worker.outputs import push_own
from airflow_provider_wan.worker.places import own_place
from airflow_provider_wan.worker.settings import TaskOperator, conn_id_of
from airflow_provider_wan.worker.shown import show_handed

if TYPE_CHECKING:
    from airflow.sdk import Context

STATE_KEY = "wan_landed"


def transfer(
    values: Callable[[], Mapping[str, Any]], result: Any, operator: TaskOperator, context: Context
) -> dict[str, Any]:
    """Land the video of ``result``; ask for its present address first.

    :param values: the rendered parameters, read.
    :param result: the parameter as it was given: it may hold more than the handle.
    """
    store = context.get("task_state_store")
    found = store.get(STATE_KEY) if store is not None else None
    stored = found if isinstance(found, dict) else None
    hook: WanHook | None = None
    known: Mapping[str, Any] | None = None
    try:
        given = values()
        handle, target = given["result"], str(own_place(given["store_to"], operator, context))
        hook = WanHook(conn_id_of(handle, given["wan_conn_id"]))
        known = {"wan_conn_id": hook.wan_conn_id} | _fields_of(result) | handle.to_dict()
        task = _present(hook, handle, known, operator)
        full = result_of(task, **known)
        former = _of_this_task(stored, handle)
        landed = land_once(task, target, hook.account, former, log=operator.log)
    except (WanError, OSError) as error:
        is_made = bool(known and known.get("video_url"))
        show_handed(operator, context, known, error=error, billed="yes" if is_made else "maybe")
        if isinstance(error, WanError):
            fail(error)
        raise
    finally:
        if hook is not None:
            hook.close()
    if store is not None and landed != former:
        store.set(STATE_KEY, landed | {"task_id": handle.task_id})
    add_to_events(operator.outlets, context, full | landed)
    note_video(operator, None, full | landed)
    push_own(operator, context, full | landed)
    return full | landed


def _of_this_task(stored: Mapping[str, Any] | None, handle: TaskHandle) -> dict[str, Any] | None:
    """Return where the video of this very task was landed: its upstream may have been made anew since."""
    if stored is None or stored.get("task_id", handle.task_id) != handle.task_id:
        return None
    return {name: value for name, value in stored.items() if name != "task_id"}


def _fields_of(result: Any) -> dict[str, Any]:
    """Return the result's fields; a template renders a dict as JSON."""
    return dict(json.loads(result) if isinstance(result, str) else result)


def _present(hook: WanHook, handle: TaskHandle, known: Mapping[str, Any], operator: TaskOperator) -> VideoTask:
    """Return the task as the vendor sees it now; its URL may be younger than the one handed on."""
    state = "not known"
    try:
        task = hook.get_task(handle)
        if task.status is TaskStatus.SUCCEEDED:
            return task
        state = str(task.status)
    except WanAuthError:
        raise
    except WanError as error:
        operator.log.info("The task cannot be asked for now: %s", error)
    if known.get("video_url"):
        return VideoTask.model_validate({**known, "status": TaskStatus.SUCCEEDED})
    raise WanRequestError(
        violations=[
            Violation(
                "result",
                f"is of a finished task (task {handle.task_id} is {state})",
                shorten(known),
                "wait for it first, with WanTaskSensor",
                hard=True,
            )
        ]
    )
