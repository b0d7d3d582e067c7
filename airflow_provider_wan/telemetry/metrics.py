"""All metrics of the provider, through Airflow's own statistics; see ``docs/operations.md`` for what each says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, wraps
from typing import Any, ParamSpec

from airflow_provider_wan.client.costs import billed_seconds
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.exchange import Answer, Broken, Call
from airflow_provider_wan.client.observers import observe
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now

log = logging.getLogger(__name__)
P = ParamSpec("P")

THROTTLED_STATUS = 429
QUERIES = frozenset({"get_task", "list_tasks"})
"""Calls that ask for the state of tasks."""


class Metric(StrEnum):
    """The names; Airflow puts its own prefix before them (``airflow.`` unless configured otherwise)."""

    SUBMITTED = "wan.submitted"
    """Counter: tasks whose submission was answered."""
    ADOPTED = "wan.adopted"
    """Counter: attempts that took over a task of an earlier attempt instead of paying for another."""
    RECOVERED = "wan.recovered"
    """Counter: lost submissions whose task was found, by key or by list."""
    FAILED = "wan.failed"
    """Counter: failures of a task instance or a row; the error's class follows, as ``wan.failed.WanTaskFailed``."""
    BILLED_SECONDS = "wan.billed_seconds"
    """Counter: seconds of video that were billed."""
    COST = "wan.cost"
    """Counter: what delivered videos cost; the tag ``currency`` says in what."""
    QUEUE_TIME = "wan.queue_time"
    """Timer: from submission to the vendor's start."""
    RUN_TIME = "wan.run_time"
    """Timer: from the vendor's start to its end."""
    DETECTION_TIME = "wan.detection_time"
    """Timer: from the vendor's end to the moment it was seen here."""
    QUERIES = "wan.queries"
    """Counter: status and list queries sent; a query of the list is for tasks of all models and has no such tag."""
    THROTTLED = "wan.throttled"
    """Counter: calls that the vendor answered with 429."""


@cache
def statistics() -> Any:
    """Return Airflow's statistics, ``None`` where nobody collects them; asked once per process."""
    try:
        from airflow.providers.common.compat.sdk import Stats, conf

        switches = ("statsd_datadog_enabled", "statsd_on", "otel_on")
        if not any(conf.getboolean("metrics", switch, fallback=False) for switch in switches):
            return None
    except Exception as error:  # noqa: BLE001 - a statistic is not worth a video
        log.warning("Metrics are off: %s: %s", type(error).__name__, error)
        return None
    return Stats


def _harmless(measure: Callable[P, None]) -> Callable[P, None]:
    """Keep what goes wrong with statistics out of the run; skip all work where they are off."""

    @wraps(measure)
    def measured(*args: P.args, **kwargs: P.kwargs) -> None:
        if statistics() is None:
            return
        try:
            measure(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a statistic is not worth a video
            log.debug("A metric was lost: %s: %s", type(error).__name__, error)

    return measured


def _tags(vendor: str | None, model: str | None, **more: str | None) -> dict[str, str]:
    return {name: value for name, value in {"vendor": vendor, "model": model, **more}.items() if value}


@_harmless
def obtained(handle: TaskHandle, *, is_adopted: bool, is_recovered: bool) -> None:
    """Count a task that an attempt has to wait for, by the way it came to it."""
    metric = Metric.RECOVERED if is_recovered else Metric.ADOPTED if is_adopted else Metric.SUBMITTED
    statistics().incr(metric, tags=_tags(handle.vendor, handle.model, wan_conn_id=handle.wan_conn_id))


@_harmless
def failed(error: WanError, vendor: str | None = None, model: str | None = None) -> None:
    """Count a failure by the class of its error."""
    statistics().incr(f"{Metric.FAILED}.{type(error).__name__}", tags=_tags(vendor, model))


@_harmless
def delivered(task: VideoTask, cost: Mapping[str, Any] | None) -> None:
    """Count what a video cost and took; called once for each, at its delivery."""
    tags = _tags(task.vendor, task.model, wan_conn_id=task.wan_conn_id)
    seconds = billed_seconds(task)
    if seconds:
        statistics().incr(Metric.BILLED_SECONDS, seconds, tags=tags)
    if cost and cost.get("amount"):
        currency = {"currency": str(cost["currency"])}
        statistics().incr(Metric.COST, cost["amount"], tags=tags | currency)
    _timing(Metric.QUEUE_TIME, task.submitted_at, task.started_at, tags)
    _timing(Metric.RUN_TIME, task.started_at, task.finished_at, tags)


def _timing(metric: Metric, begin: datetime | None, end: datetime | None, tags: dict[str, str]) -> None:
    if begin is not None and end is not None:
        # Two clocks: the vendor's may be ahead.
        statistics().timing(metric, max(end - begin, timedelta()), tags=tags)


@_harmless
def _exchanged(vendor: str, call: Call, outcome: Answer | Broken) -> None:
    tags = _tags(vendor, call.model)
    if call.name in QUERIES:
        statistics().incr(Metric.QUERIES, tags=tags)
    if isinstance(outcome, Answer) and outcome.status == THROTTLED_STATUS:
        statistics().incr(Metric.THROTTLED, tags=tags)


@_harmless
def _ended(task: VideoTask) -> None:
    if task.status.is_ended:
        _timing(Metric.DETECTION_TIME, task.finished_at, utc_now(), _tags(task.vendor, task.model))


class _Counting:
    """Counts queries and refusals, and times how long an end at the vendor went unseen."""

    def exchanged(self, vendor: str, call: Call, outcome: Answer | Broken) -> None:
        """Count one exchange."""
        _exchanged(vendor, call, outcome)

    def ended(self, task: VideoTask) -> None:
        """Time an end."""
        _ended(task)


OBSERVER = _Counting()


def observe_clients() -> None:
    """Have the clients of this process counted, where that is collected."""
    observe(OBSERVER if statistics() is not None else None)
