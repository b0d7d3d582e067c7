"""The paid call and its record: the intent before it, the task after it."""

from __future__ import annotations

import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_provider_wan.client.errors import (
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.recovery.search import Clue, Sought, Timing
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable.ledger import Ledger, LedgerError, Record
from airflow_provider_wan.durable.lookup import Knowledge

log = logging.getLogger("airflow_provider_wan.durability")

STANDSTILL = timedelta(seconds=30)
"""A worker that stood still for longer between writing the intent and sending writes it again first."""

INTENT_TRIES = 3


@dataclass(frozen=True)
class Policies:
    """What the author wants done in the doubtful cases."""

    regenerate: bool = False
    on_changed_request: Literal["resubmit", "fail"] = "resubmit"
    on_unknown_submission: Literal["resubmit", "fail"] = "fail"


@dataclass(frozen=True)
class Obtained:
    """A task to wait for, or one that is already done.

    :param task: its state, when it is known.
    :param is_adopted: whether it was submitted by an earlier attempt.
    :param stored: where its video was landed, when it was.
    """

    handle: TaskHandle
    task: VideoTask | None = None
    is_adopted: bool = False
    stored: dict[str, Any] | None = None


@dataclass(frozen=True)
class ComeBack:
    """Nothing can be decided yet; ask again in some seconds, or with the clue of a search.

    :param sought: what has to be looked for first, where the caller can have that done elsewhere.
    """

    seconds: float
    why: str
    sought: Sought | None = None


@dataclass
class Submission(ABC):
    """Submits one request so that the next attempt knows of it: intent, POST, record.

    :param account_name: what tells accounts apart in the fingerprint.
    :param series: identifies a series of automatic retries, so that ``regenerate`` submits once per series.
    :param is_alive: whether a result URL can still be downloaded.
    :param is_stored: whether a landed video is still in its place.
    :param give_up: how long, from ``since``, a recovery may go on looking before the policy decides.
    :param since: when this attempt began to look; the moment of the intent when not given.
    :param others: ids of tasks that are known to belong to other requests.
    :param can_search_elsewhere: the caller can have the task list searched (by a trigger) and come back with a clue.
    :param clue: what such a search came to; good for one attempt.
    :param known: what searches before came to know of the account's tasks.
    :param asks_first: prove with a free call that the vendor answers before the paid one is sent; always done where a
        lost answer could not be looked up.
    """

    client: WanClient
    ledger: Ledger
    policies: Policies
    request: VideoRequest
    account_name: str
    series: str = ""
    is_alive: Callable[[VideoTask], bool] = lambda task: task.video_url is not None
    is_stored: Callable[[dict[str, Any]], bool] = lambda stored: False
    give_up: timedelta = timedelta(hours=6)
    since: datetime | None = None
    patience: Patience = field(default_factory=Patience)
    timing: Timing = field(default_factory=Timing)
    others: Collection[str] = ()
    can_search_elsewhere: bool = False
    clue: Clue | None = None
    known: Knowledge = field(default_factory=Knowledge)
    asks_first: bool = False
    log: Any = log

    @property
    def fingerprint(self) -> str:
        """The digest of the request and of the account it is made on."""
        account = self.client.account
        return self.request.fingerprint(account.vendor, account.base_url, account.workspace_id, self.account_name)

    def resubmit(self) -> Obtained | ComeBack:
        """Submit anew, whatever is recorded (an adopted task came back cancelled)."""
        return self._submit(self.ledger.read())

    @abstractmethod
    def _recover(self, record: Record, lost: WanSubmissionUnknown | None = None) -> Obtained | ComeBack:
        """Find out what became of a submission whose answer was lost."""

    def _submit(self, previous: Record | None, losses: int = 0) -> Obtained | ComeBack:
        vendor = self.client.vendor
        if self.asks_first or not (vendor.has_idempotency_key or vendor.list_tells_time):
            self._ask_first()
        for _ in range(INTENT_TRIES):
            record = self._intent(previous, losses)
            try:
                self.ledger.write(record)
            except LedgerError as error:
                raise LedgerError(f"{error.message}; nothing was submitted") from error
            if utc_now() - record.intent_at < STANDSTILL:
                return self._post(record, previous)
            # Another worker may have taken this one for dead by now; if so, Airflow refuses the next write.
        raise LedgerError("The task state store is so slow that no submission can be recorded in time; try again")

    def _ask_first(self) -> None:
        """Send nothing that costs into an outage: its answer would be lost, and with it the knowledge of its task.

        :raises WanTransportError: when the vendor does not answer; nothing was submitted.
        """
        try:
            self.client.test_key()
        except (WanTransportError, WanServerError, WanResponseError) as error:
            why = f"{self.client.vendor.title} is in trouble, so nothing was submitted: {error.message}"
            raise WanTransportError(why, request_id=error.request_id) from error
        except (WanQuotaError, WanRejectedError):
            # An answer all the same.
            return

    def _intent(self, previous: Record | None, losses: int) -> Record:
        now = utc_now()
        # A throttled POST is repeated while patience lasts; the last one is begun before this moment.
        longest = self.patience.throttled + 3 * self.client.account.timeout
        return Record(
            fingerprint=self.fingerprint,
            intent_at=now,
            closes_at=now + STANDSTILL + timedelta(seconds=longest),
            idempotency_key=f"wan-{uuid.uuid4().hex}",
            series=self.series,
            losses=losses,
            former=previous.known_tasks if previous else [],
        )

    def _post(self, record: Record, previous: Record | None) -> Obtained | ComeBack:
        try:
            handle = self.client.submit(self.request, record.idempotency_key, self.patience)
        except WanSubmissionUnknown as error:
            lost = record.model_copy(update={"lost_at": utc_now(), "lost_request_id": error.request_id})
            self._tell_loss(error)
            self.ledger.keep(lost)
            return self._recover(lost, error)
        except WanError:
            # A refusal is certain: no task was made, so what was recorded before it holds again.
            if previous is None:
                self.ledger.forget()
            else:
                self.ledger.keep(previous)
            raise
        return self._made(record, handle)

    def _tell_loss(self, error: WanSubmissionUnknown) -> None:
        vendor = self.client.vendor
        if not (vendor.has_idempotency_key or vendor.list_tells_time):
            self.log.warning("%s", error)
            return
        # What a person would have to do is not for this person: it is found out next.
        self.log.warning("The answer of %s to the submission was lost: %s", vendor.title, error.__cause__ or error)

    def _made(self, record: Record, handle: TaskHandle) -> Obtained:
        self.ledger.keep(record.model_copy(update={"handle": handle}))
        return Obtained(handle)

    def _abandon(self, record: Record) -> Record:
        """Cancel what can be cancelled of a submission that is not wanted any more."""
        handle = record.handle
        if record.abandoned or record.finished or handle is None or handle.vendor != self.client.vendor.name:
            return record
        try:
            is_cancelled = self.client.cancel_task(handle, Patience(tries=2))
        except WanError as error:
            self.log.warning("The former task %s could not be cancelled and may be billed: %s", handle.task_id, error)
            return record
        fate = (
            "was cancelled and is not billed" if is_cancelled else "cannot be cancelled; if it still runs, it is billed"
        )
        self.log.info("The former task %s %s", handle.task_id, fate)
        return record.model_copy(update={"abandoned": True})


def named(record: Record) -> str:
    """Say which submission a record is of."""
    if record.handle:
        return f"task {record.handle.task_id}"
    return f"the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC, whose outcome is not known"
