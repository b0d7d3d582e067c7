"""Looks in the vendor's task list for the task of a submission whose answer was lost.

Where a trigger can look, all searches of an account are carried out together (``client/finder``) and come back
with a clue; otherwise the worker looks itself, here. Either way the prompts themselves decide, on the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.recovery.search import (
    Catalogue,
    Clue,
    Open,
    Reading,
    ReadPage,
    ReadTasks,
    Sought,
    judge,
    read_list,
    seconds_to_sure,
)
from airflow_provider_wan.client.recovery.traits import Likeness, likeness, shows_all
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage

MOST_CANDIDATES = 1000
"""Finished tasks that a worker reads for one search: at 15 a second about a minute."""

CLOCK_LIFETIME = timedelta(minutes=10)
"""How long it is taken for true how far two clocks are apart."""

PACED_FROM = 10
"""Candidates that are read without pauses; more of them share the account's query budget."""


@dataclass
class Knowledge:
    """What a worker knows of the account's tasks, good for several searches.

    :param reading: the last one of the list.
    :param heeds_key: whether the vendor has answered a repeat as one, so that a key is known to make one task only.
    """

    catalogue: Catalogue = field(default_factory=Catalogue)
    reading: Reading | None = None
    heeds_key: bool = False
    _clock: tuple[datetime, float] | None = None

    def clock_offset(self, client: WanClient) -> float | None:
        """Return by how many seconds the vendor's clock is ahead of ours; ``None`` when it cannot be learnt now.

        Asked before a paid call, for another worker, with another clock, may have to look for its task.
        """
        now = utc_now()
        if self._clock is not None and now - self._clock[0] < CLOCK_LIFETIME:
            return self._clock[1]
        try:
            page = client.run(client.flows.page(TaskFilter(page_size=1), 1, Patience(tries=1)))
        except WanError:
            return None
        if page.served_at is None:
            return None
        # The vendor's clock is given in whole seconds, and was read somewhere between our two moments.
        offset = (page.served_at - now - (utc_now() - now) / 2).total_seconds()
        self._clock = (now, offset)
        return offset

    def reading_for(self, sought: Sought) -> Reading | None:
        """Return the last reading, if it says as much of ``sought`` as a new one would."""
        last = self.reading
        is_recent = last is not None and utc_now() - last.read_at < timedelta(seconds=sought.timing.look_again / 2)
        return last if last is not None and is_recent and last.covers(sought) and last.read_at >= sought.until else None


class TooMany(Exception):
    """More candidates than a worker may read."""


@dataclass(frozen=True)
class Whose:
    """What is known of other task instances' tasks.

    :param is_anothers: whether one has put a task down as its own.
    :param is_all_known: whether that is known of each that may be mistaken for this one's.
    """

    is_anothers: Callable[[TaskHandle], bool] = lambda handle: False
    is_all_known: bool = False


NOBODYS = Whose()


@dataclass(frozen=True)
class Found:
    """What the list says: a task, proof that there is none, "come back", or (nothing of these) no answer."""

    handle: TaskHandle | None = None
    task: VideoTask | None = None
    is_proven_absent: bool = False
    come_back_in: float | None = None
    why: str = ""


def search(client: WanClient, sought: Sought, request: VideoRequest, known: Knowledge, whose: Whose = NOBODYS) -> Found:
    """Look once; the caller comes back while candidates are running, since prompts show only at their end.

    :param known: from searches before; grows.
    """
    steps = read_list([sought], known.catalogue, known.reading_for(sought))
    try:
        known.reading = reading = _carried_out(steps, client, known.catalogue)
    except WanError as error:
        why = f"The task list, or a task in it, cannot be read now: {error}"
        return Found(come_back_in=sought.timing.look_again, why=why)
    except TooMany as error:
        return Found(why=f"{error} task(s) from the time of the lost submission: too many for a worker to look through")
    outcome = judge(sought, reading, known.catalogue)
    if isinstance(outcome, Open):
        return Found(come_back_in=outcome.seconds or sought.timing.look_again, why=outcome.why)
    return confirm(client, sought, request, outcome, whose)


def _carried_out(
    steps: Generator[ReadPage | ReadTasks, TaskPage | None, Reading], client: WanClient, catalogue: Catalogue
) -> Reading:
    """Carry a reading out, one ask after the other and within the account's budget.

    :raises WanError: when something could not be read.
    """
    step = next(steps)
    try:
        while True:
            if isinstance(step, ReadPage):
                step = steps.send(client.run(client.flows.page(TaskFilter(), step.number, Patience())))
                continue
            if len(step.handles) > MOST_CANDIDATES:
                raise TooMany(len(step.handles))
            for number, handle in enumerate(step.handles):
                if number >= PACED_FROM:
                    time.sleep(1.0 / client.account.queries_per_second)
                catalogue.note(client.get_task(handle))
            step = next(steps)
    except StopIteration as end:
        reading: Reading = end.value
        return reading


def confirm(client: WanClient, sought: Sought, request: VideoRequest, clue: Clue, whose: Whose = NOBODYS) -> Found:
    """Say whether exactly one of a clue's tasks is of the request.

    :raises LedgerError: when it cannot be looked up whose a task is.
    """
    if clue.why:
        return Found(why=clue.why)
    if clue.is_named:
        return Found(handle=sought.handle_of(clue.rows[0]))
    matches: list[tuple[TaskHandle, VideoTask]] = []
    unclear: list[str] = []
    for row in clue.rows:
        handle = sought.handle_of(row)
        try:
            task = client.get_task(handle)
        except WanError as error:
            return _unreadable(row, sought, error)
        alike = likeness(task, request)
        if alike is not Likeness.OTHER and (row.task_id in sought.not_ours or whose.is_anothers(handle)):
            continue
        match alike:
            case Likeness.SAME:
                matches.append((handle, task))
            case Likeness.UNKNOWN:
                unclear.append(row.task_id)
    if len(matches) == 1 and not unclear and not (whose.is_all_known or shows_all(request)):
        return Found(
            why=f"Task {matches[0][0].task_id} from the time of the lost submission has its prompt, but the vendor "
            "does not show of what else the request has (media, seed, negative prompt), so it may be another one's"
        )
    if len(matches) == 1 and not unclear:
        return Found(handle=matches[0][0], task=matches[0][1])
    if not matches and not unclear:
        return _absent(sought, clue)
    ids = ", ".join([handle.task_id for handle, _ in matches] + unclear)
    return Found(
        why=f"{len(matches) + len(unclear)} task(s) from the time of the lost submission may be this one's ({ids}): "
        "what the vendor shows of them does not decide it"
    )


def _absent(sought: Sought, clue: Clue) -> Found:
    """Take the list for a proof if it was read late enough."""
    if sought.is_sure(clue.read_at, clue.served_at):
        return Found(is_proven_absent=True)
    why = "The task of the lost submission is not in the task list; it may appear a moment late"
    return Found(come_back_in=seconds_to_sure(sought, clue.read_at, clue.served_at), why=why)


def _unreadable(row: VideoTask, sought: Sought, error: WanError) -> Found:
    why = f"Task {row.task_id}, perhaps the lost one, cannot be read now: {error}"
    return Found(come_back_in=sought.timing.look_again, why=why)
