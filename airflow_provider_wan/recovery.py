"""Looks in the vendor's task list for the task of a submission whose answer was lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_wan.client.client import WanClient
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskFilter

LATE = timedelta(seconds=60)
"""How long after the lost answer a task may still appear in the list."""

CLOCK_MARGIN = timedelta(seconds=5)
UNKNOWN_CLOCK_MARGIN = timedelta(seconds=120)
MOST_PAGES = 60
LOOK_AGAIN_SECONDS = 20.0
PROMPT_PREFIX = 800
"""Characters compared: a vendor may cut off the end of a long prompt."""


@dataclass(frozen=True)
class Search:
    """What to look for.

    :param intent_at: when the POST was about to be sent.
    :param lost_at: when its answer was lost, if known; else ``longest`` after the intent.
    :param request_id: the vendor's id of the exchange, when the broken answer carried it.
    """

    request: VideoRequest
    model: str
    intent_at: datetime
    lost_at: datetime | None
    request_id: str | None
    longest: timedelta


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
    try:
        rows, skew = _rows(client, wanted)
    except WanError as error:
        return Found(come_back_in=LOOK_AGAIN_SECONDS, why=f"The task list cannot be read now: {error}")
    if rows is None:
        return Found(why="The account's task list is too long to search for the lost submission")
    margin = CLOCK_MARGIN if skew is not None else UNKNOWN_CLOCK_MARGIN
    skew = skew or timedelta(0)
    end = wanted.lost_at or wanted.intent_at + wanted.longest
    start = wanted.intent_at + skew - margin
    candidates = [
        row for row in rows if row.submitted_at is not None and start <= row.submitted_at <= end + skew + margin + LATE
    ]
    named = [row for row in candidates if wanted.request_id and row.request_id == wanted.request_id]
    if named:
        return Found(handle=_handle(client, named[0], wanted))
    possible = [row for row in candidates if row.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    running = [row for row in possible if not row.status.is_ended]
    if running:
        return Found(
            come_back_in=LOOK_AGAIN_SECONDS,
            why=f"{len(running)} task(s) of {wanted.model} from the time of the lost submission are still running; "
            "their prompts show when they finish",
        )
    late = (end + LATE - utc_now()).total_seconds()
    if late > 0:
        return Found(come_back_in=late + 1.0, why="a task may appear in the list a moment after its lost answer")
    return _decide(client, possible, wanted)


def _rows(client: WanClient, wanted: Search) -> tuple[list[VideoTask] | None, timedelta | None]:
    """Return all rows of the model that the vendor keeps (24 h), and the vendor's clock minus ours.

    No window is named to the vendor, because the zone of its window is not documented; the rows' own times
    are absolute.
    """
    query = TaskFilter(model=wanted.model)
    rows: list[VideoTask] = []
    skew: timedelta | None = None
    number: int | None = 1
    while number is not None:
        if number > MOST_PAGES:
            return None, skew
        page = client.run(client.flows.page(query, number, Patience()))
        if page.served_at is not None:
            skew = page.served_at - utc_now()
        rows.extend(page.tasks)
        number = page.next_page
    return rows, skew


def _decide(client: WanClient, candidates: list[VideoTask], wanted: Search) -> Found:
    matches: list[tuple[TaskHandle, VideoTask]] = []
    for row in candidates:
        handle = _handle(client, row, wanted)
        try:
            task = client.get_task(handle)
        except WanError as error:
            return Found(come_back_in=LOOK_AGAIN_SECONDS, why=f"candidate {row.task_id} cannot be read now: {error}")
        if _is_of(task, wanted.request):
            matches.append((handle, task))
    if not matches:
        return Found(is_proven_absent=True)
    if len(matches) == 1:
        return Found(handle=matches[0][0], task=matches[0][1])
    ids = ", ".join(handle.task_id for handle, _ in matches)
    return Found(
        why=f"{len(matches)} tasks with this prompt were made at the time of the lost submission ({ids}): which of "
        "them is this one's cannot be known"
    )


def _is_of(task: VideoTask, request: VideoRequest) -> bool:
    said, asked = (task.prompt or "").strip(), (request.prompt or "").strip()
    if said[:PROMPT_PREFIX] != asked[:PROMPT_PREFIX]:
        return False
    return task.resolution is None or task.resolution == request.resolution


def _handle(client: WanClient, row: VideoTask, wanted: Search) -> TaskHandle:
    return TaskHandle(
        vendor=client.vendor.name,
        task_id=row.task_id,
        mode=wanted.request.mode,
        model=wanted.model,
        submitted_at=row.submitted_at or wanted.intent_at,
        request_id=row.request_id,
    )
