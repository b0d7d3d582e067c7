"""What the shared poller asks next: pure decisions over the waiters, the clock and the answers.

Times are seconds of any clock that only moves forward; the driver in ``polling`` owns the I/O. The parts: ``pace``
(how fast), ``sweeps`` (the task list), ``runtimes`` (what is learnt); here is who is asked, and when.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from datetime import datetime

from airflow_provider_wan.client.asks import Ask, Entry, Page, Query
from airflow_provider_wan.client.errors import WanAuthError, WanError, WanQuotaError, WanRequestError
from airflow_provider_wan.client.pace import Pace
from airflow_provider_wan.client.runtimes import LONGEST, Queues, Runtimes
from airflow_provider_wan.client.sweeps import MISSES_ALLOWED, Sweeps
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import TaskPage

TYPICAL_LEAST = 60.0
"""Seconds: the vendors speak of one to five minutes; believed until something is learnt."""

COLD_INTERVALS = 4
COLD_INTERVALS_LISTED = 2
"""But the first look comes after so many intervals at most, earlier where the list makes it cheap."""

CYCLE = 0.9
"""Intervals from one sweep to the next: the results that it finds take some time of their own to fetch."""

PROBE_CYCLES = 16
"""Sweeps after which tasks that the list did not show are looked for in it again."""

GUEST_TURNS = 3
"""Of the requests, one in so many is a guest's while there are both guests and tasks to ask for."""

QUEUE_CAUTION = 0.7
"""Fraction of the expected time in the vendor's queue after which a task is looked at again."""

__all__ = ["Ask", "Page", "Query", "Schedule"]


class Schedule:
    """Decides, for one account, which query or list page is asked next and when.

    :param rate: requests per second the account may make; requests are spaced by its inverse.
    :param can_list: whether the vendor's list tells time and model of each task.
    :param rng: source of jitter.
    """

    def __init__(self, rate: float, can_list: bool, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._pace = Pace(rate, self._rng)
        self._sweeps = Sweeps(self._put_off, self._rng) if can_list else None
        self._runtimes = Runtimes()
        self._queues = Queues()
        self._entries: dict[str, Entry] = {}
        self._asked: set[str] = set()
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = 0
        self._urgent: deque[Entry] = deque()
        self._results: deque[Entry] = deque()
        self._guests: dict[Ask, None] = {}
        self._turn = 0
        self._next_cycle = math.inf
        self._cycles = 0

    def __len__(self) -> int:
        return len(self._entries)

    # -- waiters --------------------------------------------------------------------------------------

    def add(self, handle: TaskHandle, interval: float, profile: str, now: float, age: float = 0.0) -> None:
        """Take a task in; it is asked no sooner than one ``interval`` from now.

        :param profile: what tasks of the same kind share (model, tier, length), to learn how long they take.
        :param age: seconds since its submission.
        """
        known = self._entries.get(handle.task_id)
        if known is not None:
            # Another waiter; the more impatient one sets the pace.
            known.interval = min(known.interval, interval)
            self._put_off(known, min(known.due, now + interval))
            return
        entry = Entry(handle, interval, profile, not_before=now + interval, made=now - age, due=now)
        self._entries[handle.task_id] = entry
        # Spread, because after a restart everybody comes at once.
        self._put_off(entry, now + max(interval, self._least(entry) - age) + self._rng.uniform(0.0, interval))
        self._next_cycle = min(self._next_cycle, now + interval)

    def _least(self, entry: Entry) -> float:
        """Return the seconds such a task runs at least."""
        learnt = self._runtimes.least(entry.profile)
        if learnt is not None:
            return learnt
        is_listed = self._sweeps is not None and len(self._entries) > 2
        intervals = COLD_INTERVALS_LISTED if is_listed else COLD_INTERVALS
        return max(0.0, min(TYPICAL_LEAST, intervals * entry.interval) - 0.5 * entry.interval)

    def remove(self, task_id: str) -> None:
        """Let a task go."""
        entry = self._entries.pop(task_id, None)
        if entry is None:
            return
        self._see_queued(entry, False)
        if self._sweeps:
            self._sweeps.forget(task_id)
        if not self._entries:
            self._heap.clear()
            self._urgent.clear()
            self._results.clear()
            self._next_cycle = math.inf
            if self._sweeps:
                self._sweeps.clear()

    def hurry(self, task_id: str) -> None:
        """Ask for a task as soon as the budget allows, and until it answers (its deadline has come)."""
        entry = self._entries.get(task_id)
        if entry is not None and not entry.is_urgent:
            entry.is_urgent = True
            self._urgent.append(entry)

    def take_guest(self, ask: Ask) -> None:
        """Take a request of somebody who does not wait for a task, to be made once within the same budget."""
        self._guests[ask] = None

    def drop_guest(self, ask: Ask) -> None:
        """Let a guest's request go that nobody waits for any more."""
        self._guests.pop(ask, None)

    # -- what next ------------------------------------------------------------------------------------

    def next(self, now: float) -> Ask | float:
        """Return what to ask at ``now``, or the seconds to wait until it is worth calling again."""
        if not self._entries and not self._guests:
            return math.inf
        wait = self._pace.wait(now)
        if wait > 0:
            return wait
        if now >= self._next_cycle:
            self._begin_cycle(now)
        ask = self._pick(now)
        if ask is None:
            return max(0.0, self._next_moment() - now)
        if isinstance(ask, Query):
            self._asked.add(ask.handle.task_id)
        self._pace.sent(now)
        return ask

    def _pick(self, now: float) -> Ask | None:
        """Take last looks first, then pages (few, and they tell of many), then results, then who is due longest."""
        if last_look := self._first_of(self._urgent):
            return Query(last_look.handle)
        if self._sweeps and self._sweeps.next_page() <= now:
            return self._sweeps.take_page()
        self._turn += 1
        if self._turn % GUEST_TURNS == 0 and (guest := self._next_guest()):
            return guest
        if result := self._first_of(self._results):
            return Query(result.handle)
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)[2]
            entry.queued = math.inf
            if not self._is_open(entry):
                # Its query is under way (the answer puts it back), or it has been let go.
                continue
            if entry.due <= now:
                return Query(entry.handle)
            self._push(entry)
        return self._next_guest()

    def _next_guest(self) -> Ask | None:
        ask = next(iter(self._guests), None)
        if ask is not None:
            del self._guests[ask]
        return ask

    def _first_of(self, line: deque[Entry]) -> Entry | None:
        while line:
            entry = line.popleft()
            if self._is_open(entry):
                return entry
        return None

    def _is_open(self, entry: Entry) -> bool:
        task_id = entry.handle.task_id
        return self._entries.get(task_id) is entry and task_id not in self._asked

    def _next_moment(self) -> float:
        due = self._heap[0][0] if self._heap else math.inf
        return min(due, self._next_cycle, self._sweeps.next_page() if self._sweeps else math.inf)

    def _begin_cycle(self, now: float) -> None:
        cycle = CYCLE * min(entry.interval for entry in self._entries.values())
        self._next_cycle = now + cycle
        if self._sweeps is None:
            return
        if self._sweeps.is_under_way:
            # It is late; the next one follows at its heels.
            self._next_cycle = now + cycle / 20
            return
        if len(self._results) * self._pace.spacing > cycle:
            # Known results wait for the budget already; to know of more helps nobody.
            return
        soon = now + cycle
        ripe = [
            entry
            for task_id, entry in self._entries.items()
            if entry.due <= soon and not entry.is_ended and task_id not in self._asked and self._may_show(entry)
        ]
        self._cycles += 1
        self._sweeps.begin(ripe, now, cycle)

    def _may_show(self, entry: Entry) -> bool:
        """Whether the list can be expected to show a task; one that it did not show gets another chance at times."""
        return entry.misses < MISSES_ALLOWED or self._cycles % PROBE_CYCLES == 0

    # -- answers --------------------------------------------------------------------------------------

    def answered(self, ask: Ask, answer: VideoTask | TaskPage, now: float) -> None:
        """Take the answer to ``ask``."""
        self._pace.answered()
        if isinstance(ask, Page):
            if self._sweeps and isinstance(answer, TaskPage):
                for shown, row in self._sweeps.answered(ask, answer, self._entries, now):
                    self._take_row(shown, row, now)
            return
        self._asked.discard(ask.handle.task_id)
        entry = self._entries.get(ask.handle.task_id)
        if entry is None or not isinstance(answer, VideoTask):
            return
        entry.is_ended = entry.is_urgent = False
        entry.failures = 0
        if answer.status.is_ended:
            self._learn(entry, answer, now)
            self._see_queued(entry, False)
            self._put_off(entry, now + entry.interval)
        else:
            self._put_off(entry, self._next_look(entry, answer, now))

    def failed(self, ask: Ask, error: WanError, now: float) -> None:
        """Take a failure of ``ask``: a throttled or troubled vendor slows the whole account."""
        if isinstance(error, WanQuotaError):
            self._pace.throttled(error.retry_after, now)
        elif isinstance(error, WanRequestError):
            # An answer all the same: this task is not known, nothing is wrong with the account.
            self._pace.answered()
        else:
            self._pace.troubled(now, isinstance(error, WanAuthError))
        if isinstance(ask, Page):
            if self._sweeps:
                self._sweeps.failed(ask, now)
            return
        self._asked.discard(ask.handle.task_id)
        entry = self._entries.get(ask.handle.task_id)
        if entry is None:
            return
        entry.failures += 1
        pause = entry.interval
        if entry.is_ended or entry.is_urgent:
            pause = min(pause, 2.0 ** min(entry.failures, 6))
        self._put_off(entry, now + pause * self._rng.uniform(0.5, 1.0))

    def _take_row(self, entry: Entry, row: VideoTask, now: float) -> None:
        """Take what a sweep shows of one task."""
        if row.status.is_ended:
            if entry.is_ended:
                return
            entry.is_ended = True
            if now >= entry.not_before:
                # The time below only matters if the query is lost on its way.
                self._put_off(entry, now + entry.interval)
                self._results.append(entry)
            else:
                self._put_off(entry, entry.not_before)
        elif row.status is not TaskStatus.UNKNOWN:
            self._put_off(entry, self._next_look(entry, row, now))

    def _next_look(self, entry: Entry, task: VideoTask, now: float) -> float:
        """Return when a task that has not ended is worth another look."""
        entry.looked = now
        wait = entry.interval
        if task.status is TaskStatus.PENDING:
            # It has its whole run before it, and whoever is ahead of it in the queue.
            entry.starts = now
            self._see_queued(entry, True)
            expected = self._queues.expected(entry.handle.model, entry.submitted, now)
            wait = max(wait, min(LONGEST, QUEUE_CAUTION * expected))
        else:
            self._see_queued(entry, False)
            if task.started_at and task.submitted_at:
                entry.starts = max(entry.starts, entry.made + _seconds(task.submitted_at, task.started_at))
        return max(now + wait, min(now + LONGEST, entry.starts + self._least(entry)))

    def _see_queued(self, entry: Entry, is_queued: bool) -> None:
        if is_queued != bool(entry.is_queued_there):
            move = self._queues.join if is_queued else self._queues.leave
            move(entry.handle.model, entry.submitted)
        entry.is_queued_there = is_queued

    def _learn(self, entry: Entry, task: VideoTask, now: float) -> None:
        self._queues.ended(entry.handle.model, now)
        if task.status is not TaskStatus.SUCCEEDED:
            return
        was_queued = entry.is_queued_there is not None
        began = task.started_at or (None if was_queued else task.submitted_at)
        if began is not None and task.finished_at is not None:
            self._runtimes.learn(entry.profile, _seconds(began, task.finished_at))
        elif entry.looked is not None:
            # The vendor tells no times: it ended between the last two looks.
            self._runtimes.learn(entry.profile, (entry.looked + now) / 2 - entry.starts)

    # -- the line -------------------------------------------------------------------------------------

    def _put_off(self, entry: Entry, due: float) -> None:
        due = entry.due = max(due, entry.not_before)
        # One that stands in the heap too early is put right when its turn comes, so that places do not pile up.
        if due < entry.queued:
            self._push(entry)

    def _push(self, entry: Entry) -> None:
        self._order += 1
        entry.queued = entry.due
        heapq.heappush(self._heap, (entry.due, self._order, entry))


def _seconds(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()
