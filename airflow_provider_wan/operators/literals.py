"""The check while a DAG is parsed: of the values that are written out, not of templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.rules import violations_of
from airflow_provider_wan.client.tasks import Mode

WAN_2_7 = "wan2.7"


def is_literal(value: Any) -> bool:
    """Whether a value is written out in the DAG: no Jinja in it and no result of another task."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(is_literal(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_literal(item) for item in value)
    return value is None or isinstance(value, bool | int | float)


def check_literals(mode: Mode, fields: dict[str, Any], *, is_strict: bool) -> None:
    """Refuse literal values that break the rules of the model's family; the vendor is not known yet.

    :raises WanRequestError: listing all of them.
    """
    literal = {name: value for name, value in fields.items() if is_literal(value)}
    open_fields = fields.keys() - literal.keys()
    request = build_request(mode, literal | {"strict": is_strict})
    if "model" in open_fields:
        return
    found = [
        violation
        for violation in violations_of(request, request.model or WAN_2_7)
        if (violation.hard or is_strict) and not _depends(violation, request, open_fields)
    ]
    if found:
        raise WanRequestError(violations=found)


def _depends(violation: Violation, request: VideoRequest, open_fields: set[str]) -> bool:
    """Whether a value that is not known yet may mend the violation."""
    if not open_fields:
        return False
    looked_at = {name.split("[")[0] for name in violation.field.split(", ")} | set(violation.depends_on)
    return not open_fields.isdisjoint(looked_at)
