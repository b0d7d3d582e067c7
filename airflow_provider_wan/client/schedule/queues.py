"""The tasks that a vendor has not begun yet: what the state of one tells of the others.

Vendors run a few tasks of an account at a time and keep the others, sometimes for hours. As long as they begin them in
the order of submission, one that is still queued speaks for all behind it, and each end lets the next one begin.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right, insort
from collections import deque
from operator import attrgetter, itemgetter

from airflow_provider_wan.client.schedule.asks import Place, Standing, Wait
from airflow_provider_wan.client.tasks import TaskStatus

REMEMBERED = 64
ENOUGH = 5
"""Ends before the queue's speed is concluded from them."""

SPREAD = 2.0
"""Standard deviations by which the queue may be faster than it was."""

DOUBTS_ALLOWED = 4
"""Tasks that were not found where the order has them; each one that was makes up for one."""

PROBING = 120.0
"""Seconds after which one task of the queue, any, is looked at all the same, to see whether the order holds."""

_place = attrgetter("place")
_at = itemgetter(0)


class Queues:
    """What is known of the vendor's queues, one for each model.

    :param rng: picks whom to look at when the order is put to the test.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lines: dict[str, _Line] = {}

    def join(self, entry: Wait) -> None:
        """Take a task in whose state is not known yet."""
        line = self._lines.setdefault(entry.handle.model, _Line())
        line.members += 1
        insort(line.waiting, entry, key=_place)

    def leave(self, entry: Wait) -> None:
        """Let a task go."""
        line = self._lines[entry.handle.model]
        line.move(entry, Standing.ENDED)
        line.members -= 1
        if line.members == 0:
            # What is learnt holds for this queue only: the next one may move at another speed.
            del self._lines[entry.handle.model]

    def see(self, entry: Wait, status: TaskStatus, now: float) -> list[Wait]:
        """Take the state of a task; return the others of which something new is known by that."""
        line = self._lines[entry.handle.model]
        if status is TaskStatus.PENDING:
            return line.see_queued(entry, now)
        others = line.see_begun(entry, now)
        return others + line.see_end(entry, now) if status.is_ended else others

    def begins(self, entry: Wait, now: float) -> float:
        """Return the earliest moment at which a task can have begun."""
        return self._lines[entry.handle.model].begins(entry, now)

    def probe(self, entry: Wait, now: float) -> Wait | None:
        """Return a task of the same queue to look at whatever is known of it; nothing, most of the time."""
        return self._lines[entry.handle.model].probe(self._rng, now)


class _Line:
    """The queue of one model."""

    def __init__(self) -> None:
        self.members = 0
        self.waiting: list[Wait] = []
        """Those that are not known to have begun, in order; from ``_front`` on they are known to have been queued."""
        self._guessed: list[Wait] = []
        """Those that ought to have begun, in order."""
        self._marks: list[tuple[Place, float]] = []
        """From this place on, all were queued at this time; both rise."""
        self._newest_begun: Place = (0.0, "")
        self._early: deque[float] = deque()
        """When tasks were seen begun before the end that had made room for them."""
        self._ends: deque[float] = deque(maxlen=REMEMBERED)
        self._doubts = 0
        self._is_shared = False
        """Whether others seem to have tasks in it, so that the ends of ours do not tell all."""
        self._next_probe = 0.0

    @property
    def _is_ordered(self) -> bool:
        return self._doubts < DOUBTS_ALLOWED

    def _front(self) -> int:
        return bisect_left(self.waiting, self._marks[0][0], key=_place) if self._marks else len(self.waiting)

    def _index(self, entry: Wait) -> int:
        return bisect_left(self.waiting, entry.place, key=_place)

    def move(self, entry: Wait, standing: Standing) -> None:
        """Give a task its new standing."""
        lists = {Standing.WAITING: self.waiting, Standing.GUESSED: self._guessed}
        if (left := lists.get(entry.standing)) is not None:
            del left[bisect_left(left, entry.place, key=_place)]
        entry.standing = standing
        if (joined := lists.get(standing)) is not None:
            insort(joined, entry, key=_place)

    # -- what is seen ---------------------------------------------------------------------------------

    def see_queued(self, entry: Wait, now: float) -> list[Wait]:
        """Note that it is queued, and so are all behind it."""
        wrong = self._guessed[bisect_left(self._guessed, entry.place, key=_place) :]
        for other in wrong:
            self.move(other, Standing.WAITING)
        self._is_shared |= bool(wrong)
        doubts = len(wrong)
        if entry.standing is Standing.WAITING and entry.place < self._newest_begun:
            # It does not keep to the order, so it tells nothing of the others.
            self.move(entry, Standing.BEGUN)
            doubts += 1
        elif entry.standing is Standing.WAITING:
            self._mark(entry.place, now)
        return self._doubt(doubts)

    def _doubt(self, doubts: int) -> list[Wait]:
        was_ordered = self._is_ordered
        # Not more, so that an order that shows is found again.
        self._doubts = min(2 * DOUBTS_ALLOWED, self._doubts + doubts)
        return list(self.waiting) if was_ordered and not self._is_ordered else []

    def see_begun(self, entry: Wait, now: float) -> list[Wait]:
        """Note that it has begun, and so have all before it."""
        if entry.standing not in (Standing.WAITING, Standing.GUESSED):
            return []
        passed = bisect_right(self._marks, entry.place, key=_at)
        if entry.standing is Standing.WAITING and passed:
            self._early.append(now)
        if entry.standing is Standing.GUESSED or passed:
            self._doubts = max(0, self._doubts - 1)
        self.move(entry, Standing.BEGUN)
        self._newest_begun = max(self._newest_begun, entry.place)
        if not passed:
            return []
        earlier = self.waiting[self._front() : self._index(entry)] if self._is_ordered else []
        for other in earlier:
            self._guess(other, self._queued_at(other))
        self._marks[:passed] = [(entry.place, self._marks[passed - 1][1])]
        return earlier

    def see_end(self, entry: Wait, now: float) -> list[Wait]:
        """Note that it has ended, which lets the next one begin."""
        if entry.standing is Standing.ENDED:
            return []
        self.move(entry, Standing.ENDED)
        front = self._front()
        if front == len(self.waiting):
            self._marks.clear()
            self._ends.clear()
            return []
        self._ends.append(now)
        if not self._is_ordered:
            return []
        while self._early:
            if now - self._early.popleft() < 2 * entry.interval:
                return []
            self._is_shared = True
        following = self.waiting[front]
        self._guess(following, max(self._queued_at(following), (entry.looked + now) / 2))
        if not self._is_shared:
            self._mark(following.place, following.starts)
        return [following]

    def _guess(self, entry: Wait, starts: float) -> None:
        self.move(entry, Standing.GUESSED)
        entry.starts = max(entry.starts, starts)

    def _mark(self, place: Place, moment: float) -> None:
        first = last = bisect_left(self._marks, place, key=_at)
        if first and self._marks[first - 1][1] >= moment:
            return
        while last < len(self._marks) and self._marks[last][1] <= moment:
            last += 1
        self._marks[first:last] = [(place, moment)]

    # -- what follows from it -------------------------------------------------------------------------

    def begins(self, entry: Wait, now: float) -> float:
        """Return the earliest moment at which it can have begun."""
        if entry.standing is not Standing.WAITING or not self._is_ordered:
            return entry.starts
        begins = max(entry.starts, self._queued_at(entry))
        ahead = self._index(entry) - self._front()
        if ahead <= 0:
            return begins
        fewest = max(0.0, ahead - SPREAD * math.sqrt(ahead))
        return max(begins, now + fewest * self._seconds_each(now))

    def _queued_at(self, entry: Wait) -> float:
        """Return when it was last known to be queued."""
        mark = bisect_right(self._marks, entry.place, key=_at)
        return self._marks[mark - 1][1] if mark else -math.inf

    def _seconds_each(self, now: float) -> float:
        return (now - self._ends[0]) / (len(self._ends) - 1) if len(self._ends) >= ENOUGH else 0.0

    def probe(self, rng: random.Random, now: float) -> Wait | None:
        """Return one of the queue, any, when it is time for that."""
        front = self._front()
        if now < self._next_probe or front == len(self.waiting):
            return None
        self._next_probe = now + PROBING
        return self.waiting[rng.randrange(front, len(self.waiting))]
