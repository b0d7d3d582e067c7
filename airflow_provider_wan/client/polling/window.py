"""Waiting for a window of tasks, and looking for lost ones: until enough is known to be worth a worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow_provider_wan.client.polling.poller import Poller
from airflow_provider_wan.client.polling.times import LINGER_SECONDS as LINGER_SECONDS
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.recovery.search import Clue, Sought
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now

LONGEST_LINGER = 300.0
LINGER_PER_ITEM = 0.1
"""A worker that is woken passes over all items, so that the more there are, the more company an ending waits for."""

SETTLE_SECONDS = 2.0
LONGEST_SETTLE = 15.0
"""How quiet it has to become before those that ended are handed on."""

FAILURES_TOLD = 20
"""Of one wait."""

MOST_ENDINGS = 200
"""Endings in one event, which is kept in Airflow's database."""


def linger_for(items: int) -> float:
    """Return how long a first ending waits for company before a worker is woken for it, in seconds."""
    return min(LONGEST_LINGER, max(LINGER_SECONDS, LINGER_PER_ITEM * items))


@dataclass(frozen=True)
class WindowItem:
    """One task of the window.

    :param key: the item's key in the ledger of the batch.
    :param handle: names its connection, where the batch has several.
    """

    key: str
    handle: TaskHandle
    deadline: datetime
    profile: str = ""

    def to_list(self) -> list[Any]:
        """Return it in a short form for trigger kwargs, which stand in Airflow's database."""
        handle = self.handle
        place = [handle.vendor, handle.task_id, str(handle.mode), handle.model, handle.submitted_at.isoformat()]
        found = [self.key, *place, self.deadline.isoformat(), self.profile]
        return [*found, handle.wan_conn_id] if handle.wan_conn_id else found

    @classmethod
    def of(cls, value: list[Any]) -> WindowItem:
        """Read the short form."""
        key, vendor, task_id, mode, model, submitted_at, deadline, profile, *more = value
        handle = TaskHandle(
            vendor=vendor,
            task_id=task_id,
            mode=mode,
            model=model,
            submitted_at=submitted_at,
            wan_conn_id=more[0] if more else None,
        )
        return cls(key, handle, datetime.fromisoformat(deadline), profile)


@dataclass(frozen=True)
class SearchItem:
    """One submission whose answer was lost, to be looked for beside the waits.

    :param key: the item's key in the ledger of the batch.
    :param wan_conn_id: of its account, where the batch has several.
    """

    key: str
    sought: Sought
    deadline: datetime
    wan_conn_id: str | None = None


@dataclass(frozen=True)
class WindowOutcome:
    """What a wait brought: tasks that ended, and what searches came to."""

    endings: dict[str, Ending] = field(default_factory=dict)
    clues: dict[str, Clue] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "endings": {key: ending.to_event() for key, ending in self.endings.items()},
            "clues": {key: clue.to_dict() for key, clue in self.clues.items()},
        }

    @classmethod
    def of(cls, event: dict[str, Any]) -> WindowOutcome:
        """Take what ``to_event`` returned, or what 0.1.0 did.

        :raises ValueError: or another of the usual errors, for anything else.
        """
        return cls(
            {key: Ending.from_event(ending) for key, ending in (event.get("endings") or {}).items()},
            {key: Clue.of(clue) for key, clue in (event.get("clues") or {}).items()},
        )


def searches_to_dict(searches: Iterable[SearchItem]) -> dict[str, Any] | None:
    """Return searches in a form for trigger kwargs: what all share, the ids of others' tasks, stands once."""
    items = list(searches)
    if not items:
        return None
    shared = frozenset[str]().union(*(item.sought.not_ours for item in items))
    short = [
        [
            item.key,
            replace(item.sought, not_ours=frozenset()).to_dict(),
            item.deadline.isoformat(),
            *([item.wan_conn_id] if item.wan_conn_id else []),
        ]
        for item in items
    ]
    return {"not_ours": sorted(shared), "items": short}


def searches_of(value: dict[str, Any] | None) -> list[SearchItem]:
    """Read what ``searches_to_dict`` returned."""
    if not value:
        return []
    shared = frozenset(value["not_ours"])
    return [
        SearchItem(key, replace(Sought.of(sought), not_ours=shared), datetime.fromisoformat(deadline), *more)
        for key, sought, deadline, *more in value["items"]
    ]


class _Failures:
    """Tells that tasks have brought no video, long before a worker takes them; of the first ones of a wait."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.count = 0

    def take(self, ending: Ending) -> None:
        self.count += 1
        if self.count <= FAILURES_TOLD:
            self._tell(f"Task {ending.task.task_id} has brought no video: {error_of(ending)}")
        elif self.count == FAILURES_TOLD + 1:
            self._tell("More have brought no video; the worker tells of them")


class _Window:
    """The waits and searches of a window, and what they brought."""

    def __init__(self, failures: _Failures) -> None:
        self.failures = failures
        self.endings: dict[str, Ending] = {}
        self.clues: dict[str, Clue] = {}
        self.failure: BaseException | None = None
        self.changed = asyncio.Event()
        self.pending: set[asyncio.Task[Any]] = set()

    @property
    def known(self) -> int:
        """How many have come to something."""
        return len(self.endings) + len(self.clues)

    def add(self, work: Coroutine[Any, Any, Any], key: str, found: dict[str, Any]) -> None:
        # One callback each: asyncio.wait() would touch all the waits again for every ending.
        task = asyncio.create_task(work)
        self.pending.add(task)
        task.add_done_callback(lambda done: self._take(key, done, found))

    def _take(self, key: str, task: asyncio.Task[Any], found: dict[str, Any]) -> None:
        self.pending.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            self.failure = failure
        else:
            found[key] = result = task.result()
            if isinstance(result, Ending) and result.status is not EndingStatus.SUCCESS:
                self.failures.take(result)
        self.changed.set()

    async def next(self, seconds: float) -> bool:
        """Wait for the next endings; return whether any came."""
        self.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), None if seconds == float("inf") else max(0.0, seconds))
        if self.failure is not None:
            raise self.failure
        return self.changed.is_set()

    async def close(self) -> None:
        left = list(self.pending)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


Connect = Callable[[str, datetime], Awaitable[Poller]]
"""Returns the shared poller of a connection; gives up looking the connection up at a moment."""


def _wait(
    poller: Poller | None,
    connect: Connect | None,
    item: WindowItem,
    interval: float,
    on_change: Callable[[str], None] | None,
    owner: str,
) -> Coroutine[Any, Any, Ending]:
    """Return the wait for one task, at the account that it is of."""
    name = item.handle.wan_conn_id

    def wait(at: Poller) -> Coroutine[Any, Any, Ending]:
        return at.wait(item.handle, item.deadline, interval, item.profile, on_change, owner)

    async def wait_there(connect: Connect, name: str) -> Ending:
        try:
            found = await connect(name, item.deadline)
        except Exception as error:  # noqa: BLE001 - whatever the look-up raises, the others go on
            handle = item.handle
            task = VideoTask(task_id=handle.task_id, vendor=handle.vendor, mode=handle.mode, model=handle.model)
            reason = f"Connection {name!r} cannot be looked up ({type(error).__name__})"
            why = f"{reason}; the task may go on, and is billed then"
            return Ending(EndingStatus.ERROR, task, why)
        async with found:
            return await wait(found)

    if connect is not None and name is not None:
        return wait_there(connect, name)
    if poller is None:
        raise ValueError("a task that names no connection needs the poller")
    return wait(poller)


def _find(poller: Poller | None, connect: Connect | None, search: SearchItem) -> Coroutine[Any, Any, Clue]:
    """Return one search, at the account that it is of."""

    async def find_there(connect: Connect, name: str) -> Clue:
        try:
            found = await connect(name, search.deadline)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"Connection {name!r} cannot be looked up ({type(error).__name__})"
            return Clue(search.sought.intent_at, utc_now(), why=why)
        async with found:
            return await found.find(search.sought, search.deadline)

    if connect is not None and search.wan_conn_id is not None:
        return find_there(connect, search.wan_conn_id)
    if poller is None:
        raise ValueError("a search that names no connection needs the poller")
    return poller.find(search.sought, search.deadline)


def names_all(window: Iterable[WindowItem], searches: Iterable[SearchItem] | None) -> bool:
    """Whether each task and each search names its connection."""
    named = [item.handle.wan_conn_id for item in window] + [search.wan_conn_id for search in searches or ()]
    return bool(named) and all(named)


async def wait_for_some(
    poller: Poller | None,
    window: list[WindowItem],
    poll_interval: float,
    enough: int,
    wake_at: datetime | None = None,
    linger: float = LINGER_SECONDS,
    on_change: Callable[[str], None] | None = None,
    searches: list[SearchItem] | None = None,
    owner: str = "",
    connect: Connect | None = None,
    on_failure: Callable[[str], None] = lambda _: None,
    is_ended_by_failure: bool = False,
) -> WindowOutcome:
    """Wait until ``enough`` is known, all is, or the first to be known has waited long; return what is known.

    :param enough: endings and clues that are worth waking a worker for.
    :param on_failure: called with a sentence at once when a task has brought no video.
    :param is_ended_by_failure: whether that is worth waking a worker for at once.
    :param wake_at: moment to return at in any case (something can be submitted then).
    :param linger: seconds that a first ending waits for company.
    :param searches: lost submissions to look for meanwhile.
    :param poller: for those that name no connection.
    :param connect: returns the poller of another connection, for tasks and searches that name one.
    :param owner: who waits: nobody else's search takes one of these tasks for its own.
    """
    waits = _Window(_Failures(on_failure))
    loop = asyncio.get_running_loop()
    until = loop.time() + (wake_at - utc_now()).total_seconds() if wake_at else float("inf")
    most = min(MOST_ENDINGS, len(window) + len(searches or []))
    wanted = min(enough, most) if most else 1
    try:
        for item in window:
            waits.add(_wait(poller, connect, item, poll_interval, on_change, owner), item.key, waits.endings)
        for search in searches or []:
            waits.add(_find(poller, connect, search), search.key, waits.clues)
        is_lingering = False
        while waits.known < wanted and loop.time() < until and not (is_ended_by_failure and waits.failures.count):
            if waits.known and not is_lingering:
                is_lingering = True
                until = min(until, loop.time() + linger)
            await waits.next(until - loop.time())
        # Tasks end in bunches, and each look at the list shows all that ended since the last: take them together.
        until = loop.time() + min(linger, LONGEST_SETTLE)
        while 0 < waits.known < most and loop.time() < until and await waits.next(SETTLE_SECONDS):
            continue
        # What does not fit into one event is simply waited for again.
        return WindowOutcome(dict(list(waits.endings.items())[:MOST_ENDINGS]), dict(waits.clues))
    finally:
        await waits.close()
