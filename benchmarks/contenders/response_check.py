"""The check that an author would give to ``HttpEventTrigger``; it reloads this module for every answer."""

from __future__ import annotations

from typing import Any


async def is_ended(response: Any) -> bool:
    """Whether the answer shows a task that has ended."""
    return response.json()["output"]["task_status"] not in ("PENDING", "RUNNING")
