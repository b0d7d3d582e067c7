"""The check while a DAG is parsed: of the values that are written out, not of templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import build_request
from airflow_provider_wan.client.rules.request import violations_of
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.urls import shorten

WAN_2_7 = "wan2.7"
POLICIES = {"on_changed_request": ("resubmit", "fail"), "on_unknown_submission": ("fail", "resubmit")}
SPANS = ("poll_interval", "timeout")


class WanLiteralError(WanRequestError, AirflowFailException):
    """Values written in the DAG break rules.

    A mapped operator is made only when its task runs; that the error is Airflow's own too spares it the retries.
    """


def is_literal(value: Any) -> bool:
    """Whether a value is written out in the DAG: no Jinja in it and no result of another task."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(is_literal(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_literal(item) for item in value)
    return value is None or isinstance(value, bool | int | float | timedelta)


def check_literals(
    mode: Mode, fields: dict[str, Any], settings: Mapping[str, Any], *, is_strict: bool, task_id: str
) -> None:
    """Refuse literal values that break the rules of the model's family; the vendor is not known yet.

    :param fields: the request's.
    :param settings: the operator's own parameters: policies, interval, time-out.
    :raises WanLiteralError: listing all violations.
    """
    found = [*_of_request(mode, fields, is_strict), *_of_settings(settings)]
    if found:
        rules = "a rule" if len(found) == 1 else f"{len(found)} rules"
        heading = f"Task {task_id!r} breaks {rules} as it is written in the DAG:"
        raise WanLiteralError("\n  - ".join([heading, *map(str, found)]), violations=found)


def _of_request(mode: Mode, fields: dict[str, Any], is_strict: bool) -> Iterator[Violation]:
    literal = {name: value for name, value in fields.items() if is_literal(value)}
    open_fields = fields.keys() - literal.keys()
    try:
        request = build_request(mode, literal | {"strict": is_strict})
    except WanRequestError as error:
        yield from error.violations
        # Go on with the others, so that everything is told at once.
        open_fields |= {violation.field.split(".")[0] for violation in error.violations}
        fitting = {name: value for name, value in literal.items() if name not in open_fields}
        request = build_request(mode, fitting | {"strict": is_strict})
    if "model" in open_fields:
        return
    for violation in violations_of(request, request.model or WAN_2_7):
        if (violation.hard or is_strict) and not _depends(violation, open_fields):
            yield violation


def _depends(violation: Violation, open_fields: set[str]) -> bool:
    """Whether a value that is not known yet may mend the violation."""
    looked_at = {name.split("[")[0] for name in violation.field.split(", ")} | set(violation.depends_on)
    return not open_fields.isdisjoint(looked_at)


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Violation]:
    for name, value in settings.items():
        if not is_literal(value):
            continue
        if name in POLICIES and value not in POLICIES[name]:
            yield Violation(name, f"is one of {', '.join(POLICIES[name])}", shorten(value), hard=True)
        elif name in SPANS and not _seconds(value) > 0:
            yield Violation(name, "is a time longer than nothing", shorten(value), "give seconds", hard=True)


def _seconds(value: Any) -> float:
    try:
        return value.total_seconds() if isinstance(value, timedelta) else float(value)
    except (TypeError, ValueError):
        return 0.0
