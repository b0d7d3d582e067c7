"""Reading a task handle that came through XCom or a template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.urls import shorten


def read_handle(value: Any) -> TaskHandle:
    """Take a handle as a dict or as JSON; a whole result works too, it holds the handle's keys.

    :raises WanRequestError: for anything else.
    """
    found = value
    if isinstance(value, str):
        try:
            # A template renders a dict as Python shows it, unless it says "| tojson".
            found = json.loads(value)
        except ValueError:
            found = None
    if isinstance(found, Mapping) and found.get("task_id") and found.get("vendor"):
        try:
            return TaskHandle.model_validate(dict(found))
        except ValueError:
            pass
    raise WanRequestError(
        violations=[
            Violation(
                "handle",
                "is a task handle: a dict (or its JSON) with vendor, task_id, mode, model, submitted_at",
                shorten(value),
                "pass op.output, or a template that ends with | tojson",
                hard=True,
            )
        ]
    )
