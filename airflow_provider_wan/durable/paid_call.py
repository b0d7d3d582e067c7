"""The paid call and its record: the intent before it, the task after it. What follows is decided in ``attempt``."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NoReturn

from airflow_provider_wan.client.errors import (
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.polling.cancelling import abandon
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience, Submitted
from airflow_provider_wan.durable.ledger import Ledger, LedgerError, Record
from airflow_provider_wan.durable.sealing import as_sent, seal
from airflow_provider_wan.durable.times import SubmissionTimes, times_in_force

log = logging.getLogger("airflow_provider_wan.durability")

INTENT_TRIES = 3


@dataclass(frozen=True)
class Obtained:
    """A task to wait for, or one that is already done.

    :param task: its state, when it is known.
    :param is_adopted: whether it was submitted by an earlier attempt.
    :param stored: where its video was landed, when it was.
    :param is_recovered: whether its submission's answer was lost and it was found by key or by list.
    """

    handle: TaskHandle
    task: VideoTask | None = None
    is_adopted: bool = False
    stored: dict[str, Any] | None = None
    is_recovered: bool = False


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

    :param account_name: what shows accounts apart in the fingerprint.
    :param series: identifies a series of automatic retries, so that a person's wish and a retry can be kept apart.
    :param asks_first: prove with a free call that the vendor answers before the paid one is sent; always done where a
        lost answer could not be looked up.
    :param before: called, once or more, before an intent is written; what it raises keeps the call from being sent.
    :param reach: gives the request addresses that the vendor can fetch; called when it is about to be sent.
    :param expected_cost: the estimate, recorded so that it is known where only the record is.
    :param is_choice: whether the account was chosen among several: then what is recorded names it.
    """

    client: WanClient
    ledger: Ledger
    request: VideoRequest
    account_name: str
    series: str = ""
    patience: Patience = field(default_factory=Patience)
    asks_first: bool = False
    before: Callable[[], None] = lambda: None
    expected_cost: dict[str, Any] | None = None
    is_choice: bool = False
    reach: Callable[[VideoRequest, WanClient], VideoRequest] = lambda request, client: request
    times: SubmissionTimes = field(default_factory=times_in_force)
    log: Any = log

    @property
    def fingerprint(self) -> str:
        """The digest of the request and of the account it is made on."""
        account = self.client.account
        return self.request.fingerprint(account.vendor, account.base_url, account.workspace_id, self.account_name)

    @property
    def what_is_asked(self) -> str:
        """The digest of the request and of who pays, whatever address the vendor has, and whether a workspace is named.

        A connection that begins to name the workspace of its key is the same account in effect: the task is asked for.
        """
        return self.request.fingerprint(self.client.account.vendor, self.account_name)

    def send(self, previous: Record | None, losses: int = 0, clock_offset: float | None = None) -> Obtained | Lost:
        """Record the intent, POST once, record the task.

        :param previous: the record that this submission takes the place of.
        :param losses: submissions in a row before this one whose answers were lost and that made no task.
        :param clock_offset: seconds by which the vendor's clock is ahead of this worker's.
        :raises IntentTaken: when another worker of the task instance has begun a submission; nothing was submitted.
        :raises LedgerError: when the intent cannot be recorded; nothing was submitted.
        :raises WanError: when the vendor refused; what was recorded before holds again.
        """
        self.before()
        vendor = self.client.vendor
        if self.asks_first or not (vendor.has_idempotency_key or vendor.list_tells_time):
            self.ask_first()
        request = self.reach(self.request, self.client)
        for _ in range(INTENT_TRIES):
            record = self._intent(previous, losses, clock_offset, request)
            try:
                self.ledger.open(record)
            except LedgerError as error:
                raise type(error)(f"{error.message}; nothing was submitted") from error
            if utc_now() - record.intent_at < self.times.standstill:
                return self._post(record, previous, request)
            # Another worker may have taken this one for dead by now; if so, Airflow refuses the next write.
        raise LedgerError("The task state store is so slow that no submission can be recorded in time; try again")

    def repeat(self, record: Record) -> Submitted:
        """Send a lost submission again with its idempotency key, once, and note that before.

        :raises LedgerError: when that cannot be noted; nothing was sent.
        :raises WanError: which proves nothing of the first sending, whatever it says.
        """
        reached = self.reach(self.request, self.client)
        self.ledger.write(record)
        # The flow would repeat by itself; each sending is noted instead.
        once = replace(self.patience, tries=1, not_after=utc_now() + self.times.standstill)
        request = as_sent(reached, record.sealed, self.client.account)
        return self.client.submit_with_proof(request, record.idempotency_key, once)

    def made(self, record: Record, handle: TaskHandle) -> Obtained:
        """Record the task that the vendor made."""
        handle = self.named(handle)
        self.ledger.keep(record.model_copy(update={"handle": handle, "sealed": None}))
        self.ledger.claim(handle)
        return Obtained(handle)

    def named(self, handle: TaskHandle) -> TaskHandle:
        """Return a handle that names the connection, where there was a choice."""
        return handle.model_copy(update={"wan_conn_id": self.account_name}) if self.is_choice else handle

    def abandon(self, record: Record) -> Record:
        """Cancel what can be cancelled of a submission that is not wanted any more."""
        handle = record.handle
        if record.abandoned or record.finished or handle is None or handle.vendor != self.client.vendor.name:
            return record
        outcome = abandon(self.client, handle)
        if outcome.is_cancelled is None:
            self.log.warning("The request has changed. %s", outcome.message)
            return record
        self.log.info("The request has changed. %s", outcome.message)
        return record.model_copy(update={"abandoned": True})

    def ask_first(self) -> None:
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

    def _intent(
        self, previous: Record | None, losses: int, clock_offset: float | None, request: VideoRequest
    ) -> Record:
        now = utc_now()
        # A throttled POST is repeated while patience lasts; after this moment none is begun, come what may.
        longest = self.patience.throttled + 3 * self.client.account.timeout
        return Record(
            fingerprint=self.fingerprint,
            request=self.what_is_asked,
            intent_at=now,
            closes_at=now + self.times.standstill + timedelta(seconds=longest),
            clock_offset=clock_offset,
            sealed=seal(request, self.client.account) if self.client.vendor.has_idempotency_key else None,
            idempotency_key=f"wan-{uuid.uuid4().hex}",
            series=self.series,
            losses=losses,
            cost=self.expected_cost,
            former=previous.known_tasks if previous else [],
            wan_conn_id=self.account_name if self.is_choice else None,
        )

    def _post(self, record: Record, previous: Record | None, request: VideoRequest) -> Obtained | Lost:
        try:
            # One POST whose outcome is not known is enough for one intent: what follows is noted, one by one.
            patience = replace(self.patience, tries=1, not_after=record.closes_at)
            handle = self.client.submit(request, record.idempotency_key, patience)
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


class SubmissionHeld(Exception):
    """A new submission is due, and it is not this call that may send it.

    :param previous: the record that it would take the place of.
    :param losses: submissions in a row before it whose answers were lost and that made no task.
    """

    def __init__(self, previous: Record | None = None, losses: int = 0) -> None:
        super().__init__("Nothing may be submitted here")
        self.previous = previous
        self.losses = losses


class HeldCall(PaidCall):
    """A paid call that may only find out what became of a submission; its repeat with the same key is that."""

    def send(self, previous: Record | None, losses: int = 0, clock_offset: float | None = None) -> NoReturn:
        """Send nothing.

        :raises SubmissionHeld: always.
        """
        raise SubmissionHeld(previous, losses)


def named(record: Record) -> str:
    """Say which submission a record is of."""
    if record.handle:
        return f"task {record.handle.task_id}"
    return f"the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC, whose outcome is not known"
