"""Looks for lost submissions on the shared poller: all searches of an account share each reading of its list.

After an outage a hundred submissions may be in doubt at once, each with a thousand tasks that may be the one. Read
together, each page and each task costs one query; what the poller has seen finish costs none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime
from typing import TypeAlias

from airflow_provider_wan.client.errors import WanError, WanResponseError
from airflow_provider_wan.client.recovery.search import Catalogue, Clue, Open, Reading, Sought, judge
from airflow_provider_wan.client.schedule.asks import Ask, Page, Query
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

log = logging.getLogger(__name__)

NEWCOMERS = 0.25
"""Fraction of the time between two readings after which newcomers get one of their own."""

AT_ONCE = 100
"""Tasks that are put in line together: thousands in one turn of the loop would hold it up."""

TRIES = 4
"""One page or task in trouble must not cost the reading of all the others."""

AskFor: TypeAlias = Callable[[Ask], Awaitable[VideoTask | TaskPage]]


class Finder:
    """Carries out the searches of one account.

    :param ask: asks the vendor once, within the account's budget; raises :class:`WanError`.
    :param catalogue: what is known of finished tasks.
    """

    def __init__(self, ask: AskFor, catalogue: Catalogue) -> None:
        self._ask = ask
        self._catalogue = catalogue
        self._searches: list[_Search] = []
        self._task: asyncio.Task[None] | None = None
        self._newcomer = asyncio.Event()

    async def find(self, sought: Sought, deadline: datetime, tell: Callable[[str], None] = lambda _: None) -> Clue:
        """Look until it is clear what became of a submission, or the deadline has passed.

        :param tell: called, in the caller's own context, with what is in the way, once for each kind of it.
        """
        search = _Search(sought)
        self._searches.append(search)
        self._newcomer.set()
        if self._task is None or self._task.done():
            # In a context of its own: it outlives the trigger that happened to start it, and that one's log.
            self._task = asyncio.create_task(self._run(), context=Context())
        try:
            return await search.end(deadline, tell)
        finally:
            self._searches.remove(search)
            if not self._searches and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        while True:
            self._newcomer.clear()
            searches = [search for search in self._searches if search.clue is None]
            look_again = min((search.sought.timing.look_again for search in searches), default=0.0)
            try:
                rest = await self._look(searches, look_again) if searches else math.inf
            except Exception:
                # No bug in reading may leave the searches without anybody who looks.
                log.exception("The task list could not be read; it is tried again")
                rest = look_again
            await asyncio.sleep(min(rest, NEWCOMERS * look_again))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(rest) else max(0.0, rest - NEWCOMERS * look_again)):
                    await self._newcomer.wait()

    async def _look(self, searches: list[_Search], look_again: float) -> float:
        """Read the list once for all ``searches``; return the seconds after which another reading is worth it."""
        try:
            reading = await self._read(searches)
        except WanError as error:
            for search in searches:
                search.take(Open("trouble", f"The task list cannot be read now: {error}"))
            return look_again
        rest = math.inf
        for search in searches:
            # One after the other: comparing takes a moment, and the loop has others to serve.
            await asyncio.sleep(0)
            outcome = judge(search.sought, reading, self._catalogue)
            search.take(outcome)
            if isinstance(outcome, Open):
                rest = min(rest, outcome.seconds or look_again)
        return rest

    async def _read(self, searches: list[_Search]) -> Reading:
        """Read the pages, then the finished tasks of which nothing is known."""
        reading = Reading(search.sought for search in searches)
        for number in reading.pages():
            reading.take(await self._page(number))
        unread: dict[str, TaskHandle] = {}
        for search in searches:
            await asyncio.sleep(0)
            for row in self._catalogue.unread(reading.possible(search.sought)):
                unread[row.task_id] = search.sought.handle_of(row)
        handles = list(unread.values())
        for first in range(0, len(handles), AT_ONCE):
            await asyncio.gather(*map(self._read_task, handles[first : first + AT_ONCE]))
        return reading

    async def _page(self, number: int) -> TaskPage:
        page = await self._ask_patiently(Page(TaskFilter(), number))
        if isinstance(page, TaskPage):
            return page
        raise WanResponseError("the answer is no page")

    async def _read_task(self, handle: TaskHandle) -> None:
        try:
            task = await self._ask_patiently(Query(handle))
        except WanError as error:
            log.debug("Task %s, perhaps a lost one, cannot be read now: %s", handle.task_id, error)
        else:
            if isinstance(task, VideoTask):
                self._catalogue.note(task)

    async def _ask_patiently(self, ask: Ask) -> VideoTask | TaskPage:
        for _ in range(TRIES - 1):
            with contextlib.suppress(WanError):
                return await self._ask(ask)
        return await self._ask(ask)


class _Search:
    """One search: between the finder's task and the caller's."""

    def __init__(self, sought: Sought) -> None:
        self.sought = sought
        self.outcome: Clue | Open = Open("new", "The task list has not been read yet")
        self._news = asyncio.Event()

    @property
    def clue(self) -> Clue | None:
        return self.outcome if isinstance(self.outcome, Clue) else None

    def take(self, outcome: Clue | Open) -> None:
        self.outcome = outcome
        self._news.set()

    async def end(self, deadline: datetime, tell: Callable[[str], None]) -> Clue:
        told: set[str] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (deadline - utc_now()).total_seconds())):
                while isinstance(self.outcome, Open):
                    await self._news.wait()
                    self._news.clear()
                    if isinstance(self.outcome, Open) and self.outcome.kind not in told:
                        # Once each: numbers change from look to look, and a vendor may be in trouble now and then.
                        told.add(self.outcome.kind)
                        tell(self.outcome.why)
        if isinstance(self.outcome, Clue):
            return self.outcome
        return Clue(self.sought.intent_at, utc_now(), why=self.outcome.why)
