"""Each call of the client as a flow: a generator that yields calls and pauses and is sent what came back.

The rules of what may be sent twice live here, once; ``client`` carries flows out, blocking or async.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanError,
    WanRejectedError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.exchange import Account, Answer, Broken, Call, Pause, not_the_api
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import (
    Failure,
    TaskFilter,
    TaskPage,
    Upload,
    Vendor,
    retry_after,
)

T = TypeVar("T")
Outcome: TypeAlias = Answer | Broken | None
Flow: TypeAlias = Generator[Call | Pause, Outcome, T]

RETRIED_QUERY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
UNDECIDED_SUBMIT_STATUSES = frozenset({408, 409, 425, 499})
"""4xx answers that do not prove that the vendor took no task."""


@dataclass(frozen=True)
class Patience:
    """How long to go on repeating what may be repeated.

    :param tries: attempts of a query, or of a submission whose outcome a repeat can settle.
    :param throttled: seconds a submission may spend waiting for a throttled vendor.
    """

    tries: int = 4
    throttled: float = 30.0


def back_off(attempt: int, asked: float | None = None, cap: float = 16.0) -> float:
    """Return the seconds to wait after the ``attempt``-th failure (from 0): what was asked, or 0.5·2ⁿ with jitter."""
    if asked is not None:
        return float(min(asked, 120.0))
    return min(cap, 0.5 * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


@dataclass(frozen=True)
class Flows:
    """The flows of one account at one vendor."""

    vendor: Vendor
    account: Account

    def submit(self, request: VideoRequest, idempotency_key: str | None, patience: Patience) -> Flow[TaskHandle]:
        """Make one paid task, sending the POST again only when it is certain that none was made.

        :raises WanSubmissionUnknown: when the vendor may have taken it.
        :raises WanError: when the vendor refused it; nothing was made.
        """
        call = self.vendor.submit(request, self.account, idempotency_key)
        can_settle = self.vendor.has_idempotency_key and idempotency_key is not None
        waited, attempt, undecided = 0.0, 0, False
        while True:
            outcome = yield call
            submitted_at = utc_now()
            verdict = self._judge(outcome)
            if isinstance(verdict, tuple):
                task_id, request_id = verdict
                return TaskHandle(
                    vendor=self.vendor.name,
                    task_id=task_id,
                    mode=request.mode,
                    model=self.vendor.model_of(request),
                    submitted_at=submitted_at,
                    request_id=request_id,
                )
            undecided = undecided or isinstance(verdict, WanSubmissionUnknown)
            attempt += 1
            may_repeat = can_settle if undecided else verdict.retryable
            pause = back_off(attempt - 1, verdict.retry_after)
            if not may_repeat or waited + pause > patience.throttled or attempt >= max(patience.tries, 2) * 2:
                raise self._lost(verdict) if undecided else verdict
            waited += pause
            yield Pause(pause)

    def _judge(self, outcome: Outcome) -> tuple[str, str | None] | WanError:
        """Say whether a task was made (its ids), certainly not (an error), or perhaps (``WanSubmissionUnknown``)."""
        title = self.vendor.title
        if not isinstance(outcome, Answer):
            reason = outcome.reason if isinstance(outcome, Broken) else "no answer"
            if isinstance(outcome, Broken) and not outcome.opened:
                return WanTransportError(f"{title} could not be reached, nothing was submitted: {reason}")
            return self._lost(WanTransportError(reason))
        if 200 <= outcome.status < 300:
            problem = self.vendor.problem(outcome)
            if problem is None:
                ids = None if outcome.is_cut else self.vendor.read_submitted(outcome)
                return ids or self._lost(not_the_api(title, "submit", outcome, "without a task id in it"))
            return self._error(outcome)
        certain = outcome.status < 500 and outcome.status not in UNDECIDED_SUBMIT_STATUSES
        error = self._error(outcome)
        if certain or outcome.status in self.vendor.repeatable_statuses:
            if outcome.status in self.vendor.repeatable_statuses and not isinstance(error, WanRejectedError):
                # A documented "come back later"; billing errors in a 429 stay what they are.
                error.retryable = error.retryable or outcome.status == 503
            else:
                error.retryable = False
            return error
        return self._lost(error)

    def _error(self, answer: Answer, call: str = "submit", task_id: str | None = None) -> WanError:
        try:
            self.vendor.raise_for(answer, call, task_id)
        except WanError as error:
            return error
        return not_the_api(self.vendor.title, call, answer, "which is not its API", task_id)

    def _lost(self, error: WanError) -> WanSubmissionUnknown:
        if isinstance(error, WanSubmissionUnknown):
            return error
        return WanSubmissionUnknown(
            f"It is not known whether {self.vendor.title} took the submission, so it was not repeated "
            f"({error.message}). A task may be running and may be billed: look in the vendor's console, "
            "then let the next attempt recover it, or set regenerate to submit anew",
            code=error.code,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )

    def query(self, call: Call, patience: Patience, task_id: str | None = None) -> Flow[Answer]:
        """Carry out a call that costs nothing, repeating it with back-off.

        :raises WanError: of the last attempt.
        """
        for attempt in range(patience.tries):
            outcome = yield call
            if isinstance(outcome, Answer) and outcome.status not in RETRIED_QUERY_STATUSES:
                if outcome.is_cut:
                    raise not_the_api(self.vendor.title, call.name, outcome, "which is far too large", task_id)
                self.vendor.raise_for(outcome, call.name, task_id)
                return outcome
            error: WanError
            if isinstance(outcome, Answer):
                error = self._error(outcome, call.name, task_id)
                error.retryable = True
            else:
                reason = outcome.reason if isinstance(outcome, Broken) else "no answer"
                error = WanTransportError(f"{self.vendor.title} did not answer {call.name}: {reason}", task_id=task_id)
            if attempt + 1 >= patience.tries:
                break
            yield Pause(back_off(attempt, error.retry_after))
        raise error

    def get_task(self, handle: TaskHandle, patience: Patience) -> Flow[VideoTask]:
        """Query one task.

        :raises WanError: when no attempt brought a readable answer.
        """
        answer = yield from self.query(self.vendor.get_task(handle), patience, handle.task_id)
        return self.vendor.read_task(answer, handle)

    def page(self, wanted: TaskFilter, page: int, patience: Patience) -> Flow[TaskPage]:
        """Fetch one page of the task list."""
        answer = yield from self.query(self.vendor.list_tasks(wanted, page), patience)
        return self.vendor.read_page(answer, wanted, page)

    def cancel(self, handle: TaskHandle, patience: Patience) -> Flow[bool]:
        """Cancel a queued task; ``False`` when the vendor cannot (any more)."""
        if not self.vendor.has_cancel:
            return False
        try:
            yield from self.query(self.vendor.cancel(handle), patience, handle.task_id)
        except WanRejectedError:
            return False
        return True

    def upload(self, upload: Upload, patience: Patience) -> Flow[str]:
        """Hand a file to the vendor and return the URL it takes as media.

        :raises WanError: when a step was refused.
        """
        answer = yield from self.query(self.vendor.upload_start(upload), patience)
        call, url = self.vendor.upload_finish(answer, upload)
        if call is not None:
            outcome = yield call
            if not isinstance(outcome, Answer) or not 200 <= outcome.status < 300:
                said = f"HTTP {outcome.status}: {outcome.excerpt}" if isinstance(outcome, Answer) else str(outcome)
                raise WanTransportError(f"The upload of {upload.filename} to {self.vendor.title} failed: {said}")
        return url

    def key_check(self, patience: Patience) -> Flow[str]:
        """Prove the key; return a sentence about it.

        :raises WanError: saying what is wrong with it.
        """
        answer = yield from self.query(self.vendor.key_check(), patience)
        if answer.json() is None:
            raise not_the_api(self.vendor.title, "test_connection", answer, "which is not its API")
        return f"{self.vendor.title} accepts the key"


__all__ = ["Failure", "Flow", "Flows", "Patience", "WanAuthError", "back_off", "retry_after"]
