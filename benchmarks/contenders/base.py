"""What a contender is given, and what it tells."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_wan.client.tasks import TaskHandle

VIDEO = "video"
"""The outcome of a task whose video's URL has been brought; any other word says why it was not."""


@dataclass(frozen=True)
class Job:
    """Tasks that run already.

    :param interval: seconds between two polls of one task, where the contender lets one choose.
    :param ends: seconds from now until all of them have ended, for the floor.
    """

    url: str
    key: str
    handles: list[TaskHandle]
    interval: float
    ends: float
    tell: Callable[[str, str], None]
    """Called once for each task, with its id and the outcome, at the moment it is known."""


class Contender(ABC):
    """One way of waiting for all tasks of a job."""

    @abstractmethod
    async def wait(self, job: Job) -> None:
        """Return when the outcome of every task has been told."""


async def started(waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Start one after the other, as the triggerer does, and wait for all."""
    async with asyncio.TaskGroup() as group:
        for wait in waits:
            group.create_task(wait)
            await asyncio.sleep(0)
