"""Looks in the vendor's task list for the task of a submission whose answer was lost.

Paying twice is worse than asking a person: whatever the list leaves open is told, never taken for "no task".
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from airflow_provider_wan.client.client import WanClient
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskFilter
from airflow_provider_wan.likeness import Likeness, likeness

MOST_PAGES = 60
MOST_CANDIDATES = 300
PACED_FROM = 10
"""Candidates that are read without pauses; more of them share the account's query budget."""

NOT_BILLED = (TaskStatus.FAILED, TaskStatus.CANCELLED)


@dataclass(frozen=True)
class Timing:
    """How far the list is trusted.

    :param late: how long after its lost answer a task may still appear in the list.
    :param look_again: seconds until the next look.
    :param clock_margin: doubt about the clocks when the answer told the vendor's; the intent may have been
        written by another worker than this one.
    :param unknown_clock_margin: doubt about the clocks otherwise.
    """

    late: timedelta = timedelta(seconds=60)
    look_again: float = 20.0
    clock_margin: timedelta = timedelta(minutes=2)
    unknown_clock_margin: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class Search:
    """What to look for.

    :param intent_at: when the POST was about to be sent.
    :param until: after this moment no POST was begun: when its answer was lost, if known.
    :param request_id: the vendor's id of the exchange, when the broken answer carried it.
    :param not_ours: ids of tasks that are known to be others'.
    """

    request: VideoRequest
    model: str
    intent_at: datetime
    until: datetime
    request_id: str | None = None
    not_ours: frozenset[str] = frozenset()
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True)
class Found:
    """What the list says: a task, proof that there is none, "come back", or (nothing of these) no answer."""

    handle: TaskHandle | None = None
    task: VideoTask | None = None
    is_proven_absent: bool = False
    come_back_in: float | None = None
    why: str = ""


def search(client: WanClient, wanted: Search) -> Found:
    """Look once; the caller comes back while candidates are running, since prompts show only at their end."""
    timing = wanted.timing
    # Comparing can take minutes; what the list proves, it proves for the moment at which it was read.
    read_at = utc_now()
    try:
        window = _read(client, wanted)
    except WanError as error:
        return Found(come_back_in=timing.look_again, why=f"The task list cannot be read now: {error}")
    if window is None:
        return Found(why="The account's task list is too long to find the lost submission in it")
    named = [row for row in window if wanted.request_id and row.request_id == wanted.request_id]
    if named:
        return Found(handle=_handle(client, named[0], wanted))
    possible = [row for row in window if row.status not in NOT_BILLED]
    running = [row for row in possible if not row.status.is_ended]
    if running:
        return Found(
            come_back_in=timing.look_again,
            why=f"{len(running)} task(s) of {wanted.model} from the time of the lost submission are still running; "
            "the vendor tells their prompts when they have finished",
        )
    if len(possible) > MOST_CANDIDATES:
        return Found(
            why=f"{len(possible)} tasks were made at the time of the lost submission: too many to look through"
        )
    found = _compare(client, possible, wanted)
    if found.is_proven_absent:
        is_sure_from = wanted.until + timing.late
        if read_at < is_sure_from:
            left = max(0.0, (is_sure_from - utc_now()).total_seconds())
            why = "The task of the lost submission is not in the task list; it may appear a moment late"
            return Found(come_back_in=left + min(1.0, timing.look_again), why=why)
    return found


def _read(client: WanClient, wanted: Search) -> list[VideoTask] | None:
    """Return the rows that may be the lost task, ``None`` when the list is too long.

    The list is read without a window or a model: the zone of its window is not documented, nor is the name by
    which it knows a model that has snapshots. The rows' own times are absolute.
    """
    timing = wanted.timing
    rows: list[VideoTask] = []
    skew: timedelta | None = None
    start = wanted.intent_at
    number: int | None = 1
    while number is not None:
        if number > MOST_PAGES:
            return None
        page = client.run(client.flows.page(TaskFilter(), number, Patience()))
        if page.served_at is not None:
            skew = page.served_at - utc_now()
        rows.extend(page.tasks)
        margin = timing.unknown_clock_margin if skew is None else timing.clock_margin
        start = wanted.intent_at + (skew or timedelta(0)) - margin
        if _ends_before(rows, start):
            break
        number = page.next_page
    end = wanted.until + (skew or timedelta(0)) + margin + timing.late
    return [row for row in rows if row.task_id not in wanted.not_ours and _fits(row, wanted.model, start, end)]


def _ends_before(rows: list[VideoTask], start: datetime) -> bool:
    """Whether the list, newest first so far, has come to tasks that are too old."""
    times = [row.submitted_at for row in rows if row.submitted_at is not None]
    is_sorted = len(times) == len(rows) and all(one >= other for one, other in pairwise(times))
    return bool(times) and is_sorted and times[-1] < start


def _fits(row: VideoTask, model: str, start: datetime, end: datetime) -> bool:
    """Whether a row may be the one; what a row does not tell speaks for it."""
    known = row.model or ""
    is_model = known.startswith(model) or model.startswith(known)
    return is_model and (row.submitted_at is None or start <= row.submitted_at <= end)


def _compare(client: WanClient, candidates: Iterable[VideoTask], wanted: Search) -> Found:
    """Read every finished candidate and say whether exactly one is of the request."""
    matches: list[tuple[TaskHandle, VideoTask]] = []
    untold: list[str] = []
    for number, row in enumerate(candidates):
        if number >= PACED_FROM:
            time.sleep(1.0 / client.account.queries_per_second)
        handle = _handle(client, row, wanted)
        try:
            task = client.get_task(handle)
        except WanError as error:
            why = f"Task {row.task_id}, perhaps the lost one, cannot be read now: {error}"
            return Found(come_back_in=wanted.timing.look_again, why=why)
        match likeness(task, wanted.request):
            case Likeness.SAME:
                matches.append((handle, task))
            case Likeness.UNTOLD:
                untold.append(row.task_id)
    if len(matches) == 1 and not untold:
        return Found(handle=matches[0][0], task=matches[0][1])
    if not matches and not untold:
        return Found(is_proven_absent=True)
    ids = ", ".join([handle.task_id for handle, _ in matches] + untold)
    return Found(
        why=f"{len(matches) + len(untold)} task(s) from the time of the lost submission may be this one's ({ids}): "
        "what the vendor tells of them does not decide it"
    )


def _handle(client: WanClient, row: VideoTask, wanted: Search) -> TaskHandle:
    return TaskHandle(
        vendor=client.vendor.name,
        task_id=row.task_id,
        mode=wanted.request.mode,
        model=wanted.model,
        submitted_at=row.submitted_at or wanted.intent_at,
        request_id=row.request_id,
    )
