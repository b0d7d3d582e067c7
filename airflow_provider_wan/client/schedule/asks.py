"""What the poller can ask, and what it remembers of each task it waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto
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

Place: TypeAlias = tuple[float, str]
"""Where a task stands in the order of submission."""


class Standing(Enum):
    """Where a task is thought to be in the vendor's queue."""

    WAITING = auto()
    """In it, for all that is known."""
    GUESSED = auto()
    """Out of it, because another one has made room."""
    BEGUN = auto()
    """Out of it, or at no place that tells of the others."""
    ENDED = auto()


@dataclass(eq=False, slots=True)
class Wait:
    """One task that is waited for; times are seconds of the schedule's clock unless said otherwise.

    :param not_before: its result may be fetched from then on.
    :param made: when it was submitted.
    :param looked: when it was last seen not ended; at first, when the wait began.
    :param due: when the next look at it is worth a query.
    """

    handle: TaskHandle
    interval: float
    profile: str
    not_before: float
    made: float
    looked: float
    due: float
    may_end: float = 0.0
    """The earliest moment at which it can have ended, as far as is known."""
    queued: float = math.inf
    """The time under which it stands in the heap, hardly later than ``due``; infinity when it does not."""
    submitted: float = field(init=False)
    """Unix seconds."""
    place: Place = field(init=False)
    starts: float = field(init=False)
    """The earliest moment at which it can have begun to run, as far as is known."""
    standing: Standing = Standing.WAITING
    is_early: bool = False
    """Whether it is looked at one interval after the wait began, for it may have been refused."""
    is_seen: bool = False
    """Whether it has been seen not ended."""
    is_ended: bool = False
    """The list shows that it has ended; its result is still to be fetched."""
    is_urgent: bool = False
    failures: int = 0
    misses: int = 0
    """Sweeps in a row that should have shown it and did not."""

    def __post_init__(self) -> None:
        self.starts = self.made
        self.submitted = self.handle.submitted_at.timestamp()
        self.place = self.submitted, self.handle.task_id
