"""Looking at many tasks at once through the vendor's task list, where that costs fewer requests.

A list shows states, not results, and it shows everything the account made in a window of time: other
people's tasks and our own finished ones too.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_wan.client.asks import Entry, Page
from airflow_provider_wan.client.runtimes import Yields
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

PAGE_SIZE = 100
MAX_PAGES = 400
WIDEST_MARGIN = 300.0
NARROWEST_MARGIN = 20.0
"""Seconds around the tasks' own times: the vendor's clock and its list need not agree with ours."""

MISSES_ALLOWED = 2
"""Sweeps that may miss a task (the list may lag) before it is asked singly."""

LONGEST_REST = 20
"""Cycles without a sweep after several that brought nothing."""

FORGETTING = 0.93
"""Per cycle without a sweep, so that a list that was too long is tried again after some minutes."""

ADVANTAGE = 0.75
"""A sweep is worth at most so many requests per task looked at: finished ones cost a query all the same."""

WORTH = 10.0
"""Ends that a page is to bring, for it costs a request as each of them does: so fast sweeps follow one another."""


@dataclass(eq=False)
class _Sweep:
    wanted: TaskFilter
    unseen: dict[str, Entry]
    window: float
    next_page: float
    todo: deque[int] = field(default_factory=lambda: deque([1]))
    asked: float = 0.0
    """When the last page was asked for."""
    pages: int = 1
    outstanding: int = 0
    found: int = 0
    failures: int = 0


class Sweeps:
    """Decides when to sweep, over which window, and what a sweep tells.

    :param put_off: sets the time at which an entry is worth a query of its own.
    """

    def __init__(self, put_off: Callable[[Entry, float], None], rng: random.Random) -> None:
        self._put_off = put_off
        self._rng = rng
        self._sweep: _Sweep | None = None
        self._size = PAGE_SIZE
        self._foreign = 0.0
        self._fruitless = 0
        self._rest = 0
        self._margins = _Margins()
        self._yields = Yields()
        self._began = self._cycle = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether a sweep has begun and not ended."""
        return self._sweep is not None

    def seconds(self, cycle: float) -> float:
        """Return what a sweep is to take: a ``cycle``, or less where each page brings many ends."""
        return min(cycle, WORTH / max(self._yields.per_second, 1e-9))

    def next_sweep(self) -> float:
        """Return when the next sweep is to begin, by what the last one showed."""
        return self._began + self.seconds(self._cycle)

    def begin(self, ripe: list[Entry], now: float, cycle: float) -> None:
        """Begin a sweep for the ``ripe`` entries if it costs fewer requests than asking for each.

        :param cycle: seconds that it may take.
        """
        self._foreign *= FORGETTING
        if self._rest > 0:
            self._rest -= 1
            return
        ripe.sort(key=lambda entry: entry.submitted)
        first = self._first(ripe)
        if first is None:
            return
        chosen = ripe[first:]
        before, after = self._margins.before, self._margins.after
        since, until = chosen[0].submitted - before, chosen[-1].submitted + after
        models = {entry.handle.model for entry in chosen}
        wanted = TaskFilter(
            since=datetime.fromtimestamp(since, UTC),
            until=datetime.fromtimestamp(until, UTC),
            model=models.pop() if len(models) == 1 else None,
            page_size=PAGE_SIZE,
        )
        unseen = {entry.handle.task_id: entry for entry in chosen}
        self._yields.turn()
        self._sweep = _Sweep(wanted, unseen, until - since, next_page=now)
        self._began, self._cycle = now, cycle
        for entry in chosen:
            # The sweep has a cycle to find it; a query in the meantime would be a waste.
            self._put_off(entry, max(entry.due, now + cycle * self._rng.uniform(1.2, 1.8)))

    def _first(self, ripe: list[Entry]) -> int | None:
        """Return from which entry on (oldest first) a sweep is cheapest, ``None`` when single queries are."""
        best, best_cost = None, len(ripe) * ADVANTAGE
        if not ripe:
            return None
        newest = ripe[-1].submitted + self._margins.before + self._margins.after
        for number, entry in enumerate(ripe):
            if number >= best_cost:
                break
            rows = len(ripe) - number + self._foreign * (newest - entry.submitted)
            cost = math.ceil(rows / self._size) + number
            if cost < best_cost:
                best, best_cost = number, cost
        return best

    def next_page(self) -> float:
        """Return when the next page is to be asked for; infinity when there is none."""
        return self._sweep.next_page if self._sweep and self._sweep.todo else math.inf

    def take_page(self, now: float) -> Page:
        """Return the page that is due."""
        sweep = self._sweep
        if sweep is None:
            raise RuntimeError("no sweep is under way")
        sweep.outstanding += 1
        sweep.asked = now
        self._space(sweep)
        return Page(sweep.wanted, sweep.todo.popleft())

    def answered(
        self, ask: Page, page: TaskPage, entries: Mapping[str, Entry], now: float
    ) -> list[tuple[Entry, VideoTask]]:
        """Take a page; return those of ``entries`` that it shows, with their rows."""
        sweep = self._sweep
        if sweep is None or ask.wanted is not sweep.wanted:
            return []
        sweep.outstanding -= 1
        rows = [(entry, row) for row in page.tasks if (entry := entries.get(row.task_id))]
        self._yields.learn(ask.number, sum(row.status.is_ended and not entry.is_ended for entry, row in rows), now)
        for entry, row in rows:
            sweep.unseen.pop(row.task_id, None)
            entry.misses = 0
            self._margins.learn(entry, row)
        sweep.found += len(rows)
        if ask.number == 1:
            self._plan(sweep, page)
        elif page.next_page is not None and ask.number == sweep.pages and sweep.pages < MAX_PAGES:
            sweep.pages += 1
            sweep.todo.append(sweep.pages)
        self._space(sweep)
        if not sweep.unseen:
            sweep.todo.clear()
        if self._sweep is sweep and not sweep.todo and sweep.outstanding == 0:
            self._end(now)
        return rows

    def _plan(self, sweep: _Sweep, page: TaskPage) -> None:
        """Lay the other pages out over the cycle, or give up when they are too many."""
        total = page.total if page.total is not None else len(page.tasks)
        self._foreign = max(0.0, total - len(sweep.unseen) - sweep.found) / sweep.window
        if page.next_page is None:
            return
        # The page size granted may be smaller than asked for, so count in pages of the size seen.
        self._size = max(1, len(page.tasks))
        sweep.pages = max(2, min(MAX_PAGES, math.ceil(total / self._size)))
        if sweep.pages - 1 > len(sweep.unseen):
            self._give_up(sweep, now=self._began)
            return
        sweep.todo.extend(range(2, sweep.pages + 1))

    def _space(self, sweep: _Sweep) -> None:
        # Spread, because what each page shows to be finished is fetched at once: one burst would queue.
        sweep.next_page = sweep.asked + self.seconds(self._cycle) / sweep.pages

    def failed(self, ask: Page, now: float) -> None:
        """Take the failure of a page: it is asked for again, some times."""
        sweep = self._sweep
        if sweep is None or ask.wanted is not sweep.wanted:
            return
        sweep.outstanding -= 1
        sweep.failures += 1
        if sweep.failures <= 2:
            sweep.todo.appendleft(ask.number)
            sweep.next_page = now + self._rng.uniform(0.5, 1.0)
            return
        self._repose()
        self._give_up(sweep, now)

    def forget(self, task_id: str) -> None:
        """Let a task go."""
        if self._sweep is not None:
            self._sweep.unseen.pop(task_id, None)

    def clear(self) -> None:
        """Drop the sweep under way."""
        self._sweep = None

    def _give_up(self, sweep: _Sweep, now: float) -> None:
        self._sweep = None
        self._singly(sweep.unseen.values(), now)

    def _end(self, now: float) -> None:
        sweep, self._sweep = self._sweep, None
        if sweep is None:
            return
        if sweep.found:
            self._fruitless = 0
        elif sweep.unseen:
            # Not one of ours: the list's clock or region is another one than assumed.
            self._repose()
        late = []
        for entry in sweep.unseen.values():
            entry.misses += 1
            self._margins.widen()
            if entry.misses >= MISSES_ALLOWED or self._rest:
                late.append(entry)
            # Else the list may lag behind; the next sweep may show it.
        self._singly(late, now)

    def _repose(self) -> None:
        self._yields = Yields()
        self._fruitless += 1
        self._rest = min(LONGEST_REST, 2**self._fruitless)

    def _singly(self, entries: Iterable[Entry], now: float) -> None:
        for entry in entries:
            self._put_off(entry, now + entry.interval * self._rng.random())


class _Margins:
    """How far the list's times are from ours, learnt from the rows."""

    def __init__(self) -> None:
        self.widen()

    def widen(self) -> None:
        self._seen = 0
        self._least = self._most = 0.0
        self.before = self.after = WIDEST_MARGIN

    def learn(self, entry: Entry, row: VideoTask) -> None:
        if row.submitted_at is None:
            return
        off = row.submitted_at.timestamp() - entry.submitted
        self._seen += 1
        self._least, self._most = min(self._least, off), max(self._most, off)
        if self._seen >= 20:
            self.before = min(WIDEST_MARGIN, NARROWEST_MARGIN - self._least)
            self.after = min(WIDEST_MARGIN, NARROWEST_MARGIN + self._most)
