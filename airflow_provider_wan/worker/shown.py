"""What a run shows of its videos to the gallery, as XComs; nothing that goes wrong here reaches the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_wan.client.errors import WanError, WanSubmissionUnknown
from airflow_provider_wan.links.gallery import GENERATION_KEY, gallery_is_on, generation, push_all


def show_generation(
    operator: Any,
    context: Any,
    state: str,
    *,
    handle: Mapping[str, Any] | None = None,
    page: str | None = None,
    error: WanError | None = None,
) -> None:
    """Show the video of this task instance: that it is submitted, in doubt or failed."""

    def fields() -> dict[str, Any]:
        request = operator.request_or_none(context)
        known = operator.request_fields() if request is None else request.model_dump(mode="json", exclude_none=True)
        return {"mode": str(getattr(operator, "mode", "")) or None, **known}

    def shown() -> dict[str, Any]:
        conn_id = _conn_id(operator, handle)
        return generation(state, fields(), handle=handle, conn_id=conn_id, page=page, error=error)

    _show(operator, context, shown)


def show_failure(operator: Any, context: Any, error: WanError, handle: Mapping[str, Any] | None = None) -> None:
    """Show why there is no video."""
    state = "in_doubt" if isinstance(error, WanSubmissionUnknown) else "failed"
    known = {"task_id": error.task_id} | dict(handle or {})
    show_generation(operator, context, state, handle=known, error=error)


def show_handed(
    operator: Any,
    context: Any,
    handle: Mapping[str, Any] | None,
    *,
    page: str | None = None,
    error: Exception | None = None,
    billed: str | None = None,
) -> None:
    """Show a video that another task submitted: that it is waited for, or why it did not come here.

    :param handle: the handle or the result that was handed on, where it could be read.
    :param billed: whether the other task's video is billed: ``yes``, ``maybe``; by the error's class if not given.
    """
    state = "failed" if error else "submitted"

    def shown() -> dict[str, Any]:
        found = generation(state, None, handle=handle, conn_id=_conn_id(operator, handle), page=page, error=error)
        if error and billed:
            found["error"]["billed"] = billed
        return found

    _show(operator, context, shown)


def _conn_id(operator: Any, handle: Mapping[str, Any] | None) -> str | None:
    return (handle or {}).get("wan_conn_id") or _name(operator.wan_conn_id)


def _show(operator: Any, context: Any, shown: Callable[[], dict[str, Any]]) -> None:
    if not gallery_is_on():
        return
    try:
        context["ti"].xcom_push(key=GENERATION_KEY, value=shown())
    except Exception as problem:  # noqa: BLE001 - a page that shows less is no reason to fail a paid task
        operator.log.debug("The gallery is not told: %r", problem)


def show_items(operator: Any, context: Any, xcoms: Mapping[str, Any]) -> None:
    """Show the items of a batch: what :func:`~airflow_provider_wan.links.gallery.batch_xcoms` returned."""
    try:
        push_all(xcoms, context["ti"].xcom_push)
    except Exception as problem:  # noqa: BLE001 - as above
        operator.log.debug("The gallery is not told: %r", problem)


def _name(conn_id: Any) -> str | None:
    return conn_id if isinstance(conn_id, str) else None
