"""What the shared poller asks next: pure decisions over the waiters, the clock and the answers.

Times are seconds of any clock that only moves forward; the driver in ``polling`` owns the I/O. The parts: ``pace``
(how fast), ``sweeps`` (the task list), ``queues`` and ``runtimes`` (what is learnt), ``early`` (who may have been
refused); here is who is asked, and when.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque

from airflow_provider_wan.client.errors import WanAuthError, WanError, WanQuotaError, WanRequestError
from airflow_provider_wan.client.schedule.asks import Ask, Page, Query, Standing, Wait
from airflow_provider_wan.client.schedule.early import EarlyLooks
from airflow_provider_wan.client.schedule.pace import Pace
from airflow_provider_wan.client.schedule.queues import Queues
from airflow_provider_wan.client.schedule.runtimes import LONGEST, Runtimes
from airflow_provider_wan.client.schedule.sweeps import MISSES_ALLOWED, Sweeps
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors.base import TaskPage

CYCLE = 0.9
"""Intervals from one sweep to the next: the results that it finds take some time of their own to fetch."""

BUSY = 0.5
"""Seconds: while the known results take longer to fetch, no page is asked for. To know of more helps nobody."""

PROBE_CYCLES = 16
"""Sweeps after which tasks that the list did not show are looked for in it again."""

GUEST_TURNS = 3
"""Of the requests, one in so many is a guest's while there are both guests and tasks to ask for."""

FEW = 1
"""A lone task is simply looked at once an interval: a person waits for it, and it costs next to nothing."""

GRAIN = 1 / 60
"""Of an interval: times are kept so exactly."""

PATIENCE = 10_800.0
"""Seconds: what others tell of a queued task is believed no longer without a look at itself."""

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
        self._early = EarlyLooks()
        self._queues = Queues(self._rng)
        self._entries: dict[str, Wait] = {}
        self._asked: set[str] = set()
        self._heap: list[tuple[float, int, Wait]] = []
        self._order = 0
        self._urgent: deque[Wait] = deque()
        self._results: deque[Wait] = deque()
        self._guests: dict[Ask, None] = {}
        self._turn = 0
        self._most = 0
        """How many were waited for at a time since the last time that there was none."""
        self._next_cycle = math.inf
        self._cycles = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take_part(self, part: float) -> None:
        """Take this part of the account's rate: the other pollers of it, elsewhere, have the rest."""
        self._pace.take_part(part)

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
        entry = Wait(handle, interval, profile, not_before=now + interval, made=now - age, looked=now, due=now)
        # One that is older was looked at by whoever waited for it before.
        entry.is_early = age < interval and self._early.wants(profile)
        self._queues.join(entry)
        self._entries[handle.task_id] = entry
        was_few, self._most = self._most == FEW, max(self._most, len(self._entries))
        if was_few and self._most > FEW:
            # They are not alone any more.
            for other in self._entries.values():
                self._plan_first_look(other)
        self._plan_first_look(entry)
        if self._sweeps:
            self._next_cycle = min(self._next_cycle, now + interval)

    def _plan_first_look(self, entry: Wait) -> None:
        if entry.is_seen:
            return
        if entry.is_early:
            entry.may_end = entry.made
            self._put_off(entry, entry.not_before)
            return
        entry.may_end = entry.made + self._least(entry)
        # Spread, because after a restart everybody comes at once.
        spread = self._rng.uniform(0.0, entry.interval) if self._most > FEW else 0.0
        self._put_off(entry, max(entry.not_before, entry.may_end) + spread)

    def _suspect(self, entry: Wait) -> None:
        """After a refusal, look at those of the same kind that nobody has seen yet."""
        self._early.suspect(entry.profile)
        for other in self._entries.values():
            if other.profile == entry.profile and not (other.is_seen or other.is_early or other.is_ended):
                other.is_early = True
                self._plan_first_look(other)

    def _least(self, entry: Wait) -> float:
        """Return the seconds such a task runs at least."""
        if self._most <= FEW:
            return 0.0
        return self._runtimes.least(entry, is_cheap=self._sweeps is not None and len(self._entries) > 2)

    def remove(self, task_id: str) -> None:
        """Let a task go."""
        entry = self._entries.pop(task_id, None)
        if entry is None:
            return
        self._queues.leave(entry)
        if self._sweeps:
            self._sweeps.forget(task_id)
        if not self._entries:
            self._most = 0
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
        if self._sweeps and self._entries and now >= self._next_cycle:
            self._begin_cycle(self._sweeps, now)
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
        sweeps = self._sweeps if self._sweeps and self._sweeps.next_page() <= now else None
        if sweeps and len(self._results) * self._pace.spacing < BUSY:
            return sweeps.take_page(now)
        self._turn += 1
        if self._turn % GUEST_TURNS == 0 and (guest := self._next_guest()):
            return guest
        if result := self._first_of(self._results):
            return Query(result.handle)
        if sweeps:
            return sweeps.take_page(now)
        return self._pick_single(now) or self._next_guest()

    def _pick_single(self, now: float) -> Ask | None:
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)[2]
            entry.queued = math.inf
            if not self._is_open(entry):
                # Its query is under way (the answer puts it back), or it has been let go.
                continue
            if entry.due <= now and not self._is_behind_others(entry, now):
                return Query(entry.handle)
            self._push(entry)
            # A list shows the others anyway.
            probe = None if self._sweeps else self._queues.probe(entry, now)
            if probe and self._is_open(probe) and now >= probe.not_before:
                return Query(probe.handle)
        return None

    def _next_guest(self) -> Ask | None:
        ask = next(iter(self._guests), None)
        if ask is not None:
            del self._guests[ask]
        return ask

    def _is_behind_others(self, entry: Wait, now: float) -> bool:
        """Put a task off whose turn in the vendor's queue cannot have come, as far as others tell."""
        if entry.standing is not Standing.WAITING or (entry.is_early and not entry.is_seen):
            return False
        entry.may_end = self._may_end(entry, now)
        entry.due = max(entry.due, min(entry.may_end, entry.looked + PATIENCE))
        return entry.due > now

    def _first_of(self, line: deque[Wait]) -> Wait | None:
        while line:
            entry = line.popleft()
            if self._is_open(entry):
                return entry
        return None

    def _is_open(self, entry: Wait) -> bool:
        task_id = entry.handle.task_id
        return self._entries.get(task_id) is entry and task_id not in self._asked

    def _next_moment(self) -> float:
        due = self._heap[0][0] if self._heap else math.inf
        return min(due, self._next_cycle, self._sweeps.next_page() if self._sweeps else math.inf)

    def _begin_cycle(self, sweeps: Sweeps, now: float) -> None:
        cycle = CYCLE * min(entry.interval for entry in self._entries.values())
        if sweeps.is_under_way:
            # It is late; the next one follows at its heels.
            self._next_cycle = now + cycle / 20
            return
        self._next_cycle = now + sweeps.seconds(cycle)
        soon = now + cycle
        ripe = [
            entry
            for task_id, entry in self._entries.items()
            if entry.may_end <= soon and not entry.is_ended and task_id not in self._asked and self._may_show(entry)
        ]
        self._cycles += 1
        sweeps.begin(ripe, now, cycle)

    def _may_show(self, entry: Wait) -> bool:
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
                self._next_cycle = min(self._next_cycle, self._sweeps.next_sweep())
            return
        self._asked.discard(ask.handle.task_id)
        entry = self._entries.get(ask.handle.task_id)
        if entry is None or not isinstance(answer, VideoTask):
            return
        entry.is_ended = entry.is_urgent = False
        entry.failures = 0
        if answer.status.is_ended:
            if answer.status is TaskStatus.FAILED and not entry.is_seen and entry.is_early:
                self._suspect(entry)
            self._runtimes.learn(entry, answer, self._least(entry), now)
            self._see(entry, answer.status, now)
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

    def _take_row(self, entry: Wait, row: VideoTask, now: float) -> None:
        """Take what a sweep shows of one task."""
        if row.status.is_ended:
            if entry.is_ended:
                return
            entry.is_ended = True
            self._see(entry, row.status, now)
            if now >= entry.not_before:
                # The time below only matters if the query is lost on its way.
                self._put_off(entry, now + entry.interval)
                self._results.append(entry)
            else:
                self._put_off(entry, entry.not_before)
        elif row.status is not TaskStatus.UNKNOWN:
            self._put_off(entry, self._next_look(entry, row, now))

    def _next_look(self, entry: Wait, task: VideoTask, now: float) -> float:
        """Return when a task that has not ended is worth another look."""
        if task.status is TaskStatus.PENDING:
            # It has its whole run before it, and whoever is ahead of it in the queue.
            entry.starts = now
        elif task.started_at and task.submitted_at:
            entry.starts = max(entry.starts, entry.made + (task.started_at - task.submitted_at).total_seconds())
        entry.looked, entry.is_seen = now, True
        self._see(entry, task.status, now)
        entry.may_end = self._may_end(entry, now)
        return max(now + entry.interval, entry.may_end)

    def _see(self, entry: Wait, status: TaskStatus, now: float) -> None:
        """Take a task's state for what it tells of others."""
        for other in self._queues.see(entry, status, now):
            other.may_end = self._may_end(other, now)
            # A sweep that comes before spares the query.
            soonest = now + other.interval if self._sweeps else now
            due = max(soonest, other.may_end) + self._rng.uniform(0.0, other.interval)
            self._put_off(other, min(due, other.looked + PATIENCE))

    def _may_end(self, entry: Wait, now: float) -> float:
        return min(now + LONGEST, self._queues.begins(entry, now) + self._least(entry))

    # -- the line -------------------------------------------------------------------------------------

    def _put_off(self, entry: Wait, due: float) -> None:
        due = entry.due = max(due, entry.not_before)
        # One that stands in the heap too early is put right when its turn comes, so that places do not pile up.
        if due < entry.queued:
            self._push(entry)

    def _push(self, entry: Wait) -> None:
        self._order += 1
        # Rounded up, so that of thousands that are put off again and again, many cost one waking-up.
        grain = entry.interval * GRAIN
        entry.queued = max(entry.due, math.ceil(entry.due / grain) * grain)
        heapq.heappush(self._heap, (entry.queued, self._order, entry))
