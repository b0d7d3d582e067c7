"""One look through the vendor's task list: which pages it takes, and what has come of them so far."""

from __future__ import annotations

import math
from collections import deque

from airflow_provider_wan.client.schedule.asks import Page, Wait
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

MAX_PAGES = 400

TRIES = 3
"""Of all pages together, before the sweep is given up."""


class Sweep:
    """A sweep under way: reads the list until it has seen all it looks for; times are seconds of the schedule's clock.

    :param wanted: the list to read.
    :param looked_for: the tasks that it should show, by id.
    :param seconds: what it may take in all.
    """

    def __init__(self, wanted: TaskFilter, looked_for: dict[str, Wait], now: float, seconds: float) -> None:
        self.wanted = wanted
        self.unseen = looked_for
        self.found = 0
        self.pages = 1
        """How many it takes, as far as is known."""
        self.began = self.next_page = self.asked = now
        self.seconds = seconds
        self.outstanding = 0
        self._failures = 0
        self._todo = deque([Page(wanted, 1)])

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

    def answered(self, ask: Page, page: TaskPage) -> None:
        """Take a page, and lay out the next ones."""
        if not self.unseen:
            self._todo.clear()
        elif ask.number == 1 and page.next_page is not None:
            total = page.total if page.total is not None else len(page.tasks)
            # The page size granted may be smaller than asked for, so count in pages of the size seen.
            self.pages = max(2, min(MAX_PAGES, math.ceil(total / max(1, len(page.tasks)))))
            self._todo.extend(Page(self.wanted, number) for number in range(2, self.pages + 1))
        elif page.next_page is not None and ask.number == self.pages < MAX_PAGES:
            self.pages += 1
            self._todo.append(Page(self.wanted, self.pages))

    def failed(self, ask: Page) -> bool:
        """Take the failure of a page; return whether it is asked for again."""
        self.outstanding -= 1
        self._failures += 1
        self._todo.appendleft(ask)
        return self._failures < TRIES
