"""Looks in the vendor's task list for the task of a submission whose answer was lost.

Where a trigger can look, all searches of an account are carried out together (``client/finder``) and come back
with a clue; otherwise the worker looks itself, here. Either way the prompts themselves decide, on the worker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.recovery.search import Catalogue, Clue, Open, Reading, Sought, judge, seconds_to_sure
from airflow_provider_wan.client.recovery.traits import Likeness, likeness
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import TaskFilter

MOST_CANDIDATES = 1000
"""Finished tasks that a worker reads for one search: at 15 a second about a minute."""

PACED_FROM = 10
"""Candidates that are read without pauses; more of them share the account's query budget."""


@dataclass
class Knowledge:
    """What a worker knows of the account's tasks, good for several searches.

    :param reading: the last one of the list.
    """

    catalogue: Catalogue = field(default_factory=Catalogue)
    reading: Reading | None = None

    def reading_for(self, client: WanClient, sought: Sought) -> Reading:
        """Return a reading that tells as much of ``sought`` as a new one would, read anew if there is none.

        :raises WanError: when the list cannot be read.
        """
        last = self.reading
        is_recent = last is not None and utc_now() - last.read_at < timedelta(seconds=sought.timing.look_again / 2)
        if last is None or not is_recent or not last.covers(sought) or last.read_at < sought.until:
            last = Reading([sought])
            for number in last.pages():
                last.take(client.run(client.flows.page(TaskFilter(), number, Patience())))
            self.reading = last
        return last


@dataclass(frozen=True)
class Found:
    """What the list says: a task, proof that there is none, "come back", or (nothing of these) no answer."""

    handle: TaskHandle | None = None
    task: VideoTask | None = None
    is_proven_absent: bool = False
    come_back_in: float | None = None
    why: str = ""


def search(client: WanClient, sought: Sought, request: VideoRequest, known: Knowledge) -> Found:
    """Look once; the caller comes back while candidates are running, since prompts show only at their end.

    :param known: from searches before; grows.
    """
    catalogue = known.catalogue
    try:
        reading = known.reading_for(client, sought)
    except WanError as error:
        why = f"The task list cannot be read now: {error}"
        return Found(come_back_in=sought.timing.look_again, why=why)
    outcome = judge(sought, reading, catalogue)
    if isinstance(outcome, Open) and not outcome.seconds:
        if len(outcome.unread) > MOST_CANDIDATES:
            return Found(why=f"{outcome.why}: too many for a worker to look through")
        for number, row in enumerate(outcome.unread):
            if number >= PACED_FROM:
                time.sleep(1.0 / client.account.queries_per_second)
            try:
                catalogue.note(client.get_task(sought.handle_of(row)))
            except WanError as error:
                return _unreadable(row, sought, error)
        outcome = judge(sought, reading, catalogue)
    if isinstance(outcome, Open):
        return Found(come_back_in=outcome.seconds or sought.timing.look_again, why=outcome.why)
    return confirm(client, sought, request, outcome)


def confirm(client: WanClient, sought: Sought, request: VideoRequest, clue: Clue) -> Found:
    """Say whether exactly one of a clue's tasks is of the request."""
    if clue.why:
        return Found(why=clue.why)
    if clue.is_named:
        return Found(handle=sought.handle_of(clue.rows[0]))
    matches: list[tuple[TaskHandle, VideoTask]] = []
    untold: list[str] = []
    for row in clue.rows:
        handle = sought.handle_of(row)
        try:
            task = client.get_task(handle)
        except WanError as error:
            return _unreadable(row, sought, error)
        match likeness(task, request):
            case Likeness.SAME:
                matches.append((handle, task))
            case Likeness.UNTOLD:
                untold.append(row.task_id)
    if len(matches) == 1 and not untold:
        return Found(handle=matches[0][0], task=matches[0][1])
    if not matches and not untold:
        return _absent(sought, clue.read_at)
    ids = ", ".join([handle.task_id for handle, _ in matches] + untold)
    return Found(
        why=f"{len(matches) + len(untold)} task(s) from the time of the lost submission may be this one's ({ids}): "
        "what the vendor tells of them does not decide it"
    )


def _absent(sought: Sought, read_at: datetime) -> Found:
    """Take the list for a proof if it was read late enough."""
    if read_at >= sought.sure_from:
        return Found(is_proven_absent=True)
    why = "The task of the lost submission is not in the task list; it may appear a moment late"
    return Found(come_back_in=seconds_to_sure(sought), why=why)


def _unreadable(row: VideoTask, sought: Sought, error: WanError) -> Found:
    why = f"Task {row.task_id}, perhaps the lost one, cannot be read now: {error}"
    return Found(come_back_in=sought.timing.look_again, why=why)
