"""Never pay twice: what an attempt does with the record of an earlier submission.

One direction: an attempt reads the record, then adopts, searches or sends; ``paid_call`` only answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanRequestError,
    WanSubmissionUnknown,
    WanTaskFailed,
    WanTransportError,
)
from airflow_provider_wan.client.recovery.search import Clue, Sought, Timing, timing_in_force
from airflow_provider_wan.client.recovery.traits import model_sent, shows_all, traits_asked
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable.ledger import IntentTaken, LedgerError, Record
from airflow_provider_wan.durable.lookup import Found, Knowledge, Whose, confirm, search
from airflow_provider_wan.durable.paid_call import HeldCall, Lost, Obtained, PaidCall, named

MOST_LOSSES = 5
"""Lost submissions in a row after which an attempt leaves it to Airflow's retries."""

MOST_REPEATS = 3
"""How often one intent is sent again with its key: a host that does not heed the key makes a task each time."""

MOST_REPEATS_TRUSTED = 12
"""The same at a host that has shown that it heeds keys."""

SOON = 2.0
"""Seconds after which what another worker, or a second sending, has come to is known."""
GONE_CODE = "ResultGone"
"""The error code of a video that was made, but whose address serves it no more."""


@dataclass(frozen=True)
class Policies:
    """What the author wants done in the doubtful cases."""

    regenerate: bool = False
    on_changed_request: Literal["resubmit", "fail"] = "resubmit"
    on_unknown_submission: Literal["resubmit", "fail"] = "fail"


@dataclass(frozen=True)
class ComeBack:
    """Nothing can be decided yet; ask again in some seconds, or with the clue of a search.

    :param sought: what has to be looked for first, where the caller can have that done elsewhere.
    """

    seconds: float
    why: str
    sought: Sought | None = None


@dataclass
class Attempt:
    """Obtains the task of one request: adopts what an earlier attempt submitted, submits otherwise.

    :param is_alive: whether a result URL can still be downloaded.
    :param is_stored: whether a landed video is still in its place.
    :param give_up: how long, from ``since``, a recovery may go on looking before the policy decides.
    :param since: when this attempt began to look; the moment of the intent when not given.
    :param timing: how far the vendor's task list is trusted.
    :param others: ids of tasks that are known to belong to other requests.
    :param owner: names this task instance among those whose tasks the searching side knows.
    :param can_search_elsewhere: the caller can have the task list searched (by a trigger) and come back with a clue.
    :param clue: what such a search came to; good for one attempt.
    :param known: what searches before came to know of the account's tasks.
    """

    call: PaidCall
    policies: Policies = field(default_factory=Policies)
    is_alive: Callable[[VideoTask], bool] = lambda task: task.video_url is not None
    is_stored: Callable[[dict[str, Any]], bool] = lambda stored: False
    give_up: timedelta = timedelta(hours=6)
    since: datetime | None = None
    timing: Timing = field(default_factory=timing_in_force)
    others: Collection[str] = ()
    owner: str = ""
    can_search_elsewhere: bool = False
    clue: Clue | None = None
    known: Knowledge = field(default_factory=Knowledge)

    def __post_init__(self) -> None:
        call = self.call
        self.client, self.ledger, self.request = call.client, call.ledger, call.request
        self.times, self.log = call.times, call.log

    def obtain(self) -> Obtained | ComeBack:
        """Return the task to wait for.

        :raises LedgerError: when the record cannot be read or written; nothing was submitted.
        :raises WanSubmissionUnknown: when it cannot be known whether a task exists and the policy is to fail.
        :raises WanError: when the vendor refused.
        """
        try:
            return self._obtain()
        except IntentTaken as error:
            return ComeBack(SOON, f"{error.message}. What it records is adopted")

    def _obtain(self) -> Obtained | ComeBack:
        record = self.ledger.read()
        if record is None:
            return self._submit(None)
        if self.policies.regenerate and record.series != self.call.series:
            self.log.info("regenerate is set: %s is left behind, a new one is submitted and paid", named(record))
            return self._replace(record)
        if record.fingerprint != self.call.fingerprint:
            if not self._is_only_moved(record):
                return self._changed(record)
            record = record.model_copy(update={"fingerprint": self.call.fingerprint})
        if record.handle is None:
            return self._recover(record)
        return self._adopt(record, record.handle)

    def resubmit(self) -> Obtained | ComeBack:
        """Submit anew, whatever is recorded (an adopted task came back cancelled)."""
        return self._submit(self.ledger.read())

    def send(self, previous: Record | None, losses: int = 0) -> Obtained | Lost:
        """Submit, whatever is recorded.

        :raises WanError: which proves that no task was made.
        """
        # First of all: what it refuses asks the vendor nothing.
        self.call.before()
        if isinstance(self.call, HeldCall):
            return self.call.send(previous, losses)
        offset = self.known.clock_offset(self.client) if self.client.vendor.list_tells_time else None
        return self.call.send(previous, losses, offset)

    def recover(self, lost: Lost) -> Obtained | ComeBack:
        """Find out what became of a submission whose answer was lost just now."""
        return self._recover(lost.record, lost.error)

    def _submit(self, previous: Record | None, losses: int = 0) -> Obtained | ComeBack:
        sent = self.send(previous, losses)
        return self.recover(sent) if isinstance(sent, Lost) else sent

    def _replace(self, record: Record) -> Obtained | ComeBack:
        """Submit in the place of a task that is not wanted any more; it goes on where the new one is refused here."""
        self.call.before()
        return self._submit(self.call.abandon(record))

    # -- a record from before -------------------------------------------------------------------------

    def _is_only_moved(self, record: Record) -> bool:
        """Whether only the vendor's address is another one: then the recorded task is asked for there first."""
        if not record.request or record.request != self.call.what_is_asked:
            return False
        if record.handle is None:
            return True
        try:
            task = self.client.get_task(record.handle, Patience(tries=2))
        except WanRequestError:
            return False
        except WanError as error:
            self.log.info("The state of task %s is not known now: %s", record.handle.task_id, error)
            return True
        is_known = task.status.is_ended or not self.client.vendor.is_final(task)
        if is_known:
            self.log.info("%s has another address now, where task %s is known", self.client.vendor.title, task.task_id)
        return is_known

    def _changed(self, record: Record) -> Obtained | ComeBack:
        if self.policies.on_changed_request == "fail":
            raise WanRequestError(
                f"The request is not the one that was submitted before ({named(record)}) and on_changed_request is "
                "'fail': nothing was submitted. Restore the request, or set regenerate and clear the task",
                task_id=record.handle.task_id if record.handle else None,
            )
        self.log.info("The request has changed since %s: a new one is submitted and paid", named(record))
        return self._replace(record)

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
            return self._make_anew(record, f"Task {handle.task_id} had succeeded, but its video has expired")
        if task.status.is_ended:
            cost = self.client.vendor.cost_of_failure
            self.log.info("Task %s had %s%s: a new one is submitted", handle.task_id, _ended(task), cost)
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

    def _make_anew(self, record: Record, why: str) -> Obtained | ComeBack:
        """Pay for a video a second time: a person's wish (a clear begins a new series), never an automatic retry's."""
        why = f"{why} and was not stored"
        if record.series != self.call.series:
            self.log.warning("%s: it is made and paid anew (set store_to to keep videos)", why)
            return self._submit(record)
        raise WanTaskFailed(
            f"{why}. An automatic retry does not pay for it again: to make and pay it anew, clear the task; set "
            "store_to to keep videos",
            code=GONE_CODE,
            task_id=record.handle.task_id if record.handle else None,
        )

    def _vanished(self, record: Record, handle: TaskHandle) -> Obtained | ComeBack:
        age = utc_now() - handle.submitted_at
        if age >= self.times.task_lifetime:
            return self._make_anew(record, f"Task {handle.task_id} is older than 24 h: its result is gone")
        if age < self.times.too_young_to_vanish and not self.client.vendor.list_tells_time:
            # The gateways may not know a task yet that they have just made; the wait bears that for a while.
            return self._wait_for(record, handle, None)
        if self.client.vendor.cancels_by_deleting and record.series != self.call.series:
            # A person killed the task instance, which deleted it, and cleared it now; or the server has lost it.
            self.log.warning("Task %s is not known at the server any more: a new one is submitted", handle.task_id)
            return self._submit(record)
        return self._by_policy(
            f"{self.client.vendor.title} does not know task {handle.task_id}, although it is only "
            f"{int(age.total_seconds() // 60)} min old: the connection may have changed its account, region or "
            "workspace",
            record,
        )

    # -- an intent without an answer ------------------------------------------------------------------

    def _recover(self, record: Record, lost: WanSubmissionUnknown | None = None) -> Obtained | ComeBack:
        vendor, age = self.client.vendor, utc_now() - record.intent_at
        if vendor.list_tells_time and age < self.times.list_lifetime:
            return self._search(record)
        if lost is None and self._may_be_under_way(record) and self._may_come_back(record, self.timing.look_again):
            return ComeBack(
                self._pause_for_another(record),
                "Another worker may be submitting just now: what it records is waited for",
            )
        if vendor.has_idempotency_key and age < self.times.key_lifetime:
            if lost is not None and self._may_come_back(record, self.timing.look_again):
                soon = min(self.timing.look_again, SOON)
                return ComeBack(soon, "The same idempotency key is sent again in a moment")
            return self._repeat(record)
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

    def _may_be_under_way(self, record: Record) -> bool:
        """Whether the worker that wrote the intent may still be sending it."""
        return record.lost_at is None and not record.repeats and utc_now() < (record.closes_at or record.intent_at)

    def _pause_for_another(self, record: Record) -> float:
        """Seconds until the next look: a live worker needs few, a killed one is waited for till it can send no more.

        Each look may start a process, so they become fewer.
        """
        age = (utc_now() - record.intent_at).total_seconds()
        left = ((record.closes_at or record.intent_at) - utc_now()).total_seconds()
        return min(self.timing.look_again, max(SOON, min(age / 3, left)))

    def _repeat(self, record: Record) -> Obtained | ComeBack:
        """Send a lost submission again with its key: the vendor answers with the task that it made, if it did.

        A refusal of the repeat says nothing of the first sending. Nothing is sent into an outage, and not often:
        whether this host heeds the key is not known before it has answered.
        """
        spent = record.repeats if record.series == self.call.series else 0
        if spent >= (MOST_REPEATS_TRUSTED if self.known.heeds_key else MOST_REPEATS):
            return self._by_policy(
                f"The answer to the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC was lost, and so were those "
                f"to {spent} repeats with its idempotency key",
                record,
            )
        try:
            self.call.ask_first()
        except WanTransportError as error:
            return self._repeat_later(record, error)
        self.log.info("The answer to a submission was lost: the same idempotency key is sent again")
        again = record.model_copy(update={"repeats": spent + 1, "series": self.call.series})
        try:
            sent = self.call.repeat(again)
        except LedgerError:
            raise
        except (WanQuotaError, WanAuthError, WanBillingError):
            # Certainly no second task either.
            self.ledger.keep(record)
            raise
        except (WanRejectedError, WanModerationError) as error:
            return self._by_policy(_REFUSED_REPEAT.format(record.intent_at, error.message), record, error)
        except WanRequestError:
            raise
        except WanError as error:
            # What the vendor said of the key, not what is said here of a lost answer.
            if "idempoten" in str(error.__cause__ or error).lower():
                return self._by_policy(_REFUSED_REPEAT.format(record.intent_at, error.message), record, error)
            return self._repeat_later(again, error)
        self.known.heeds_key = self.known.heeds_key or bool(sent.is_replayed)
        return replace(self.call.made(again, sent.handle), is_recovered=True)

    def _repeat_later(self, record: Record, error: WanError) -> ComeBack:
        why = f"Whether the lost submission made a task is not known yet: {error.message}"
        if self._may_come_back(record, self.timing.look_again):
            return ComeBack(self.timing.look_again, why)
        raise WanSubmissionUnknown(
            f"{why}. The next attempt repeats the same idempotency key, so nothing is paid twice",
            code=error.code,
            request_id=error.request_id,
            retryable=True,
        ) from error

    def _search(self, record: Record) -> Obtained | ComeBack:
        sought = self._sought(record)
        clue, self.clue = self.clue, None
        if clue is not None and clue.intent_at == record.intent_at:
            found = confirm(self.client, sought, self.request, clue, self._whose)
        elif self.can_search_elsewhere:
            return self._search_elsewhere(sought)
        else:
            found = search(self.client, sought, self.request, self.known, self._whose)
        if found.handle is not None:
            if not self.ledger.claim(found.handle):
                return ComeBack(SOON, f"Task {found.handle.task_id} has just been adopted by another task")
            return self._take(record, found, found.handle)
        if found.is_proven_absent:
            return self._made_none(record)
        if found.come_back_in is not None and self._may_come_back(record, found.come_back_in):
            return ComeBack(found.come_back_in, found.why)
        return self._by_policy(found.why, record)

    def _sought(self, record: Record) -> Sought:
        return Sought(
            mode=self.request.mode,
            model=model_sent(self.request, self.client.vendor.model_of(self.request)),
            traits=traits_asked(self.request),
            intent_at=record.intent_at,
            until=record.lost_at or record.closes_at or record.intent_at + timedelta(minutes=5),
            request_id=record.lost_request_id,
            not_ours=frozenset(record.former) | frozenset(self.others),
            timing=self.timing,
            clock_offset=record.clock_offset,
            owner=self.owner,
        )

    @property
    def _whose(self) -> Whose:
        return Whose(self.ledger.is_anothers, self.ledger.knows_claims)

    def _search_elsewhere(self, sought: Sought) -> ComeBack:
        why = (
            f"Whether the submission of {sought.intent_at:%Y-%m-%d %H:%M:%S} UTC made a task is looked up in the task "
            "list; until that is known nothing is submitted"
        )
        return ComeBack(sought.timing.look_again, why, sought)

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
                if shows_all(self.request)
                else "time, model and prompt (the vendor does not show its media)"
            )
        )
        self.log.info(
            "Found task %s, which the lost submission had made, by %s: it is adopted, nothing is paid again",
            handle.task_id,
            by,
        )
        handle = self.call.named(handle)
        self.ledger.keep(record.model_copy(update={"handle": handle, "adopted": True, "sealed": None}))
        return Obtained(handle, found.task, True, is_recovered=True)

    def _may_come_back(self, record: Record, seconds: float) -> bool:
        return utc_now() + timedelta(seconds=seconds) < (self.since or record.intent_at) + self.give_up

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


_REFUSED_REPEAT = (
    "The answer to the submission of {:%Y-%m-%d %H:%M:%S} UTC was lost, and its repeat with the same idempotency key "
    "was refused ({}), which says nothing of the first sending"
)


def _ended(task: VideoTask) -> str:
    return f"{task.status} with {task.error_code}" if task.error_code else str(task.status)
