"""What the poller can ask, and what it remembers of each task it waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.vendors.base import TaskFilter


@dataclass(frozen=True)
class Query:
    """Ask for one task."""

    handle: TaskHandle


@dataclass(frozen=True)
class Page:
    """Ask for one page of the vendor's task list."""

    wanted: TaskFilter
    number: int


Ask: TypeAlias = Query | Page


@dataclass(eq=False, slots=True)
class Entry:
    """One task that is waited for; times are seconds of the schedule's clock unless said otherwise.

    :param not_before: its result may be fetched from then on.
    :param made: when it was submitted.
    :param due: when the next look at it is worth a query.
    """

    handle: TaskHandle
    interval: float
    profile: str
    not_before: float
    made: float
    due: float
    queued: float = math.inf
    """The time under which it stands in the heap, never later than ``due``; infinity when it does not."""
    submitted: float = field(init=False)
    """Unix seconds."""
    starts: float = field(init=False)
    """The earliest moment at which it can have begun to run, as far as is known."""
    looked: float | None = None
    """When it was last seen not ended."""
    is_queued_there: bool | None = None
    """Whether the vendor still had it in its queue when last seen; ``None`` until it tells."""
    is_ended: bool = False
    """The list shows that it has ended; its result is still to be fetched."""
    is_urgent: bool = False
    failures: int = 0
    misses: int = 0
    """Sweeps in a row that should have shown it and did not."""

    def __post_init__(self) -> None:
        self.starts = self.made
        self.submitted = self.handle.submitted_at.timestamp()
