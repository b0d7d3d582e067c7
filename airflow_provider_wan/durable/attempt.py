"""Never pay twice: what an attempt does with the record of an earlier submission.

One direction: an attempt reads the record, then adopts, recovers or sends; ``recovery`` and ``paid_call`` answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanError,
    WanRequestError,
    WanSubmissionUnknown,
    WanTaskFailed,
)
from airflow_provider_wan.client.recovery.search import Clue, Timing, timing_in_force
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable.ledger import IntentTaken, LedgerError, Record
from airflow_provider_wan.durable.lookup import Knowledge
from airflow_provider_wan.durable.paid_call import HeldCall, Lost, Obtained, PaidCall, named
from airflow_provider_wan.durable.recovery import SOON, ComeBack, Doubt, NoTask, Recovery

GONE_CODE = "ResultGone"
"""The error code of a video that was made, but whose address serves it no more."""


@dataclass(frozen=True)
class Policies:
    """What the author wants done in the doubtful cases."""

    regenerate: bool = False
    on_changed_request: Literal["resubmit", "fail"] = "resubmit"
    on_unknown_submission: Literal["resubmit", "fail"] = "fail"


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
        self._recovery = Recovery(
            call=call,
            give_up=self.give_up,
            since=self.since,
            timing=self.timing,
            others=self.others,
            owner=self.owner,
            can_search_elsewhere=self.can_search_elsewhere,
            known=self.known,
        )

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
        clue, self.clue = self.clue, None
        found = self._recovery.recover(record, lost, clue)
        match found:
            case NoTask():
                self.log.info("The task list shows that the lost submission made no task: it is submitted anew")
                return self._submit(record, found.losses)
            case Doubt():
                return self._by_policy(found.why, record, found.error)
        return found

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


def _ended(task: VideoTask) -> str:
    return f"{task.status} with {task.error_code}" if task.error_code else str(task.status)
