"""What a batch knows of each item and of itself, as it is kept in the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskStatus, utc_now
from airflow_provider_wan.durable import Record

FORMER_KEPT = 5
MESSAGE_LIMIT = 500
USAGE_LIMIT = 2000
"""Bytes of JSON of a vendor's usage that are kept."""

MADE = ("status", "cost", "video_url", "url_expires_at", "started_at", "finished_at", "usage")
"""What is known of a video that was made."""

GONE_CODE = "ResultGone"
"""The error code of a video that was made, but whose address serves it no more."""


class ItemRecord(BaseModel):
    """What is known of one item; holds no prompt and no media.

    :param record: its submission, as for a single task.
    :param status: how it ended, ``None`` while it has not; ``unknown`` when this attempt gave up waiting, or could
        not know whether a task was made: the record stays for the next.
    :param tries: how many tasks were made for it and failed.
    :param former: ids of those and of other tasks that were left behind.
    :param submissions: how many objects of the ledger hold its submissions, where each has one of its own.
    :param again_at: when to go on with it (a lost answer, a landing that failed), not sooner.
    :param looking_since: when this attempt began to look for a lost submission.
    :param landings: how often its video could not be stored.
    :param usage: what the vendor counted, as it gave it.
    :param error_code: why there is no video, or why it is not stored.
    :param cost: what its task cost, once that has ended.
    :param retryable: whether another attempt may mend that.
    """

    record: Record | None = None
    status: TaskStatus | None = None
    tries: int = 0
    former: list[str] = []
    submissions: int = 0
    again_at: datetime | None = None
    looking_since: datetime | None = None
    landings: int = 0
    video_url: str | None = None
    url_expires_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    retryable: bool = False
    stored: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None

    @property
    def task_id(self) -> str | None:
        """The id of its task, when one is known."""
        return self.record.handle.task_id if self.record and self.record.handle else None

    @property
    def task_ids(self) -> list[str]:
        """The ids of all its tasks, left behind or not."""
        return [*self.former, *([self.task_id] if self.task_id else [])]

    @property
    def is_in_flight(self) -> bool:
        """Whether a task was made and has not ended."""
        return self.status is None and self.task_id is not None

    @property
    def is_in_doubt(self) -> bool:
        """Whether a submission was begun and its answer is not known."""
        return self.status is None and self.record is not None and self.record.handle is None

    @property
    def is_open(self) -> bool:
        """Whether nothing was submitted for it so far."""
        return self.status is None and self.record is None

    @property
    def is_gone(self) -> bool:
        """Whether the address of its video is known to be dead."""
        is_expired = self.url_expires_at is not None and self.url_expires_at <= utc_now()
        return is_expired or self.error_code == GONE_CODE

    def with_error(self, error: WanError, status: TaskStatus) -> ItemRecord:
        """Return it given up; ``unknown`` and ``succeeded`` keep its task for the next attempt."""
        return self.model_copy(
            update={
                "status": status,
                "error_code": error.code or type(error).__name__,
                "error_message": error.message[:MESSAGE_LIMIT],
                "retryable": error.retryable,
                "again_at": None,
                "looking_since": None,
            }
        )

    def reopened(self) -> ItemRecord:
        """Return it as it was before it was given up, with what was submitted and made."""
        is_made = self.status is TaskStatus.SUCCEEDED
        kept: dict[str, Any] = {"record": self.record, "former": self.former, "tries": self.tries}
        kept |= {"stored": self.stored, "submissions": self.submissions}
        made = {name: getattr(self, name) for name in MADE} if is_made else {}
        return ItemRecord(**kept, **made)

    def left_behind(self, tries: int = 0) -> ItemRecord:
        """Return a new entry whose next submission is a new task; the former one's id stays known."""
        return ItemRecord(tries=tries, former=self.task_ids[-FORMER_KEPT:], submissions=self.submissions)


class Backoff(BaseModel):
    """Nothing is submitted until a moment.

    :param seconds: how long this pause is; the next one in a row is twice as long.
    :param since: when the first one in a row began.
    """

    until: datetime
    seconds: float
    since: datetime


class Stop(BaseModel):
    """Why nothing more is submitted in this attempt."""

    message: str
    retryable: bool = False


class AccountRecord(BaseModel):
    """What a batch knows of one of several accounts.

    :param state: what it answered last in place of a task, as ``AccountState.to_dict`` gives it.
    :param died: whether that is its key or its money, so that nothing is sent to it until the state's time is over.
    :param window: how many tasks it may have under way, where it has said so by a refusal.
    """

    state: dict[str, Any] | None = None
    died: bool = False
    window: float | None = None


class BatchRecord(BaseModel):
    """What is known of the batch itself.

    :param chunks: values of the store that hold entries.
    :param series: the series of automatic retries that this attempt belongs to.
    :param began_at: when this attempt began.
    :param rows: digest of the rows it was opened with.
    :param pauses: by model, ``*`` for all.
    :param kept_rows: values of the store that hold the rows of this attempt, see ``snapshot``.
    :param account: what told accounts apart when the items got their keys.
    :param accounts: by connection, where there are several.
    :param unstored: videos in a row that were given up because they could not be stored.
    """

    chunks: int = 0
    series: str | None = None
    began_at: datetime | None = None
    rows: str | None = None
    stop: Stop | None = None
    pauses: dict[str, Backoff] = {}
    kept_rows: int = 0
    kept_digest: str | None = None
    account: list[str | None] | None = None
    accounts: dict[str, AccountRecord] = {}
    unstored: int = 0
