"""When a wait ends, and how: one judgement for the trigger, the batch and the loop in the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_wan.client.errors import WanAuthError, WanError, WanRequestError, WanTaskFailed, WanTaskTimeout
from airflow_provider_wan.client.polling.times import TIMES, PollingTimes
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Vendor

UNDECIDED_LIMIT = 5
"""Consecutive answers that decide nothing (unknown words, "no such task", no URL), and that for some time, before a
wait gives up."""

ENDED = {
    TaskStatus.SUCCEEDED: "success",
    TaskStatus.FAILED: "failed",
    TaskStatus.CANCELLED: "cancelled",
}


class EndingStatus(StrEnum):
    """How a wait ended; ``error`` says nothing about the task, which may still finish and be billed."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True)
class Ending:
    """The end of a wait."""

    status: EndingStatus
    task: VideoTask
    message: str = ""

    def to_event(self) -> dict[str, Any]:
        """Return the payload of a trigger's event."""
        return {"status": str(self.status), "task": self.task.to_event(), "message": self.message}

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Ending:
        """Read a trigger's event.

        :raises ValueError: for anything else.
        """
        return cls(
            EndingStatus(event["status"]), VideoTask.model_validate(event["task"]), str(event.get("message") or "")
        )


class Watch:
    """Follows one task through observations and decides when the wait is over; does no I/O.

    A task that has been seen goes on to its deadline, whatever is answered meanwhile: a gateway that knows nobody, or
    a key that is refused for some minutes, decides nothing about what is paid.

    :param deadline: the moment (aware) after which the wait is a time-out.
    :param on_change: called with a sentence when the state changes.
    """

    # Thousands of them wait at a time, most of them with nothing seen but a row of the list.
    __slots__ = (
        "_answer",
        "_doubted_since",
        "_in_trouble",
        "_is_known",
        "_on_change",
        "_started_at",
        "_status",
        "_times",
        "_undecided",
        "_vendor",
        "deadline",
        "handle",
    )

    def __init__(
        self,
        handle: TaskHandle,
        vendor: Vendor,
        deadline: datetime,
        on_change: Callable[[str], None] | None = None,
        times: PollingTimes = TIMES,
    ) -> None:
        self.handle = handle
        self._times = times
        self._doubted_since: datetime | None = None
        self.deadline = deadline
        self._vendor = vendor
        self._on_change = on_change
        self._undecided = 0
        self._in_trouble = False
        self._is_known = False
        self._answer: VideoTask | None = None
        self._status = TaskStatus.PENDING
        self._started_at: datetime | None = None

    @property
    def last(self) -> VideoTask:
        """The task as it was last seen."""
        task = self._answer or VideoTask(
            task_id=self.handle.task_id,
            vendor=self.handle.vendor,
            mode=self.handle.mode,
            model=self.handle.model,
            status=TaskStatus.PENDING,
            submitted_at=self.handle.submitted_at,
            request_id=self.handle.request_id,
        )
        if task.status is self._status:
            return task
        return task.model_copy(update={"status": self._status, "started_at": self._started_at or task.started_at})

    def see(self, task: VideoTask) -> Ending | None:
        """Take an answer; return the ending it brings, if any."""
        self._is_answered()
        if task.status != self._status:
            self._report(f"Task {task.task_id}: {task.status}" + _said(task))
        self._answer, self._status, self._started_at = task, task.status, task.started_at
        self._is_known |= task.status is not TaskStatus.UNKNOWN
        if task.status is TaskStatus.UNKNOWN and self._vendor.is_final(task):
            return Ending(EndingStatus.ERROR, task, self._unknown())
        if task.status is TaskStatus.SUCCEEDED and task.video_url is None and not self._vendor.has_content_endpoint:
            return self._doubt(f"{self._vendor.title} says the task succeeded but gives no video URL")
        if task.status.is_ended:
            message = task.error_message or "" if task.status is not TaskStatus.SUCCEEDED else ""
            return Ending(EndingStatus(ENDED[task.status]), task, message)
        if task.status is TaskStatus.UNKNOWN:
            return self._doubt(f"{self._vendor.title} answers with a status nobody knows: {task.raw_status!r}")
        self._undecided, self._doubted_since = 0, None
        return None

    def see_row(self, row: VideoTask) -> None:
        """Take a row of the vendor's list: it tells of a start, but an end only by its query."""
        self._is_answered()
        self._is_known = True
        if row.status is TaskStatus.RUNNING and self._status is TaskStatus.PENDING:
            self._report(f"Task {self.handle.task_id}: {row.status}")
            self._status, self._started_at = row.status, row.started_at

    def see_error(self, error: WanError) -> Ending | None:
        """Take a failed query; only one that will not pass (wrong id, wrong key) ends the wait."""
        if isinstance(error, WanRequestError | WanAuthError) and not self._is_known:
            return self._doubt(f"{error}. {self._unknown()}" if isinstance(error, WanRequestError) else str(error))
        self.see_trouble(error)
        return None

    def see_trouble(self, error: WanError) -> None:
        """Take a failure that says nothing of this task."""
        if not self._in_trouble:
            self._in_trouble = True
            self._report(f"{self._vendor.title} is in trouble, the wait goes on: {error}")

    def see_time(self, now: datetime) -> Ending | None:
        """Return a time-out when the deadline has passed."""
        return self.time_out() if now >= self.deadline else None

    def time_out(self) -> Ending:
        """Return the ending of a wait whose deadline has passed."""
        return Ending(
            EndingStatus.TIMEOUT,
            self.last,
            f"The deadline ({self.deadline.isoformat(timespec='seconds')}) passed while the task was {self._status}",
        )

    def give_up(self, error: WanError) -> Ending:
        """Return the ending that an error brings which concerns every wait of the account."""
        return Ending(EndingStatus.ERROR, self.last, str(error))

    def _report(self, change: str) -> None:
        if self._on_change is not None:
            self._on_change(change)

    def _is_answered(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._report(f"{self._vendor.title} answers again")

    def _doubt(self, why: str) -> Ending | None:
        now = utc_now()
        self._doubted_since = self._doubted_since or now
        self._undecided += 1
        has_lasted = (now - self._doubted_since).total_seconds() >= self._times.doubt
        if self._undecided < UNDECIDED_LIMIT or not has_lasted:
            return None
        return Ending(EndingStatus.ERROR, self.last, why)

    def _unknown(self) -> str:
        return (
            f"{self._vendor.title} does not know the task {self.handle.task_id}: it belongs to another account, "
            "region or workspace than the connection's, or it is older than 24 h and its result is gone"
        )


def _said(task: VideoTask) -> str:
    if task.status is TaskStatus.FAILED:
        return f" ({task.error_code or 'no code'}: {task.error_message or 'no reason given'})"
    return f" ({task.progress} %)" if task.progress else ""


def error_of(ending: Ending) -> WanError:
    """Return the error of an ending that brought no video; permanent ones are not ``retryable``."""
    task = ending.task
    about: dict[str, Any] = {"request_id": task.request_id, "task_id": task.task_id}
    match ending.status:
        case EndingStatus.FAILED:
            return vendor_of(task.vendor).failure_of(task)
        case EndingStatus.CANCELLED:
            return WanTaskFailed("The task was cancelled before it ran; it is not billed", retryable=True, **about)
        case EndingStatus.TIMEOUT:
            return WanTaskTimeout(ending.message, retryable=True, **about)
        case _:
            return WanError(ending.message, retryable=True, **about)
