"""Looking at many tasks at once through the vendor's task list, where that costs fewer requests.

A list shows states, not results, and it shows everything the account made in a window of time: other people's tasks
and our own finished ones too. A full sweep reads all of it. Where that is long, most sweeps ask for what has ended only
(the vendor's list takes a status); a full one comes at times to see that the list shows our tasks.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from airflow_provider_wan.client.schedule.asks import Page, Wait
from airflow_provider_wan.client.schedule.sweep import ENDS, Sweep
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

PAGE_SIZE = 100
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

FULL_EVERY = 8
"""Of the sweeps, one in so many is a full one."""

CHEAPER = 0.2
"""Of the pages of a full sweep, so many at most are worth a sweep by status, which finds ends less evenly."""

DEFECTS_ALLOWED = 2
"""Sweeps by status in a row that may fail before they are given up."""

WORTH = 10.0
"""Ends that a page is to bring, for it costs a request as each of them does: so fast sweeps follow one another."""


GAIN = 0.5
"""Weight of the latest page in what pages are expected to bring."""


class Sweeps:
    """Decides when to sweep, over which window, and what a sweep tells.

    :param put_off: sets the time at which an entry is worth a query of its own.
    """

    def __init__(self, put_off: Callable[[Wait, float], None], rng: random.Random) -> None:
        self._put_off = put_off
        self._rng = rng
        self._sweep: Sweep | None = None
        self._latest: Sweep | None = None
        self._size = PAGE_SIZE
        self._foreign = 0.0
        self._fruitless = 0
        self._rest = 0
        self._margins = _Margins()
        self._yields = Yields()
        self._ended: Counter[TaskStatus] | None = None
        """What the last sweep showed to have ended, by state."""
        self._until_full = 0
        self._defects = 0

    @property
    def is_under_way(self) -> bool:
        """Whether a sweep has begun and not ended."""
        return self._sweep is not None

    def seconds(self, cycle: float) -> float:
        """Return what a sweep is to take: a ``cycle``, or less where each page brings many ends."""
        return min(cycle, WORTH / max(self._yields.per_second, 1e-9))

    def next_sweep(self) -> float:
        """Return when the next sweep is to begin, by what the last one has shown."""
        return self._latest.began + self.seconds(self._latest.seconds) if self._latest else math.inf

    def begin(self, ripe: list[Wait], now: float, cycle: float, may_be_by_status: bool) -> None:
        """Begin a sweep for the ``ripe`` entries if it costs fewer requests than asking for each.

        :param cycle: seconds that it may take.
        :param may_be_by_status: whether it is enough to see what has ended.
        """
        self._foreign *= FORGETTING
        if self._rest > 0:
            self._rest -= 1
            return
        ripe.sort(key=lambda entry: entry.submitted)
        cheapest = self._first(ripe)
        if cheapest is None:
            return
        first, cost = cheapest
        chosen = ripe[first:]
        plan = self._by_status(chosen, cost) if may_be_by_status else None
        lists, shown, covered = plan or ([self._window(chosen)], chosen, chosen)
        self._until_full = self._until_full - 1 if plan else FULL_EVERY - 1
        self._sweep = self._latest = Sweep(lists, {entry.handle.task_id: entry for entry in shown}, now, cycle)
        self._yields.turn()
        # The sweep has a cycle to find them; queries in the meantime would be a waste. Thousands are not put off anew
        # with each sweep.
        longer = 1.0 if plan else 0.0
        for entry in covered:
            if entry.due < now + 1.2 * cycle:
                self._put_off(entry, now + cycle * (longer + self._rng.uniform(1.2, 1.8)))

    def _window(self, entries: list[Wait]) -> TaskFilter:
        models = {entry.handle.model for entry in entries}
        return TaskFilter(
            since=datetime.fromtimestamp(entries[0].submitted - self._margins.before, UTC),
            until=datetime.fromtimestamp(entries[-1].submitted + self._margins.after, UTC),
            model=models.pop() if len(models) == 1 else None,
            page_size=PAGE_SIZE,
        )

    def _by_status(self, chosen: list[Wait], cost: int) -> tuple[list[TaskFilter], list[Wait], list[Wait]] | None:
        """Return the lists of what has ended, if that is enough and much cheaper than a full sweep.

        With them comes a list of everything since the first task that no list has shown yet, and the tasks which that
        one should show, if it is cheaper than to ask for each; and all the tasks which the lists cover.
        """
        if self._until_full <= 0 or self._defects >= DEFECTS_ALLOWED or self._ended is None:
            return None
        whole = self._window(chosen)
        lists = [replace(whole, status=status) for status in ENDS]
        pages = sum(max(1, math.ceil(self._ended[status] / self._size)) for status in ENDS)
        newcomers = [entry for entry in chosen if not entry.is_listed]
        if newcomers:
            recent = chosen[chosen.index(newcomers[0]) :]
            more = math.ceil(self._rows(recent) / self._size)
            if more <= len(newcomers) * ADVANTAGE:
                lists.append(self._window(recent))
                pages += more
            else:
                chosen = [entry for entry in chosen if entry.is_listed]
                newcomers = []
        return (lists, newcomers, chosen) if pages <= CHEAPER * cost else None

    def _rows(self, entries: list[Wait]) -> float:
        """Return how many rows the list of everything has in the window of these."""
        seconds = entries[-1].submitted - entries[0].submitted + self._margins.before + self._margins.after
        return len(entries) + self._foreign * seconds

    def _first(self, ripe: list[Wait]) -> tuple[int, int] | None:
        """Return from which entry on (oldest first) a full sweep is cheapest, and what it costs.

        ``None`` when single queries are cheaper.
        """
        best: tuple[int, int] | None = None
        best_cost = len(ripe) * ADVANTAGE
        if not ripe:
            return None
        newest = ripe[-1].submitted + self._margins.before + self._margins.after
        for number, entry in enumerate(ripe):
            if number >= best_cost:
                break
            rows = len(ripe) - number + self._foreign * (newest - entry.submitted)
            cost = math.ceil(rows / self._size) + number
            if cost < best_cost:
                best, best_cost = (number, cost), cost
        return best

    def next_page(self) -> float:
        """Return when the next page is to be asked for; infinity when there is none."""
        return self._sweep.next_page if self._sweep and self._sweep.has_more else math.inf

    def take_page(self, now: float) -> Page:
        """Return the page that is due."""
        sweep = self._sweep
        if sweep is None:
            raise RuntimeError("no sweep is under way")
        page = sweep.take_page(now)
        self._space(sweep)
        return page

    def answered(
        self, ask: Page, page: TaskPage, entries: Mapping[str, Wait], now: float
    ) -> list[tuple[Wait, VideoTask]]:
        """Take a page; return those of ``entries`` that it shows, with their rows."""
        sweep = self._sweep
        reading = sweep.reading_of(ask) if sweep else None
        if sweep is None or reading is None:
            return []
        sweep.outstanding -= 1
        rows = [(entry, row) for row in page.tasks if (entry := entries.get(row.task_id))]
        for entry, row in rows:
            sweep.unseen.pop(row.task_id, None)
            entry.misses, entry.is_listed = 0, True
            self._margins.learn(entry, row)
        sweep.found += len(rows)
        self._yields.learn(ask.number, sum(row.status.is_ended and not entry.is_ended for entry, row in rows), now)
        if ask.wanted.status and any(row.status is not ask.wanted.status for row in page.tasks):
            # The vendor does not heed the status: each of these lists is the full one.
            self._defects = DEFECTS_ALLOWED
            self._sweep = None
            return rows
        sweep.answered(reading, ask, page)
        if ask.number == 1:
            self._measure(sweep, ask, page)
            if sweep.is_full and reading.pages - 1 > len(sweep.unseen):
                self._give_up(sweep, sweep.began)
                return rows
        self._space(sweep)
        if sweep.is_through:
            self._end(sweep, now)
        return rows

    def _measure(self, sweep: Sweep, ask: Page, page: TaskPage) -> None:
        """Learn from a first page how long the list is."""
        if page.next_page is not None:
            self._size = max(1, len(page.tasks))
        since, until = ask.wanted.since, ask.wanted.until
        if sweep.is_full and since and until:
            total = page.total if page.total is not None else len(page.tasks)
            self._foreign = max(0.0, total - len(sweep.unseen) - sweep.found) / (until - since).total_seconds()

    def _space(self, sweep: Sweep) -> None:
        # Spread, because what each page shows to be finished is fetched at once: one burst would queue.
        sweep.next_page = sweep.asked + self.seconds(sweep.seconds) / sweep.pages

    def failed(self, ask: Page, now: float) -> None:
        """Take the failure of a page: it is asked for again, some times."""
        sweep = self._sweep
        if sweep is None or sweep.reading_of(ask) is None:
            return
        if sweep.failed(ask):
            sweep.next_page = now + self._rng.uniform(0.5, 1.0)
        elif sweep.is_full:
            self._repose()
            self._give_up(sweep, now)
        else:
            # Before the list as such is doubted, a full sweep shows what it is good for.
            self._defects += 1
            self._until_full = 0
            self._sweep = None

    def forget(self, task_id: str) -> None:
        """Let a task go."""
        if self._sweep is not None:
            self._sweep.unseen.pop(task_id, None)

    def clear(self) -> None:
        """Drop the sweep under way."""
        self._sweep = None

    def _give_up(self, sweep: Sweep, now: float) -> None:
        self._sweep = None
        self._singly(sweep.unseen.values(), now)

    def _end(self, sweep: Sweep, now: float) -> None:
        """Take what a sweep has not shown."""
        self._sweep = None
        self._ended = sweep.ended
        if not sweep.is_full:
            self._defects = 0
        elif sweep.found:
            self._fruitless = 0
        elif sweep.unseen:
            # Not one of ours: the list's clock or region is another one than assumed.
            self._repose()
        late = []
        for entry in sweep.unseen.values():
            entry.misses += 1
            entry.is_listed = False
            self._margins.widen()
            if entry.misses >= MISSES_ALLOWED or self._rest:
                late.append(entry)
            # Else the list may lag behind; the next sweep may show it.
        self._singly(late, now)

    def _repose(self) -> None:
        self._yields = Yields()
        self._fruitless += 1
        self._rest = min(LONGEST_REST, 2**self._fruitless)

    def _singly(self, entries: Iterable[Wait], now: float) -> None:
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

    def learn(self, entry: Wait, row: VideoTask) -> None:
        if row.submitted_at is None:
            return
        off = row.submitted_at.timestamp() - entry.submitted
        self._seen += 1
        self._least, self._most = min(self._least, off), max(self._most, off)
        if self._seen >= 20:
            self.before = min(WIDEST_MARGIN, NARROWEST_MARGIN - self._least)
            self.after = min(WIDEST_MARGIN, NARROWEST_MARGIN + self._most)


class Yields:
    """How many ends a page of the vendor's list brings for each second since it was last looked at."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self._looked: dict[int, float] = {}
        self._none_before = -math.inf
        self._is_barren = self._was_barren = False

    def turn(self) -> None:
        """Note that a sweep begins."""
        self._was_barren, self._is_barren = self._is_barren, True

    def learn(self, number: int, ends: int, now: float) -> None:
        """Take what page ``number`` shows at ``now``."""
        since = max(self._looked.get(number, -math.inf), self._none_before)
        gain = GAIN
        if self._is_barren and self._was_barren:
            # Tasks that were made together end together: after whole sweeps without an end, the first ones are fresh.
            if ends:
                gain = 1.0
            else:
                self._none_before = now
        if ends:
            self._is_barren = False
        self._looked[number] = now
        if now > since:
            self.per_second += gain * (ends / (now - since) - self.per_second)
