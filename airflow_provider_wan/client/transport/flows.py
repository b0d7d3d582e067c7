"""Each call of the client as a flow: a generator that yields calls and pauses and is sent what came back.

The rules of what may be sent twice live here, once; ``client`` carries flows out, blocking or async.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.exchange import Answer, Broken, Call, Pause, not_the_api
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage, Upload, Vendor
from airflow_provider_wan.client.vendors.reading import served_at

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Outcome: TypeAlias = Answer | Broken | None
Flow: TypeAlias = Generator[Call | Pause, Outcome, T]

RETRIED_QUERY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
PERMANENT = (WanAuthError, WanBillingError, WanModerationError, WanRejectedError)
UNKNOWN_CALL = frozenset({"404", "405"})
ASKED_MAX = 120.0
"""Seconds: a query asked to wait for longer is given up, and its error says for how long."""


@dataclass(frozen=True)
class Patience:
    """How long to go on repeating what may be repeated.

    :param tries: attempts of a query, or of a submission whose outcome a repeat can settle.
    :param throttled: seconds a submission may spend waiting for a throttled vendor.
    :param not_after: the moment (aware) from which on no submission is sent any more, because others may then take
        this one for lost; a process that stood still finds it passed.
    """

    tries: int = 4
    throttled: float = 30.0
    not_after: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is too late to send a submission."""
        return self.not_after is not None and utc_now() >= self.not_after


def back_off(attempt: int, asked: float | None = None, cap: float = 16.0) -> float:
    """Return the seconds to wait after the ``attempt``-th failure (from 0): 0.5·2ⁿ with jitter, longer if asked."""
    own = min(cap, 0.5 * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
    return max(own, asked or 0.0)


@dataclass(frozen=True)
class Submitted:
    """A task that was made, and what its answer says besides.

    :param is_replayed: whether the vendor says that its answer is that of an earlier sending with the same key;
        ``None`` where it says nothing.
    :param served_at: the vendor's clock when it answered.
    """

    handle: TaskHandle
    is_replayed: bool | None = None
    served_at: datetime | None = None


@dataclass(frozen=True)
class Proof:
    """What a call that proves the key has shown.

    :param served_at: the vendor's clock when it answered.
    """

    message: str
    served_at: datetime | None = None


@dataclass(frozen=True)
class _Refusal:
    """A submission that brought no task id.

    :param is_undecided: whether the vendor may have made a task all the same.
    :param may_repeat: whether the vendor has certainly made none and the same request may pass later.
    """

    error: WanError
    is_undecided: bool = False
    may_repeat: bool = False


@dataclass(frozen=True)
class Flows:
    """The flows of one account at one vendor."""

    vendor: Vendor
    account: Account

    def submit(self, request: VideoRequest, idempotency_key: str | None, patience: Patience) -> Flow[Submitted]:
        """Make one paid task, sending the POST again only when it is certain that none was made.

        :raises WanSubmissionUnknown: when the vendor may have taken it.
        :raises WanError: when the vendor refused it; nothing was made.
        """
        if self.vendor.has_idempotency_key and idempotency_key is None:
            idempotency_key = uuid.uuid4().hex
        call = self.vendor.submit_call(request, self.account, idempotency_key)
        call = replace(call, model=self.vendor.model_of(request))
        waited, attempt, undecided = 0.0, 0, 0
        too_late = "The time in which this submission may be sent is over, so it was not sent"
        last: WanError = WanTransportError(too_late)
        while True:
            if patience.is_over:
                raise self._lost(last, attempt) if undecided else last
            outcome = yield call
            submitted_at = utc_now()
            verdict = self._judge(outcome)
            if not isinstance(verdict, _Refusal):
                task_id, request_id = verdict
                handle = TaskHandle(
                    vendor=self.vendor.name,
                    task_id=task_id,
                    mode=request.mode,
                    model=self.vendor.model_of(request),
                    submitted_at=submitted_at,
                    request_id=request_id,
                )
                return Submitted(handle, *_beside(outcome))
            undecided += verdict.is_undecided
            last = verdict.error
            # A lost answer may be settled by the same key only; a few repeats of that are useful.
            can_settle = self.vendor.has_idempotency_key and undecided < patience.tries
            may_repeat = can_settle if verdict.is_undecided else verdict.may_repeat
            pause = back_off(attempt, verdict.error.retry_after)
            if not may_repeat or waited + pause > patience.throttled:
                raise self._lost(verdict.error, attempt) if undecided else verdict.error
            attempt += 1
            waited += pause
            # What a person reads who wonders where the seconds have gone.
            log.info("%s. The submission is sent again in %.1f s", verdict.error.message, pause)
            yield Pause(pause)

    def _judge(self, outcome: Outcome) -> tuple[str, str | None] | _Refusal:
        """Say whether a task was made (its ids), and if it seems not, how certain that is."""
        title = self.vendor.title
        if not isinstance(outcome, Answer):
            broken = outcome or Broken("no answer", opened=True)
            if not broken.opened:
                why = f"{title} could not be reached, nothing was submitted: {broken.reason}"
                return _Refusal(WanTransportError(why), may_repeat=True)
            return _Refusal(WanTransportError(broken.reason, request_id=broken.request_id), is_undecided=True)
        if 200 <= outcome.status < 300:
            ids = None if outcome.is_cut else self.vendor.read_submitted(outcome)
            if ids:
                return ids
            if self.vendor.problem(outcome) is None:
                return _Refusal(not_the_api(title, "submit", outcome, "without a task id in it"), is_undecided=True)
            return _Refusal(self._error(outcome), is_undecided=not self.vendor.is_refusal(outcome))
        error = self._error(outcome)
        if outcome.status in self.vendor.repeatable_statuses:
            # A documented "come back later", unless its text names a reason that waiting does not mend.
            return _Refusal(error, may_repeat=not isinstance(error, PERMANENT))
        if self.vendor.is_refusal(outcome):
            if isinstance(error, WanResponseError):
                error.retryable = False
            return _Refusal(error)
        return _Refusal(error, is_undecided=True)

    def _error(self, answer: Answer, call: str = "submit", task_id: str | None = None) -> WanError:
        try:
            self.vendor.raise_for(answer, call, task_id)
        except WanError as error:
            return error
        return not_the_api(self.vendor.title, call, answer, "which is not its API", task_id)

    def _lost(self, error: WanError, repeats: int) -> WanSubmissionUnknown:
        # Without a key, repeats were those of a throttled call, before the answer was lost.
        had_key = repeats and self.vendor.has_idempotency_key
        sent = f"repeated {repeats} times with one idempotency key, in vain" if had_key else "not repeated"
        unknown = WanSubmissionUnknown(
            f"It is not known whether {self.vendor.title} took the submission, and it was {sent} "
            f"({error.message}). A task may be running and may be billed: look in the vendor's console, "
            "then let the next attempt recover it, or set regenerate to submit anew",
            code=error.code,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )
        unknown.__cause__ = error
        return unknown

    def query(self, call: Call, patience: Patience, read: Callable[[Answer], R], task_id: str | None = None) -> Flow[R]:
        """Carry out a call that costs nothing and read its answer, repeating it with back-off.

        :raises WanError: of the last attempt.
        """
        error: WanError = WanTransportError(f"{self.vendor.title} was not asked")
        for attempt in range(max(1, patience.tries)):
            if attempt:
                pause = back_off(attempt - 1, error.retry_after)
                if pause > ASKED_MAX:
                    break
                yield Pause(pause)
            outcome = yield call
            if not isinstance(outcome, Answer):
                reason = outcome.reason if isinstance(outcome, Broken) else "no answer"
                error = WanTransportError(f"{self.vendor.title} did not answer {call.name}: {reason}", task_id=task_id)
                continue
            if outcome.status in RETRIED_QUERY_STATUSES:
                error = self._error(outcome, call.name, task_id)
                error.retryable = True
                continue
            try:
                self.vendor.raise_for(outcome, call.name, task_id)
                if outcome.is_cut:
                    raise not_the_api(self.vendor.title, call.name, outcome, "which is far too large", task_id)
                return read(outcome)
            except (WanResponseError, WanServerError) as trouble:
                error = trouble
        raise error

    def get_task(self, handle: TaskHandle, patience: Patience) -> Flow[VideoTask]:
        """Query one task.

        :raises WanError: when no attempt brought a readable answer.
        """
        return (
            yield from self.query(
                replace(self.vendor.task_call(handle), model=handle.model),
                patience,
                lambda answer: self.vendor.read_task(answer, handle, self.account.base_url),
                handle.task_id,
            )
        )

    def page(self, wanted: TaskFilter, page: int, patience: Patience) -> Flow[TaskPage]:
        """Fetch one page of the task list; one beyond the last is empty."""
        try:
            return (
                yield from self.query(
                    self.vendor.page_call(wanted, page),
                    patience,
                    lambda answer: self.vendor.read_page(answer, wanted, page),
                )
            )
        except WanRejectedError as error:
            word = self.vendor.past_the_end
            if page > 1 and word and word in f"{error.code} {error.message}":
                return TaskPage([], None)
            raise

    def cancel(self, handle: TaskHandle, patience: Patience) -> Flow[bool]:
        """Cancel a queued task; ``False`` when the vendor cannot (any more)."""
        if not self.vendor.has_cancel:
            return False
        try:
            if self.vendor.cancels_by_deleting and (yield from self.get_task(handle, patience)).status.is_ended:
                return False
            yield from self.query(
                self.vendor.cancel_call(handle),
                patience,
                lambda answer: self._json_of(answer, "cancel_task", handle.task_id),
                handle.task_id,
            )
        except WanRejectedError:
            return False
        return True

    def upload(self, upload: Upload, patience: Patience) -> Flow[str]:
        """Hand a file to the vendor and return the URL it takes as media.

        :raises WanError: when a step was refused.
        """
        call, url = yield from self.query(
            self.vendor.upload_call(upload), patience, lambda answer: self.vendor.upload_finish(answer, upload)
        )
        if call is not None:
            outcome = yield call
            if not isinstance(outcome, Answer) or not 200 <= outcome.status < 300:
                said = outcome.reason if isinstance(outcome, Broken) else "no answer"
                if isinstance(outcome, Answer):
                    said = f"HTTP {outcome.status}: {outcome.excerpt}"
                raise WanTransportError(f"The upload of {upload.filename} to {self.vendor.title} failed: {said}")
        return url

    def key_check(self, patience: Patience) -> Flow[Proof]:
        """Prove the key; a server that may have none, and knows no such call, has at least answered.

        :raises WanError: saying what is wrong with it.
        """

        def read(answer: Answer) -> Proof:
            self._json_of(answer, "test_connection")
            return Proof(f"{self.vendor.title} accepts the key", served_at(answer))

        try:
            return (yield from self.query(self.vendor.key_call(), patience, read))
        except WanRejectedError as error:
            if self.vendor.needs_key or error.code not in UNKNOWN_CALL:
                raise
            return Proof(f"{self.vendor.title} answers; it has no call that would prove a key")

    def _json_of(self, answer: Answer, call: str, task_id: str | None = None) -> dict[str, Any]:
        content = answer.json()
        if content is None:
            raise not_the_api(self.vendor.title, call, answer, "which is not its API", task_id)
        return content


def _beside(outcome: Outcome) -> tuple[bool | None, datetime | None]:
    """Read what the headers of an accepted submission say: whether it is replayed, and the vendor's clock."""
    if not isinstance(outcome, Answer):
        return None, None
    said = outcome.headers.get("idempotency-replayed", "").strip().lower()
    return {"true": True, "1": True, "false": False, "0": False}.get(said), served_at(outcome)


__all__ = ["Flow", "Flows", "Outcome", "Patience", "Proof", "Submitted", "T", "back_off"]
