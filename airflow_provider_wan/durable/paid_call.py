"""The paid call and its record: the intent before it, the task after it. What follows is decided in ``attempt``."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_wan.client.errors import (
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable.ledger import Ledger, LedgerError, Record
from airflow_provider_wan.durable.times import TIMES, Times

log = logging.getLogger("airflow_provider_wan.durability")

INTENT_TRIES = 3


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
class Lost:
    """No readable answer came: the vendor may have made a task or not.

    :param record: the intent, with what is known of the loss.
    """

    record: Record
    error: WanSubmissionUnknown


@dataclass
class PaidCall:
    """Submits one request so that the next attempt knows of it: intent, POST, record.

    :param account_name: what tells accounts apart in the fingerprint.
    :param series: identifies a series of automatic retries, so that a person's wish is told from a retry.
    :param asks_first: prove with a free call that the vendor answers before the paid one is sent; always done where a
        lost answer could not be looked up.
    """

    client: WanClient
    ledger: Ledger
    request: VideoRequest
    account_name: str
    series: str = ""
    patience: Patience = field(default_factory=Patience)
    asks_first: bool = False
    times: Times = TIMES
    log: Any = log

    @property
    def fingerprint(self) -> str:
        """The digest of the request and of the account it is made on."""
        account = self.client.account
        return self.request.fingerprint(account.vendor, account.base_url, account.workspace_id, self.account_name)

    def send(self, previous: Record | None, losses: int = 0) -> Obtained | Lost:
        """Record the intent, POST once, record the task.

        :param previous: the record that this submission takes the place of.
        :param losses: submissions in a row before this one whose answers were lost and that made no task.
        :raises LedgerError: when the intent cannot be recorded; nothing was submitted.
        :raises WanError: when the vendor refused; what was recorded before holds again.
        """
        vendor = self.client.vendor
        if self.asks_first or not (vendor.has_idempotency_key or vendor.list_tells_time):
            self._ask_first()
        for _ in range(INTENT_TRIES):
            record = self._intent(previous, losses)
            try:
                self.ledger.write(record)
            except LedgerError as error:
                raise LedgerError(f"{error.message}; nothing was submitted") from error
            if utc_now() - record.intent_at < self.times.standstill:
                return self._post(record, previous)
            # Another worker may have taken this one for dead by now; if so, Airflow refuses the next write.
        raise LedgerError("The task state store is so slow that no submission can be recorded in time; try again")

    def made(self, record: Record, handle: TaskHandle) -> Obtained:
        """Record the task that the vendor made."""
        self.ledger.keep(record.model_copy(update={"handle": handle}))
        return Obtained(handle)

    def abandon(self, record: Record) -> Record:
        """Cancel what can be cancelled of a submission that is not wanted any more."""
        handle = record.handle
        if record.abandoned or record.finished or handle is None or handle.vendor != self.client.vendor.name:
            return record
        try:
            is_cancelled = self.client.cancel_task(handle, Patience(tries=2))
        except WanError as error:
            self.log.warning("The former task %s could not be cancelled and may be billed: %s", handle.task_id, error)
            return record
        outcome = (
            "was cancelled and is not billed" if is_cancelled else "cannot be cancelled; if it still runs, it is billed"
        )
        self.log.info("The former task %s %s", handle.task_id, outcome)
        return record.model_copy(update={"abandoned": True})

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
            closes_at=now + self.times.standstill + timedelta(seconds=longest),
            idempotency_key=f"wan-{uuid.uuid4().hex}",
            series=self.series,
            losses=losses,
            former=previous.known_tasks if previous else [],
        )

    def _post(self, record: Record, previous: Record | None) -> Obtained | Lost:
        try:
            handle = self.client.submit(self.request, record.idempotency_key, self.patience)
        except WanSubmissionUnknown as error:
            lost = record.model_copy(update={"lost_at": utc_now(), "lost_request_id": error.request_id})
            self._log_loss(error)
            self.ledger.keep(lost)
            return Lost(lost, error)
        except WanError:
            # A refusal is certain: no task was made, so what was recorded before it holds again.
            if previous is None:
                self.ledger.forget()
            else:
                self.ledger.keep(previous)
            raise
        return self.made(record, handle)

    def _log_loss(self, error: WanSubmissionUnknown) -> None:
        vendor = self.client.vendor
        if not (vendor.has_idempotency_key or vendor.list_tells_time):
            self.log.warning("%s", error)
            return
        # What a person would have to do is not for this person: it is found out next.
        self.log.warning("The answer of %s to the submission was lost: %s", vendor.title, error.__cause__ or error)


def named(record: Record) -> str:
    """Say which submission a record is of."""
    if record.handle:
        return f"task {record.handle.task_id}"
    return f"the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC, whose outcome is not known"
