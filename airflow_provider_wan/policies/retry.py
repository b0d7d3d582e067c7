"""When Airflow tries a failed task again, by what the error says (``retry_policy=``, Airflow 3.3 and newer)."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wan.client.errors import (
    WanError,
    WanQuotaError,
    WanResponseError,
    WanServerError,
    WanSubmissionUnknown,
    WanTaskTimeout,
    WanTransportError,
)

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
else:
    try:
        from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
    except ImportError:  # Airflow before 3.3: the class can be named in a DAG, Airflow does not ask it
        RetryDecision, RetryPolicy = None, object

log = logging.getLogger(__name__)

NEEDS_3_3 = "retry_policy needs Airflow 3.3; here retries and retry_delay decide"
OUTAGE = (WanTransportError, WanServerError, WanResponseError)
ADOPTING = timedelta(seconds=15)
"""Before an attempt that goes on with a task that is paid: nothing is gained by letting it wait."""
JITTER = 0.2
LONGEST_DOUBLING = 16


class WanRetryPolicy(RetryPolicy):
    """Retries what may pass, after as long as it takes to pass; fails at once what will not.

    Operators stop the retries of permanent errors by themselves. In ``@task`` functions that use the hook, this policy
    does.

    :param throttled: seconds or a timedelta after a refusal for too many requests, where the vendor names no time.
    :param outage: after the first failure of network or vendor; doubled with each try, with a fifth of jitter.
    :param longest: the longest pause.
    :param failed: after a generation that the vendor could not make, for a reason that may pass.
    :param otherwise: the policy that is asked about errors that are not of this provider; without it, Airflow's own
        ``retries`` and ``retry_delay`` decide.
    """

    def __init__(
        self,
        *,
        throttled: float | timedelta = timedelta(minutes=2),
        outage: float | timedelta = timedelta(minutes=1),
        longest: float | timedelta = timedelta(hours=1),
        failed: float | timedelta = timedelta(minutes=5),
        otherwise: RetryPolicy | None = None,
    ) -> None:
        self.throttled, self.outage = _positive("throttled", throttled), _positive("outage", outage)
        self.longest, self.failed = _positive("longest", longest), _positive("failed", failed)
        self.otherwise = otherwise

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide what follows a failure; Airflow calls it on the worker.

        :param try_number: of the try that failed, from 1.
        """
        if not isinstance(exception, WanError):
            if self.otherwise is not None:
                return self.otherwise.evaluate(exception, try_number, max_tries, context)
            return RetryDecision.default()
        name = type(exception).__name__
        if not exception.retryable:
            return RetryDecision.fail(f"{name} does not pass by itself")
        delay, why = self._delay(exception, try_number)
        return RetryDecision.retry(delay, f"{name}: {why}")

    def _delay(self, error: WanError, try_number: int) -> tuple[timedelta, str]:
        if isinstance(error, WanQuotaError):
            asked = timedelta(seconds=error.retry_after) if error.retry_after else self.throttled
            return min(max(asked, timedelta(seconds=1)), self.longest), "throttled, no task was made"
        if isinstance(error, WanTaskTimeout | WanSubmissionUnknown):
            return ADOPTING, "the next try goes on with what is recorded"
        if isinstance(error, OUTAGE):
            doubled = self.outage * 2 ** min(max(0, try_number - 1), LONGEST_DOUBLING)
            jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
            return min(doubled, self.longest) * jitter, "the vendor or the way to it is in trouble"
        return self.failed, "it may pass"

    def serialize(self) -> dict[str, Any]:
        """Return the policy as plain JSON; its times are seconds."""
        times = {name: getattr(self, name).total_seconds() for name in ("throttled", "outage", "longest", "failed")}
        return {"__type": "WanRetryPolicy", **times}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> WanRetryPolicy:
        """Return the policy of what :meth:`serialize` gave; another one behind it is not part of that."""
        return cls(**{name: value for name, value in data.items() if name != "__type"})

    def __repr__(self) -> str:
        times = ", ".join(f"{name}={getattr(self, name)}" for name in ("throttled", "outage", "longest", "failed"))
        return f"WanRetryPolicy({times})"


def drop_unknown(arguments: dict[str, Any]) -> None:
    """Take ``retry_policy`` out of an operator's arguments where Airflow does not know it, and say so."""
    if RetryDecision is None and arguments.pop("retry_policy", None) is not None:
        log.warning(NEEDS_3_3)


def _positive(name: str, given: float | timedelta) -> timedelta:
    try:
        value = given if isinstance(given, timedelta) else timedelta(seconds=given)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name}: is seconds or a timedelta (given: {given!r})") from error
    if value <= timedelta():
        raise ValueError(f"{name}: is more than 0 seconds (given: {given!r})")
    return value
