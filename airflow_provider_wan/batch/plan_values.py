"""Reads the batch operator's rendered parameters, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.worker.video import truth

if TYPE_CHECKING:
    from airflow_provider_wan.operators.batch import WanVideoBatchOperator

LEAST_INTERVAL = 0.1


def settings_of(operator: WanVideoBatchOperator) -> BatchSettings:
    """Read an operator whose templates are rendered.

    :raises WanRequestError: naming every parameter whose rendered value makes no sense.
    """
    wrong: list[Violation] = []
    in_flight = _number("max_in_flight", operator.max_in_flight, 1, wrong)
    interval = _number("poll_interval", operator.poll_interval, 0, wrong)
    timeout = operator.timeout
    if not isinstance(timeout, timedelta):
        timeout = timedelta(seconds=_number("timeout", timeout, 0, wrong))
    if wrong:
        raise WanRequestError(violations=wrong)
    return BatchSettings(
        wan_conn_id=operator.wan_conn_id,
        max_in_flight=int(in_flight),
        store_to=_text(operator.store_to),
        manifest_path=_text(operator.manifest_path),
        on_item_failure=operator.on_item_failure,
        fail_if=operator.fail_if,
        item_retries=operator.item_retries,
        on_unknown_submission=operator.on_unknown_submission,
        regenerate=truth("regenerate", operator.regenerate),
        poll_interval=max(LEAST_INTERVAL, interval),
        timeout=timeout,
        limit=operator.execution_timeout,
        cancel_on_kill=operator.cancel_on_kill,
        cancel_on_timeout=operator.cancel_on_timeout,
        deferrable=operator.deferrable,
    )


def _number(name: str, value: Any, least: float, wrong: list[Violation]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number < float("inf"):
        wrong.append(Violation(name, f"is a number, at least {least:g}", shorten(value), hard=True))
        return least
    return number


def _text(value: Any) -> str | None:
    text = str(value).strip() if value is not None else ""
    return text or None
