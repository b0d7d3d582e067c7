"""What the shared poller asks next: pure decisions over the waiters, the clock and the answers.

Times are seconds of any clock that only moves forward; the driver in ``polling`` owns the I/O.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from airflow_provider_wan.client.errors import WanError, WanQuotaError
from airflow_provider_wan.client.runtimes import Runtimes
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

PAGE_SIZE = 100
MAX_IN_FLIGHT = 12
"""Below the client's 16 connections: httpx degrades when requests queue on its pool."""

LIST_MARGIN = timedelta(minutes=5)
LIST_SPAN = timedelta(hours=24)
PROBE_CYCLES = 20
"""Cycles after which a list that was too long or did not know our tasks is tried again."""


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


@dataclass
class _Entry:
    handle: TaskHandle
    interval: float
    profile: str
    not_before: float
    due: float
    asked: bool = False
    is_finished: bool = False
    misses: int = 0


@dataclass
class _Sweep:
    wanted: TaskFilter
    waiting_for: set[str]
    todo: deque[int] = field(default_factory=lambda: deque([1]))
    outstanding: int = 0
    pages: int | None = None
    found: int = 0


class Schedule:
    """Decides, for one account, which query or list page is asked next and when.

    :param rate: requests per second the account may make; requests are spaced by its inverse.
    :param can_list: whether the vendor's list tells time and model of each task.
    :param rng: source of jitter.
    """

    def __init__(self, rate: float, can_list: bool, rng: random.Random | None = None) -> None:
        self._spacing = 1.0 / rate
        self._can_list = can_list
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = 0
        self._urgent: deque[str] = deque()
        self._in_flight = 0
        self._next_request = 0.0
        self._blocked_until = 0.0
        self._throttles = 0
        self._troubles = 0
        self._sweep: _Sweep | None = None
        self._next_cycle = math.inf
        self._skip_cycles = 0
        self._pages = 1
        self.runtimes = Runtimes()

    def __len__(self) -> int:
        return len(self._entries)

    # -- waiters --------------------------------------------------------------------------------------

    def add(self, handle: TaskHandle, interval: float, profile: str, now: float, age: float = 0.0) -> None:
        """Take a task in; it is asked no sooner than one ``interval`` from now.

        :param profile: what tasks of the same kind share (model, tier, length), to learn how long they take.
        :param age: seconds since its submission.
        """
        if handle.task_id in self._entries:
            return
        first = max(interval, self.runtimes.least(profile) - age)
        due = now + first + self._rng.uniform(0.0, interval)
        entry = _Entry(handle, interval, profile, now + interval, due)
        self._entries[handle.task_id] = entry
        self._push(entry)
        if self._next_cycle == math.inf:
            self._next_cycle = now + interval

    def remove(self, task_id: str) -> None:
        """Let a task go."""
        self._entries.pop(task_id, None)
        if self._sweep:
            self._sweep.waiting_for.discard(task_id)
        if not self._entries:
            self._heap.clear()
            self._urgent.clear()
            self._sweep = None
            self._next_cycle = math.inf

    def hurry(self, task_id: str) -> None:
        """Ask for a task as soon as the budget allows (its deadline has come)."""
        if task_id in self._entries:
            self._urgent.appendleft(task_id)

    # -- what next ------------------------------------------------------------------------------------

    def next(self, now: float) -> Ask | float:
        """Return what to ask at ``now``, or the seconds to wait until it is worth calling again."""
        if self._in_flight >= MAX_IN_FLIGHT or not self._entries:
            return math.inf
        gate = max(self._next_request, self._blocked_until)
        if now < gate:
            return gate - now
        if now >= self._next_cycle:
            self._begin_cycle(now)
        ask = self._pick(now)
        if ask is None:
            return max(0.0, min(self._next_due(), self._next_cycle) - now)
        self._in_flight += 1
        self._next_request = now + self._spacing
        return ask

    def _pick(self, now: float) -> Ask | None:
        while self._urgent:
            entry = self._entries.get(self._urgent.popleft())
            if entry and not entry.asked:
                entry.asked = True
                return Query(entry.handle)
        if self._sweep and self._sweep.todo:
            self._sweep.outstanding += 1
            return Page(self._sweep.wanted, self._sweep.todo.popleft())
        while self._heap and self._heap[0][0] <= now:
            due, _, task_id = heapq.heappop(self._heap)
            entry = self._entries.get(task_id)
            if entry and entry.due == due and not entry.asked:
                entry.asked = True
                return Query(entry.handle)
        return None

    def _next_due(self) -> float:
        while self._heap:
            due, _, task_id = self._heap[0]
            entry = self._entries.get(task_id)
            if entry and entry.due == due and not entry.asked:
                return due
            heapq.heappop(self._heap)
        return math.inf

    def _begin_cycle(self, now: float) -> None:
        cycle = min(entry.interval for entry in self._entries.values())
        self._next_cycle = now + cycle
        if not self._can_list or self._sweep is not None:
            return
        if self._skip_cycles > 0:
            self._skip_cycles -= 1
            return
        due = {
            task_id
            for task_id, entry in self._entries.items()
            if entry.due <= now + cycle and not entry.asked and not entry.is_finished
        }
        if self._pages < len(due):
            self._sweep = _Sweep(self._filter(), due)

    def _filter(self) -> TaskFilter:
        handles = [entry.handle for entry in self._entries.values()]
        models = {handle.model for handle in handles}
        oldest = min(handle.submitted_at for handle in handles)
        since = max(oldest, datetime.now(UTC) - LIST_SPAN + 2 * LIST_MARGIN) - LIST_MARGIN
        return TaskFilter(since=since, model=models.pop() if len(models) == 1 else None, page_size=PAGE_SIZE)

    # -- answers --------------------------------------------------------------------------------------

    def answered(self, ask: Ask, answer: VideoTask | TaskPage, now: float) -> None:
        """Take the answer to ``ask``; the observer of single tasks is the driver's business."""
        self._in_flight -= 1
        self._throttles = self._troubles = 0
        if isinstance(ask, Query) and isinstance(answer, VideoTask):
            entry = self._entries.get(ask.handle.task_id)
            if entry:
                entry.asked = False
                entry.is_finished = False
                entry.misses = 0
                self._postpone(entry, now + entry.interval)
        elif isinstance(ask, Page) and isinstance(answer, TaskPage):
            self._take_page(ask, answer, now)

    def failed(self, ask: Ask, error: WanError, now: float) -> None:
        """Take a failure of ``ask``: a throttled or troubled vendor slows the whole account."""
        self._in_flight -= 1
        if isinstance(error, WanQuotaError):
            self._throttles += 1
            pause = error.retry_after if error.retry_after is not None else min(60.0, 2.0**self._throttles)
            self._blocked_until = max(self._blocked_until, now + pause)
        else:
            self._troubles += 1
            if self._troubles > 2:
                pause = min(10.0, 0.25 * 2.0 ** min(self._troubles - 2, 8))
                self._blocked_until = max(self._blocked_until, now + pause * self._rng.uniform(0.5, 1.0))
        if isinstance(ask, Query):
            entry = self._entries.get(ask.handle.task_id)
            if entry:
                entry.asked = False
                if entry.is_finished:
                    self._urgent.append(entry.handle.task_id)
                else:
                    self._postpone(entry, now + entry.interval * self._rng.uniform(0.5, 1.0))
        elif self._sweep is not None and ask.wanted is self._sweep.wanted:
            self._sweep.outstanding -= 1
            self._end_sweep(now, is_whole=False)

    def _take_page(self, ask: Page, page: TaskPage, now: float) -> None:
        sweep = self._sweep
        if sweep is None or ask.wanted is not sweep.wanted:
            return
        sweep.outstanding -= 1
        for row in page.tasks:
            entry = self._entries.get(row.task_id)
            if entry is None or row.task_id not in sweep.waiting_for:
                continue
            sweep.waiting_for.discard(row.task_id)
            sweep.found += 1
            entry.misses = 0
            self._take_row(entry, row, now)
        if sweep.pages is None:
            # The page size granted may be smaller than asked for, so count in pages of the size seen.
            sweep.pages = self._count(page)
            self._pages = sweep.pages
            if sweep.pages - 1 >= max(1, len(sweep.waiting_for)) and sweep.waiting_for:
                self._skip_cycles = PROBE_CYCLES
                self._end_sweep(now, is_whole=False)
                return
            sweep.todo.extend(range(2, sweep.pages + 1))
        if not sweep.waiting_for:
            sweep.todo.clear()
        if not sweep.todo and sweep.outstanding == 0:
            self._end_sweep(now, is_whole=True)

    def _count(self, page: TaskPage) -> int:
        if page.next_page is None:
            return 1
        if page.total is not None and page.tasks:
            return max(2, math.ceil(page.total / len(page.tasks)))
        return 2

    def _take_row(self, entry: _Entry, row: VideoTask, now: float) -> None:
        if row.status.is_ended:
            entry.is_finished = True
            if now >= entry.not_before:
                self._urgent.append(entry.handle.task_id)
            else:
                self._postpone(entry, entry.not_before)
        else:
            self._postpone(entry, now + 2 * entry.interval)

    def _end_sweep(self, now: float, is_whole: bool) -> None:
        sweep, self._sweep = self._sweep, None
        if sweep is None or not is_whole:
            return
        if sweep.found == 0 and sweep.waiting_for:
            # Not one of ours: the list's clock or region is another one than assumed. Ask singly for a while.
            self._skip_cycles = PROBE_CYCLES
        for task_id in sweep.waiting_for:
            entry = self._entries.get(task_id)
            if entry and not entry.asked:
                entry.misses += 1
                if entry.misses == 1:
                    # The list may lag behind; one more cycle before a query is spent on it.
                    self._postpone(entry, now + entry.interval * self._rng.uniform(1.0, 1.5))

    def _postpone(self, entry: _Entry, due: float) -> None:
        entry.due = due
        self._push(entry)

    def _push(self, entry: _Entry) -> None:
        self._order += 1
        heapq.heappush(self._heap, (entry.due, self._order, entry.handle.task_id))
