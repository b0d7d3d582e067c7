"""What the vendor's task list says about a submission whose answer was lost: pure, shared by both ways to read it.

Paying twice is worse than asking a person: whatever the list leaves open is said so, never taken for "no task".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_provider_wan.client.recovery.traits import Traits, traits_shown
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskPage

MOST_PAGES = 60
MOST_KNOWN = 5000
"""Finished tasks whose traits are kept: about 2 MB."""

DATE_GRAIN = timedelta(seconds=2)
"""A vendor's clock is given in whole seconds, and servers write that down once a second."""

NOT_BILLED = (TaskStatus.FAILED, TaskStatus.CANCELLED)


@dataclass(frozen=True)
class Timing:
    """How far the list is trusted.

    :param late: how long after its lost answer a task may still appear in the list.
    :param look_again: seconds until the next look.
    :param clock_margin: doubt about the clocks when the answer named the vendor's; the intent may have been
        written by another worker than this one.
    :param unknown_clock_margin: doubt about the clocks otherwise.
    """

    late: timedelta = timedelta(seconds=60)
    look_again: float = 20.0
    clock_margin: timedelta = timedelta(minutes=2)
    unknown_clock_margin: timedelta = timedelta(minutes=10)

    def to_seconds(self) -> list[float]:
        """Return the values in order, in seconds."""
        margins = (self.clock_margin.total_seconds(), self.unknown_clock_margin.total_seconds())
        return [self.late.total_seconds(), self.look_again, *margins]

    @classmethod
    def of_seconds(cls, values: Iterable[float]) -> Timing:
        """Take what ``to_seconds`` returned."""
        late, look_again, margin, unknown_margin = values
        return cls(timedelta(seconds=late), look_again, timedelta(seconds=margin), timedelta(seconds=unknown_margin))


TIMING = Timing()


def timing_in_force() -> Timing:
    """Return the trust that a search begins with."""
    return TIMING


@dataclass(frozen=True)
class Sought:
    """What to look for; holds no prompt, so that it may stand in a trigger's kwargs.

    :param intent_at: when the POST was about to be sent.
    :param until: after this moment no POST was begun: when its answer was lost, if known.
    :param request_id: the vendor's id of the exchange, when the broken answer carried it.
    :param not_ours: ids of tasks that are known to be others'.
    :param clock_offset: seconds by which the vendor's clock was ahead of that by which the moments were read.
    :param owner: names the task instance that looks, among those that wait for tasks.
    """

    mode: Mode
    model: str
    traits: Traits
    intent_at: datetime
    until: datetime
    request_id: str | None = None
    not_ours: frozenset[str] = frozenset()
    timing: Timing = field(default_factory=Timing)
    clock_offset: float | None = None
    owner: str = ""

    @property
    def offset(self) -> timedelta | None:
        """How far the vendor's clock was ahead, when that is known."""
        return None if self.clock_offset is None else timedelta(seconds=self.clock_offset)

    def is_sure(self, read_at: datetime, served_at: datetime | None) -> bool:
        """Whether a list that does not show the task proves that there is none.

        :param read_at: when it was read, by the reader's clock.
        :param served_at: the same, by the vendor's: what counts where that of the intent is known too.
        """
        if self.offset is not None and served_at is not None:
            return served_at >= self.sure_from + self.offset
        return read_at >= self.sure_from

    @property
    def sure_from(self) -> datetime:
        """From when on a list that does not show the task proves that there is none."""
        return self.until + self.timing.late

    def handle_of(self, row: VideoTask) -> TaskHandle:
        """Return the handle of a row, if it is this one."""
        return TaskHandle(
            vendor=row.vendor,
            task_id=row.task_id,
            mode=self.mode,
            model=self.model,
            submitted_at=row.submitted_at or self.intent_at,
            request_id=row.request_id,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        known = {"clock_offset": self.clock_offset, "owner": self.owner or None}
        return {
            "mode": str(self.mode),
            "model": self.model,
            "traits": list(self.traits),
            "intent_at": self.intent_at.isoformat(),
            "until": self.until.isoformat(),
            "request_id": self.request_id,
            "not_ours": sorted(self.not_ours),
            "timing": self.timing.to_seconds(),
            **{name: value for name, value in known.items() if value is not None},
        }

    @classmethod
    def of(cls, value: dict[str, Any]) -> Sought:
        """Take what ``to_dict`` returned."""
        return cls(
            mode=Mode(value["mode"]),
            model=value["model"],
            traits=Traits(*value["traits"]),
            intent_at=datetime.fromisoformat(value["intent_at"]),
            until=datetime.fromisoformat(value["until"]),
            request_id=value["request_id"],
            not_ours=frozenset(value["not_ours"]),
            timing=Timing.of_seconds(value["timing"]),
            clock_offset=value.get("clock_offset"),
            owner=value.get("owner", ""),
        )


class Reading:
    """One reading of the list, newest first, as far back as one of some searches needs.

    The list is read without a window or a model: the zone of its window is not documented, nor the name by
    which it knows a model that has snapshots. The rows' own times are absolute.
    """

    def __init__(self, searches: Iterable[Sought]) -> None:
        self._searches = list(searches)
        self.read_at = utc_now()
        """Comparing can take minutes; what the list proves, it proves for the moment at which it was read."""
        self.rows: list[VideoTask] = []
        self.next_page: int | None = 1
        self.served_at: datetime | None = None
        """``read_at``, by the vendor's clock."""
        self._seen: set[str] = set()
        self._skew: timedelta | None = None
        self._is_sorted = True
        self._oldest: datetime | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether the list goes on beyond what is read of it."""
        return self.next_page is not None and self.next_page > MOST_PAGES

    def pages(self) -> Iterator[int]:
        """Yield the numbers of the pages to read, each to be handed to ``take``."""
        while self.next_page is not None and not self.is_too_long:
            yield self.next_page

    def take(self, page: TaskPage) -> None:
        """Take the next page."""
        if page.served_at is not None:
            self._skew = page.served_at - utc_now()
            self.served_at = self.served_at or page.served_at
        # What others submit between two pages moves rows on to the next one, where they stand again.
        rows = [row for row in page.tasks if row.task_id not in self._seen]
        self._seen.update(row.task_id for row in rows)
        self.rows.extend(rows)
        self.next_page = page.next_page
        for row in rows:
            # An order that is not the expected one, or not shown, lets no conclusion be drawn.
            is_in_order = row.submitted_at and (self._oldest is None or row.submitted_at <= self._oldest)
            self._is_sorted = self._is_sorted and bool(is_in_order)
            self._oldest = row.submitted_at
        start = min(self._span(sought)[0] for sought in self._searches)
        if self._is_sorted and self._oldest is not None and self._oldest < start:
            # The list, newest first, has come to tasks that are too old.
            self.next_page = None

    def covers(self, sought: Sought) -> bool:
        """Whether it reaches back to where the task may be."""
        is_beyond = self._is_sorted and self._oldest is not None and self._oldest < self._span(sought)[0]
        return is_beyond or not self.is_too_long

    def _span(self, sought: Sought) -> tuple[datetime, datetime]:
        """Return between which moments, by the vendor's clock, the task must have been made."""
        timing = sought.timing
        # Our own clock says little of one by which another worker wrote the intent.
        margin = timing.unknown_clock_margin if sought.offset is None else timing.clock_margin
        off = self._skew or timedelta(0) if sought.offset is None else sought.offset
        margin += DATE_GRAIN
        return sought.intent_at + off - margin, sought.until + off + margin + timing.late

    def possible(self, sought: Sought) -> list[VideoTask]:
        """Return the rows that may be the one; what a row does not show speaks for it."""
        start, end = self._span(sought)
        return [
            row
            for row in self.rows
            if row.task_id not in sought.not_ours
            and row.status not in NOT_BILLED
            and _is_model(row.model or "", sought.model)
            and (row.submitted_at is None or start <= row.submitted_at <= end)
        ]

    def named(self, sought: Sought) -> VideoTask | None:
        """Return the row that the broken answer named."""
        if not sought.request_id:
            return None
        return next((row for row in self.rows if row.request_id == sought.request_id), None)


@dataclass(frozen=True)
class ReadPage:
    """Fetch a page of the task list, and send it."""

    number: int


@dataclass(frozen=True)
class ReadTasks:
    """Query these finished tasks, and note them in the catalogue; there may be none of them."""

    handles: tuple[TaskHandle, ...]


def read_list(
    searches: list[Sought], catalogue: Catalogue, reading: Reading | None = None
) -> Generator[ReadPage | ReadTasks, TaskPage | None, Reading]:
    """Read the list for some searches: yields what to ask, is sent the pages, returns the reading.

    Carried out by a worker, one ask after the other, and by the shared poller, many at once.

    :param reading: of the list, where a recent one is good enough; then only tasks are asked for.
    """
    if reading is None:
        reading = Reading(searches)
        for number in reading.pages():
            page = yield ReadPage(number)
            if page is not None:
                reading.take(page)
    asked: set[str] = set()
    for sought in searches:
        rows = [row for row in catalogue.unread(reading.possible(sought)) if row.task_id not in asked]
        asked.update(row.task_id for row in rows)
        # Also when there are none: whoever carries it out has others to serve in between.
        yield ReadTasks(tuple(map(sought.handle_of, rows)))
    return reading


def _is_model(known: str, model: str) -> bool:
    return known.startswith(model) or model.startswith(known)


class Catalogue:
    """The traits of finished tasks of one account: what was read once is not read again."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, Traits] = OrderedDict()

    def note(self, task: VideoTask) -> None:
        """Keep what a finished task shows of itself; the oldest is forgotten."""
        if task.status is not TaskStatus.SUCCEEDED:
            return
        self._shown[task.task_id] = traits_shown(task)
        if len(self._shown) > MOST_KNOWN:
            self._shown.popitem(last=False)

    def unread(self, rows: Iterable[VideoTask]) -> list[VideoTask]:
        """Return those of finished ``rows`` of which nothing is known."""
        return [row for row in rows if row.status.is_ended and row.task_id not in self._shown]

    def alike(self, rows: Iterable[VideoTask], sought: Sought) -> list[VideoTask]:
        """Return those of ``rows`` that may be the one."""
        none = Traits()
        return [row for row in rows if sought.traits.may_be(self._shown.get(row.task_id, none))]


@dataclass(frozen=True)
class Clue:
    """What a search came to: rows that may be the task, or why it cannot be said.

    :param intent_at: of which submission.
    :param read_at: when the list was read that shows no other one.
    :param served_at: the same moment, by the vendor's clock.
    :param rows: what is left after comparing traits; the prompts decide.
    :param is_named: the one row is that of the broken answer's request id.
    :param why: what was in the way when the time was over; then the rest says nothing.
    """

    intent_at: datetime
    read_at: datetime
    rows: tuple[VideoTask, ...] = ()
    is_named: bool = False
    why: str = ""
    served_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "intent_at": self.intent_at.isoformat(),
            "served_at": self.served_at.isoformat() if self.served_at else None,
            "read_at": self.read_at.isoformat(),
            "rows": [row.to_event() for row in self.rows],
            "is_named": self.is_named,
            "why": self.why,
        }

    @classmethod
    def of(cls, value: dict[str, Any]) -> Clue:
        """Take what ``to_dict`` returned."""
        return cls(
            intent_at=datetime.fromisoformat(value["intent_at"]),
            read_at=datetime.fromisoformat(value["read_at"]),
            rows=tuple(VideoTask.model_validate(row) for row in value["rows"]),
            is_named=value["is_named"],
            why=value["why"],
            served_at=datetime.fromisoformat(value["served_at"]) if value.get("served_at") else None,
        )


@dataclass(frozen=True)
class Open:
    """A search that has to go on.

    :param unread: finished tasks that have to be read before it can end.
    :param seconds: until a new reading can say more; 0 when reading those is enough.
    """

    kind: Literal["new", "trouble", "running", "unread", "late"]
    why: str
    unread: tuple[VideoTask, ...] = ()
    seconds: float = 0.0


def judge(sought: Sought, reading: Reading, catalogue: Catalogue) -> Clue | Open:
    """Say what a complete reading shows of one search."""
    named = reading.named(sought)
    if named is not None:
        return Clue(sought.intent_at, reading.read_at, (named,), is_named=True)
    if not reading.covers(sought):
        why = "The account's task list is too long to find the lost submission in it"
        return Clue(sought.intent_at, reading.read_at, why=why)
    possible = reading.possible(sought)
    unread = tuple(catalogue.unread(possible))
    if running := sum(not row.status.is_ended for row in possible):
        return Open(
            "running",
            f"{running} task(s) of {sought.model} from the time of the lost submission are still running; "
            "the vendor shows their prompts when they have finished",
            unread,
            sought.timing.look_again,
        )
    if unread:
        return Open("unread", f"{len(unread)} task(s) from the time of the lost submission are yet to be read", unread)
    alike = catalogue.alike(possible, sought)
    if not alike and not sought.is_sure(reading.read_at, reading.served_at):
        return Open(
            "late",
            "The task of the lost submission is not in the task list; it may appear a moment late",
            seconds=seconds_to_sure(sought, reading.read_at, reading.served_at),
        )
    return Clue(sought.intent_at, reading.read_at, tuple(alike), served_at=reading.served_at)


def seconds_to_sure(sought: Sought, read_at: datetime, served_at: datetime | None) -> float:
    """Return the seconds until a list that does not show the task is a proof; see :meth:`Sought.is_sure`."""
    left = sought.sure_from - read_at
    if sought.offset is not None and served_at is not None:
        left = sought.sure_from + sought.offset - served_at
    left -= utc_now() - read_at
    return max(0.0, left.total_seconds()) + min(1.0, sought.timing.look_again)
