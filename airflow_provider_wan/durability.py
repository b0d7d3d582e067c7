"""Never pay twice: the record of a submission, and what a later attempt does with it.

The record lives in Airflow's task state store, which survives retries, clears and crashes (Airflow 3.3 and newer).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ValidationError

from airflow_provider_wan.client.client import WanClient
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanError,
    WanModerationError,
    WanRequestError,
    WanSubmissionUnknown,
)
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.recovery import Found, Search, search

log = logging.getLogger(__name__)

STATE_KEY = "wan_submission"
KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is trusted; the vendor does not say, its tasks live 24 h."""

TASK_LIFETIME = timedelta(hours=24)


class StateStore(Protocol):
    """The part of Airflow's task state store that is used."""

    def get(self, key: str) -> Any:
        """Return the value or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Keep the value."""

    def delete(self, key: str) -> None:
        """Forget the value."""


class LedgerError(WanError):
    """The record of earlier submissions could not be read or written; nothing was submitted."""

    default_retryable = True


class Record(BaseModel):
    """What is known of the last submission of one task instance; holds no secret and no prompt.

    :param fingerprint: digest of the request and the account.
    :param intent_at: when the POST was about to be sent.
    :param lost_at: when its answer was lost, if this process lived to see it.
    :param series: which series of automatic retries it was made in.
    """

    version: int = 1
    fingerprint: str
    intent_at: datetime
    idempotency_key: str
    series: str = ""
    lost_at: datetime | None = None
    lost_request_id: str | None = None
    handle: TaskHandle | None = None
    adopted: bool = False
    finished: bool = False
    stored: dict[str, Any] | None = None


class Ledger:
    """Reads and writes the record; without a store (durability off, or Airflow before 3.3) it only forgets."""

    def __init__(self, store: StateStore | None, key: str = STATE_KEY) -> None:
        self._store = store
        self._key = key

    @property
    def is_durable(self) -> bool:
        """Whether anything survives this process."""
        return self._store is not None

    def read(self) -> Record | None:
        """Return the record, ``None`` when there is none.

        :raises LedgerError: when it could not be read; that is never the same as "no record".
        """
        if self._store is None:
            return None
        try:
            value = self._store.get(self._key)
            return Record.model_validate(value) if value else None
        except ValidationError:
            reason = "it is not one of this provider's"
        except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "no record"
            reason = f"{type(error).__name__}: {error}"
        raise LedgerError(
            f"The record of earlier submissions could not be read ({reason}); nothing was submitted, because a task "
            "may already be running. Try again, or delete the task's state store key "
            f"{self._key!r} to submit anew"
        )

    def write(self, record: Record) -> None:
        """Keep the record.

        :raises LedgerError: when it could not be kept.
        """
        if self._store is None:
            return
        try:
            self._store.set(self._key, record.model_dump(mode="json", exclude_none=True))
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = f"{type(error).__name__}: {error}"
        else:
            return
        raise LedgerError(f"The submission could not be recorded ({reason})")

    def forget(self) -> None:
        """Delete the record; a failure to do so is only logged, because the record stays true."""
        if self._store is None:
            return
        try:
            self._store.delete(self._key)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("The record of a refused submission could not be deleted: %s", type(error).__name__)


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
    """Nothing can be decided yet; ask again in some seconds."""

    seconds: float
    why: str


@dataclass
class Submitter:
    """Obtains the task of one request: adopts what an earlier attempt submitted, submits otherwise.

    :param series: identifies a series of automatic retries, so that ``regenerate`` submits once per series.
    :param account_name: what tells accounts apart in the fingerprint.
    :param is_alive: whether a result URL can still be downloaded.
    :param is_stored: whether a landed video is still in its place.
    :param give_up: how long after the intent a recovery may go on looking.
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
    patience: Patience = field(default_factory=Patience)
    log: Any = log

    @property
    def fingerprint(self) -> str:
        """The digest of the request and of the account it is made on."""
        account = self.client.account
        return self.request.fingerprint(account.vendor, account.base_url, account.workspace_id, self.account_name)

    def obtain(self) -> Obtained | ComeBack:
        """Return the task to wait for.

        :raises LedgerError: when the record cannot be read; nothing was submitted.
        :raises WanSubmissionUnknown: when it cannot be known whether a task exists and the policy is to fail.
        :raises WanError: when the vendor refused.
        """
        record = self.ledger.read()
        if record is None:
            return self._submit()
        if self.policies.regenerate and record.series != self.series:
            self.log.info("regenerate is set: the recorded submission is forgotten, a new one is paid")
            return self._submit()
        if record.fingerprint != self.fingerprint:
            return self._changed(record)
        if record.handle is None:
            return self._recover(record)
        return self._adopt(record, record.handle)

    def resubmit(self) -> Obtained | ComeBack:
        """Submit anew, whatever is recorded (an adopted task came back cancelled)."""
        return self._submit()

    # -- submit ---------------------------------------------------------------------------------------

    def _submit(self) -> Obtained | ComeBack:
        record = Record(
            fingerprint=self.fingerprint,
            intent_at=utc_now(),
            idempotency_key=f"wan-{uuid.uuid4().hex}",
            series=self.series,
        )
        self.ledger.write(record)
        return self._post(record)

    def _post(self, record: Record) -> Obtained | ComeBack:
        try:
            handle = self.client.submit(self.request, record.idempotency_key, self.patience)
        except WanSubmissionUnknown as error:
            lost = record.model_copy(update={"lost_at": utc_now(), "lost_request_id": error.request_id})
            if record.lost_at is not None:
                # A repeat with the same key was lost too: leave it recorded, the next attempt repeats it.
                raise
            self.log.warning("%s", error)
            self._keep(lost)
            return self._recover(lost, error)
        except WanError as error:
            # A refusal is certain: no task was made. But only one of the request itself says so of an earlier,
            # lost sending with the same key too.
            if record.lost_at is None or isinstance(error, WanRequestError | WanModerationError):
                self.ledger.forget()
            raise
        self._keep(record.model_copy(update={"handle": handle}))
        return Obtained(handle)

    def _keep(self, record: Record) -> None:
        """Record what has already happened; a failure must not lose a paid task, so it is only told."""
        try:
            self.ledger.write(record)
        except LedgerError as error:
            where = f"task {record.handle.task_id}" if record.handle else "a submission of unknown outcome"
            self.log.error("%s: %s. If this attempt fails, the next one has to recover it", where, error)

    # -- a record from before -------------------------------------------------------------------------

    def _changed(self, record: Record) -> Obtained | ComeBack:
        what = f"task {record.handle.task_id}" if record.handle else "a submission of unknown outcome"
        if self.policies.on_changed_request == "fail":
            raise WanRequestError(
                f"The request is not the one that was submitted before ({what}) and on_changed_request is 'fail'; "
                "nothing was submitted. Restore the request, or set regenerate",
                task_id=record.handle.task_id if record.handle else None,
            )
        fate = "which may still be billed"
        if record.finished:
            fate = "which is finished"
        elif record.handle and record.handle.vendor == self.client.vendor.name and self._cancel(record.handle):
            fate = "which was cancelled and is not billed"
        self.log.info("The request has changed since %s, %s; a new one is submitted", what, fate)
        return self._submit()

    def _cancel(self, handle: TaskHandle) -> bool:
        try:
            return self.client.cancel_task(handle, Patience(tries=2))
        except WanError as error:
            self.log.warning("The former task %s could not be cancelled: %s", handle.task_id, error)
            return False

    def _adopt(self, record: Record, handle: TaskHandle) -> Obtained | ComeBack:
        if record.stored and self.is_stored(record.stored):
            self.log.info("Task %s is finished and its video is stored: nothing is paid again", handle.task_id)
            return Obtained(handle, self._look(handle), True, record.stored)
        task = self._look(handle)
        if task is None or not (task.status.is_ended or self.client.vendor.is_final(task)):
            self.log.info(
                "Adopted task %s (%s, submitted %s): the request is the same, so nothing is submitted or paid again",
                handle.task_id,
                task.status if task else "state not known now",
                handle.submitted_at.isoformat(timespec="seconds"),
            )
            self._keep(record.model_copy(update={"adopted": True}))
            return Obtained(handle, task, True)
        if task.status is TaskStatus.SUCCEEDED:
            if self.is_alive(task):
                self.log.info("Task %s has succeeded already: its video is used, nothing is paid again", handle.task_id)
                return Obtained(handle, task, True)
            self.log.warning(
                "Task %s had succeeded, but its video has expired and was not stored: it is made and paid anew "
                "(set store_to to keep videos)",
                handle.task_id,
            )
            return self._submit()
        if task.status.is_ended:
            self.log.info("Task %s had %s (not billed): a new one is submitted", handle.task_id, task.status)
            return self._submit()
        return self._vanished(handle)

    def _look(self, handle: TaskHandle) -> VideoTask | None:
        """Ask for the task; ``None`` when the vendor cannot tell now, which is no reason to pay again."""
        try:
            return self.client.get_task(handle, Patience(tries=2))
        except WanAuthError:
            raise
        except WanRequestError as error:
            self.log.info("The vendor does not know task %s: %s", handle.task_id, error)
            return VideoTask(task_id=handle.task_id, vendor=handle.vendor, raw_status="UNKNOWN")
        except WanError as error:
            self.log.info("The state of task %s is not known now: %s", handle.task_id, error)
            return None

    def _vanished(self, handle: TaskHandle) -> Obtained | ComeBack:
        age = utc_now() - handle.submitted_at
        if age >= TASK_LIFETIME:
            self.log.warning(
                "Task %s is older than 24 h and its result is gone and was not stored: it is made and paid anew",
                handle.task_id,
            )
            return self._submit()
        return self._by_policy(
            f"{self.client.vendor.title} does not know task {handle.task_id}, although it is only "
            f"{int(age.total_seconds() // 60)} min old: the connection may have changed its account, region or "
            "workspace",
            handle.task_id,
        )

    # -- an intent without an answer ------------------------------------------------------------------

    def _recover(self, record: Record, lost: WanSubmissionUnknown | None = None) -> Obtained | ComeBack:
        vendor = self.client.vendor
        if vendor.has_idempotency_key and utc_now() - record.intent_at < KEY_LIFETIME:
            self.log.info("The answer to a submission was lost: the same idempotency key is sent again")
            return self._post(record.model_copy(update={"lost_at": record.lost_at or utc_now()}))
        if vendor.list_tells_time and utc_now() - record.intent_at < TASK_LIFETIME:
            return self._search(record)
        return self._by_policy(
            str(lost)
            if lost
            else f"An earlier attempt was interrupted while submitting to {vendor.title}, which has "
            "neither idempotency keys nor a task list to look in: a task may be running and may be billed"
        )

    def _search(self, record: Record) -> Obtained | ComeBack:
        outcome = search(
            self.client,
            Search(
                request=self.request,
                model=self.client.vendor.model_of(self.request),
                intent_at=record.intent_at,
                lost_at=record.lost_at,
                request_id=record.lost_request_id,
                longest=timedelta(seconds=self.patience.throttled + self.client.account.timeout * 2),
            ),
        )
        match outcome:
            case Found(handle=TaskHandle() as handle, task=task):
                self.log.info(
                    "Found task %s, which the lost submission had made: it is adopted, nothing is paid again",
                    handle.task_id,
                )
                self._keep(record.model_copy(update={"handle": handle, "adopted": True}))
                return Obtained(handle, task, True)
            case Found(is_proven_absent=True):
                self.log.info("The task list proves that the lost submission made no task: it is submitted anew")
                return self._submit()
            case Found(come_back_in=float() as seconds, why=why) if utc_now() - record.intent_at < self.give_up:
                return ComeBack(seconds, why)
        return self._by_policy(outcome.why)

    def _by_policy(self, why: str, task_id: str | None = None) -> Obtained | ComeBack:
        if self.policies.on_unknown_submission == "resubmit":
            self.log.warning("%s. on_unknown_submission is 'resubmit': a new one is submitted and paid", why)
            return self._submit()
        raise WanSubmissionUnknown(
            f"{why}. Nothing was submitted again. Look in the vendor's console; then set regenerate (or "
            "on_unknown_submission='resubmit') and clear the task to submit anew",
            task_id=task_id,
        )
