"""Never pay twice: what an attempt does with the record of an earlier submission."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_provider_wan.client.client import WanClient
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanRequestError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.ledger import STATE_KEY, Ledger, LedgerError, Record, StateStore
from airflow_provider_wan.likeness import model_sent, tells_all
from airflow_provider_wan.recovery import Found, Search, Timing, search

log = logging.getLogger(__name__)

KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is trusted; the vendor does not say, its tasks live 24 h."""

TASK_LIFETIME = timedelta(hours=24)
LIST_LIFETIME = TASK_LIFETIME - timedelta(minutes=15)
"""How old a submission may be to be surely still in the list, whatever the clocks."""

STANDSTILL = timedelta(seconds=30)
"""A worker that stood still for longer between writing the intent and sending writes it again first."""

INTENT_TRIES = 3
MOST_LOSSES = 5
"""Lost submissions in a row after which an attempt leaves it to Airflow's retries."""

TOO_YOUNG_TO_VANISH = timedelta(minutes=10)


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

    :param account_name: what tells accounts apart in the fingerprint.
    :param series: identifies a series of automatic retries, so that ``regenerate`` submits once per series.
    :param is_alive: whether a result URL can still be downloaded.
    :param is_stored: whether a landed video is still in its place.
    :param give_up: how long, from ``since``, a recovery may go on looking before the policy decides.
    :param since: when this attempt began to look.
    :param others: ids of tasks that are known to belong to other requests.
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
    since: datetime = field(default_factory=utc_now)
    patience: Patience = field(default_factory=Patience)
    timing: Timing = field(default_factory=Timing)
    others: Collection[str] = ()
    log: Any = log

    @property
    def fingerprint(self) -> str:
        """The digest of the request and of the account it is made on."""
        account = self.client.account
        return self.request.fingerprint(account.vendor, account.base_url, account.workspace_id, self.account_name)

    def obtain(self) -> Obtained | ComeBack:
        """Return the task to wait for.

        :raises LedgerError: when the record cannot be read or written; nothing was submitted.
        :raises WanSubmissionUnknown: when it cannot be known whether a task exists and the policy is to fail.
        :raises WanError: when the vendor refused.
        """
        record = self.ledger.read()
        if record is None:
            return self._submit(None)
        if self.policies.regenerate and record.series != self.series:
            self.log.info("regenerate is set: %s is left behind, a new one is submitted and paid", _named(record))
            return self._submit(self._abandon(record))
        if record.fingerprint != self.fingerprint:
            return self._changed(record)
        if record.handle is None:
            return self._recover(record)
        return self._adopt(record, record.handle)

    def resubmit(self) -> Obtained | ComeBack:
        """Submit anew, whatever is recorded (an adopted task came back cancelled)."""
        return self._submit(self.ledger.read())

    # -- submit ---------------------------------------------------------------------------------------

    def _submit(self, previous: Record | None, losses: int = 0) -> Obtained | ComeBack:
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
            self.log.warning("%s", error)
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

    def _made(self, record: Record, handle: TaskHandle) -> Obtained:
        self.ledger.keep(record.model_copy(update={"handle": handle}))
        return Obtained(handle)

    def _repeat(self, record: Record) -> Obtained | ComeBack:
        """Send a lost submission again with its key: the vendor answers with the task that it made, if it did."""
        self.log.info("The answer to a submission was lost: the same idempotency key is sent again")
        try:
            handle = self.client.submit(self.request, record.idempotency_key, self.patience)
        except (WanQuotaError, WanAuthError, WanBillingError):
            # It says nothing of the lost sending: that stays recorded.
            raise
        except (WanRejectedError, WanModerationError) as error:
            if "idempoten" not in str(error).lower():
                self.ledger.forget()
            raise
        except WanRequestError:
            raise
        except WanError as error:
            why = f"Whether the lost submission made a task is not known yet: {error.message}"
            if self._may_come_back(self.timing.look_again):
                return ComeBack(self.timing.look_again, why)
            raise WanSubmissionUnknown(
                f"{why}. The next attempt repeats the same idempotency key, so nothing is paid twice",
                code=error.code,
                request_id=error.request_id,
                retryable=True,
            ) from error
        return self._made(record, handle)

    # -- a record from before -------------------------------------------------------------------------

    def _changed(self, record: Record) -> Obtained | ComeBack:
        if self.policies.on_changed_request == "fail":
            raise WanRequestError(
                f"The request is not the one that was submitted before ({_named(record)}) and on_changed_request is "
                "'fail': nothing was submitted. Restore the request, or set regenerate and clear the task",
                task_id=record.handle.task_id if record.handle else None,
            )
        self.log.info("The request has changed since %s: a new one is submitted and paid", _named(record))
        return self._submit(self._abandon(record))

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

    def _adopt(self, record: Record, handle: TaskHandle) -> Obtained | ComeBack:
        if record.stored and self._is_in_store(record.stored):
            self.log.info("Task %s is finished and its video is stored: nothing is paid again", handle.task_id)
            return Obtained(handle, self._look_once(handle), True, record.stored)
        try:
            task = self.client.get_task(handle, Patience(tries=2))
        except WanAuthError:
            raise
        except WanRequestError as error:
            self.log.info("%s", error)
            return self._vanished(record, handle)
        except WanError as error:
            self.log.info("The state of task %s is not known now: %s", handle.task_id, error)
            return self._wait_for(record, handle, None)
        if task.status is TaskStatus.SUCCEEDED:
            if self.is_alive(task):
                self.log.info("Task %s has succeeded already: its video is used, nothing is paid again", handle.task_id)
                return Obtained(handle, task, True)
            self.log.warning(
                "Task %s had succeeded, but its video has expired and was not stored: it is made and paid anew "
                "(set store_to to keep videos)",
                handle.task_id,
            )
            return self._submit(record)
        if task.status.is_ended:
            self.log.info("Task %s had %s (not billed): a new one is submitted", handle.task_id, _ended(task))
            return self._submit(record)
        if self.client.vendor.is_final(task):
            return self._vanished(record, handle)
        return self._wait_for(record, handle, task)

    def _wait_for(self, record: Record, handle: TaskHandle, task: VideoTask | None) -> Obtained:
        self.log.info(
            "Adopted task %s (%s, submitted %s): the request is the same, so nothing is submitted or paid again",
            handle.task_id,
            task.status if task else "state not known now",
            handle.submitted_at.isoformat(timespec="seconds"),
        )
        self.ledger.keep(record.model_copy(update={"adopted": True}))
        return Obtained(handle, task, True)

    def _is_in_store(self, stored: dict[str, Any]) -> bool:
        try:
            return self.is_stored(stored)
        except WanError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the storage raises, it is not "the video is gone"
            reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise LedgerError(
            f"It could not be looked up whether the video is still at {stored.get('uri')} ({reason}); "
            "nothing was submitted"
        )

    def _look_once(self, handle: TaskHandle) -> VideoTask | None:
        """Ask for details that are good to have; nothing depends on them."""
        try:
            return self.client.get_task(handle, Patience(tries=1))
        except WanError:
            return None

    def _vanished(self, record: Record, handle: TaskHandle) -> Obtained | ComeBack:
        age = utc_now() - handle.submitted_at
        if age >= TASK_LIFETIME:
            self.log.warning(
                "Task %s is older than 24 h: its result is gone and was not stored, so it is made and paid anew "
                "(set store_to to keep videos)",
                handle.task_id,
            )
            return self._submit(record)
        if age < TOO_YOUNG_TO_VANISH and not self.client.vendor.list_tells_time:
            # The gateways may not know a task yet that they have just made; the wait bears that for a while.
            return self._wait_for(record, handle, None)
        return self._by_policy(
            f"{self.client.vendor.title} does not know task {handle.task_id}, although it is only "
            f"{int(age.total_seconds() // 60)} min old: the connection may have changed its account, region or "
            "workspace",
            record,
        )

    # -- an intent without an answer ------------------------------------------------------------------

    def _recover(self, record: Record, lost: WanSubmissionUnknown | None = None) -> Obtained | ComeBack:
        vendor, age = self.client.vendor, utc_now() - record.intent_at
        if vendor.has_idempotency_key and age < KEY_LIFETIME:
            if lost is not None and self._may_come_back(self.timing.look_again):
                return ComeBack(self.timing.look_again, "The same idempotency key is sent again in a while")
            return self._repeat(record)
        if vendor.list_tells_time and age < LIST_LIFETIME:
            return self._search(record)
        if vendor.has_idempotency_key or vendor.list_tells_time:
            means = "which is too long ago to be looked up"
        else:
            means = f"and {vendor.title} has neither idempotency keys nor a task list to look in"
        cause = f" ({lost.__cause__ or lost.message})" if lost else ""
        return self._by_policy(
            f"The answer to the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC was lost{cause}, {means}",
            record,
            lost,
        )

    def _search(self, record: Record) -> Obtained | ComeBack:
        until = record.lost_at or record.closes_at or record.intent_at + timedelta(minutes=5)
        wanted = Search(
            request=self.request,
            model=model_sent(self.request, self.client.vendor.model_of(self.request)),
            intent_at=record.intent_at,
            until=until,
            request_id=record.lost_request_id,
            not_ours=frozenset(record.former) | frozenset(self.others),
            timing=self.timing,
        )
        found = search(self.client, wanted)
        if found.handle is not None:
            return self._take(record, found, found.handle)
        if found.is_proven_absent:
            return self._made_none(record)
        if found.come_back_in is not None and self._may_come_back(found.come_back_in):
            return ComeBack(found.come_back_in, found.why)
        return self._by_policy(found.why, record)

    def _made_none(self, record: Record) -> Obtained | ComeBack:
        if record.losses + 1 >= MOST_LOSSES:
            self.ledger.keep(record.model_copy(update={"losses": 0}))
            raise WanTransportError(
                f"{self.client.vendor.title} lost {MOST_LOSSES} submissions in a row; its task list shows that none of "
                "them made a task, so nothing is billed",
                request_id=record.lost_request_id,
            )
        self.log.info("The task list shows that the lost submission made no task: it is submitted anew")
        return self._submit(record, losses=record.losses + 1)

    def _take(self, record: Record, found: Found, handle: TaskHandle) -> Obtained:
        by = (
            "its request id"
            if handle.request_id and handle.request_id == record.lost_request_id
            else (
                "time, model and prompt"
                if tells_all(self.request)
                else "time, model and prompt (the vendor does not tell its media)"
            )
        )
        self.log.info(
            "Found task %s, which the lost submission had made, by %s: it is adopted, nothing is paid again",
            handle.task_id,
            by,
        )
        self.ledger.keep(record.model_copy(update={"handle": handle, "adopted": True}))
        return Obtained(handle, found.task, True)

    def _may_come_back(self, seconds: float) -> bool:
        return utc_now() + timedelta(seconds=seconds) < self.since + self.give_up

    def _by_policy(self, why: str, record: Record, lost: WanError | None = None) -> Obtained | ComeBack:
        if self.policies.on_unknown_submission == "resubmit":
            self.log.warning("%s. on_unknown_submission is 'resubmit': a new one is submitted and paid", why)
            return self._submit(record)
        raise WanSubmissionUnknown(
            f"{why}. A task may have been made and billed, so nothing was submitted again "
            "(on_unknown_submission='fail'). Look in the vendor's console; to submit and pay anew, set regenerate or "
            "on_unknown_submission='resubmit' and clear the task",
            code=lost.code if lost else None,
            request_id=lost.request_id if lost else record.lost_request_id,
            task_id=record.handle.task_id if record.handle else None,
        )


def _named(record: Record) -> str:
    if record.handle:
        return f"task {record.handle.task_id}"
    return f"the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC, whose outcome is not known"


def _ended(task: VideoTask) -> str:
    return f"{task.status} with {task.error_code}" if task.error_code else str(task.status)


__all__ = [
    "STATE_KEY",
    "ComeBack",
    "Ledger",
    "LedgerError",
    "Obtained",
    "Policies",
    "Record",
    "StateStore",
    "Submitter",
    "Timing",
]
