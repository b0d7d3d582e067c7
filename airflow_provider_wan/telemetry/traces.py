"""Spans of generations, where Airflow's tracing is on: the vendor's time inside the trace of the DAG run."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_wan.client.tasks import TaskHandle, VideoTask

try:
    from opentelemetry import trace
except ImportError:  # Airflow before 3.2 may come without it
    trace = None  # type: ignore[assignment]

SPAN = "wan.generation"


def _is_on() -> bool:
    return trace is not None and trace.get_current_span().is_recording()


def obtained(handle: TaskHandle, *, is_adopted: bool) -> None:
    """Note in the Airflow task's span which task of the vendor it waits for."""
    if _is_on():
        name = "wan.adopted" if is_adopted else "wan.submitted"
        trace.get_current_span().add_event(name, _attributes(handle))


def delivered(task: VideoTask) -> None:
    """Add the generation as a span below the Airflow task's: from submission, with its start, to the vendor's end."""
    if not _is_on() or task.submitted_at is None or task.finished_at is None:
        return
    tracer = trace.get_tracer("airflow_provider_wan")
    span = tracer.start_span(SPAN, attributes=_attributes(task), start_time=_nanoseconds(task.submitted_at))
    if task.started_at is not None:
        span.add_event("wan.started", timestamp=_nanoseconds(task.started_at))
    span.end(_nanoseconds(task.finished_at))


def _attributes(task: TaskHandle | VideoTask) -> dict[str, str]:
    return {
        "wan.vendor": task.vendor,
        "wan.task_id": task.task_id,
        "wan.model": task.model or "",
        "wan.mode": str(task.mode or ""),
    }


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
