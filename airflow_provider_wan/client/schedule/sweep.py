"""One look through the vendor's task list: which pages it takes, and what has come of them so far."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

from airflow_provider_wan.client.schedule.asks import Page, Wait
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

MAX_PAGES = 400
ENDS = (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)

TRIES = 3
"""Of all pages together, before the sweep is given up."""


@dataclass(eq=False)
class PageRange:
    """One list, read from its first page to its last."""

    wanted: TaskFilter
    pages: int = 1


class Sweep:
    """A sweep under way; times are seconds of the schedule's clock.

    A full one reads everything in the window until it has seen all it looks for. One by status reads what has
    succeeded, failed and been cancelled, and everything only where there are tasks that have not been seen in the list
    yet.

    :param lists: what to read.
    :param looked_for: the tasks that the lists of everything should show, by id.
    :param seconds: what it may take in all.
    """

    def __init__(self, lists: list[TaskFilter], looked_for: dict[str, Wait], now: float, seconds: float) -> None:
        self.is_full = lists[0].status is None
        self.unseen = looked_for
        self.found = 0
        self.began = self.next_page = self.asked = now
        self.seconds = seconds
        self.outstanding = 0
        self.ended: Counter[TaskStatus] = Counter()
        """Rows, ours and others', by the states that are ends."""
        self._failures = 0
        self._readings = [PageRange(wanted) for wanted in lists]
        self._todo = deque(Page(wanted, 1) for wanted in lists)

    @property
    def pages(self) -> int:
        """How many it takes, as far as is known."""
        return sum(reading.pages for reading in self._readings)

    @property
    def is_through(self) -> bool:
        """Whether nothing is left to ask for and nothing under way."""
        return not self._todo and self.outstanding == 0

    @property
    def has_more(self) -> bool:
        """Whether a page is left to ask for."""
        return bool(self._todo)

    def take_page(self, now: float) -> Page:
        """Return the page to ask for next."""
        self.outstanding += 1
        self.asked = now
        return self._todo.popleft()

    def reading_of(self, ask: Page) -> PageRange | None:
        """Return the list that a page belongs to; nothing if it was asked for by an earlier sweep."""
        return next((reading for reading in self._readings if reading.wanted is ask.wanted), None)

    def answered(self, reading: PageRange, ask: Page, page: TaskPage) -> None:
        """Take a page, and lay out the next ones."""
        if ask.wanted.status or self.is_full:
            self.ended.update(row.status for row in page.tasks if row.status.is_ended)
        if ask.number == 1 and page.next_page is not None:
            total = page.total if page.total is not None else len(page.tasks)
            # The page size granted may be smaller than asked for, so count in pages of the size seen.
            reading.pages = max(2, min(MAX_PAGES, math.ceil(total / max(1, len(page.tasks)))))
            self._todo.extend(Page(reading.wanted, number) for number in range(2, reading.pages + 1))
        elif page.next_page is not None and ask.number == reading.pages < MAX_PAGES:
            reading.pages += 1
            self._todo.append(Page(reading.wanted, reading.pages))
        if not self.unseen:
            self._todo = deque(other for other in self._todo if other.wanted.status)

    def failed(self, ask: Page) -> bool:
        """Take the failure of a page; return whether it is asked for again."""
        self.outstanding -= 1
        self._failures += 1
        self._todo.appendleft(ask)
        return self._failures < TRIES
