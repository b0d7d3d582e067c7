"""Which failures are tried again, and after how long."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk import DAG

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanServerError,
    WanSubmissionUnknown,
    WanTaskFailed,
    WanTaskTimeout,
    WanTransportError,
)
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.policies import retry
from airflow_provider_wan.policies.retry import WanRetryPolicy

needs_policies = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="retry policies came with Airflow 3.3")
MINUTE = timedelta(minutes=1)


def decided(error: BaseException, try_number: int = 1, **given: Any) -> tuple[str, timedelta | None]:
    decision = WanRetryPolicy(**given).evaluate(error, try_number, 5)
    return decision.action.value, decision.retry_delay


DELAYS = [
    (WanQuotaError("slow down"), "retry", 2 * MINUTE),
    (WanQuotaError("slow down", retry_after=30), "retry", MINUTE / 2),
    (WanQuotaError("slow down", retry_after=1e6), "retry", 60 * MINUTE),
    (WanTaskTimeout("late", retryable=True), "retry", MINUTE / 4),
    (WanSubmissionUnknown("lost", retryable=True), "retry", MINUTE / 4),
    (WanTaskFailed("overload", retryable=True), "retry", 5 * MINUTE),
    (WanSubmissionUnknown("lost"), "fail", None),
    (WanAuthError("wrong key"), "fail", None),
    (WanBillingError("empty"), "fail", None),
    (ValueError("somebody else's"), "default", None),
]


@needs_policies
@pytest.mark.parametrize(("error", "action", "delay"), DELAYS, ids=lambda value: type(value).__name__)
def test_what_passes_is_tried_again_and_what_does_not_is_not(
    error: BaseException, action: str, delay: timedelta | None
) -> None:
    assert decided(error) == (action, delay)


@needs_policies
def test_an_outage_is_given_more_time_with_each_try_up_to_a_limit() -> None:
    for kind in (WanTransportError, WanServerError):
        for try_number, least in ((1, 1), (2, 2), (5, 16), (400, 60)):
            _, delay = decided(kind("down"), try_number)
            assert delay is not None
            assert 0.8 * least * MINUTE <= delay <= 1.2 * least * MINUTE


@needs_policies
def test_other_errors_are_another_policys() -> None:
    from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

    rule = RetryRule(exception=KeyError, action=RetryAction.FAIL, reason="ours")
    policy = WanRetryPolicy(otherwise=ExceptionRetryPolicy([rule]))
    assert policy.evaluate(KeyError("x"), 1, 3).action is RetryAction.FAIL
    assert policy.evaluate(WanServerError("down"), 1, 3).action is RetryAction.RETRY


@needs_policies
def test_airflow_asks_the_policy_for_what_the_worker_raised() -> None:
    from airflow.sdk.execution_time.task_runner import _evaluate_retry_policy

    class Log:
        def info(self, *_: Any, **__: Any) -> None: ...

        def exception(self, message: str) -> None:
            raise AssertionError(message)

    class Instance:
        task = WanTextToVideoOperator(task_id="make", prompt="A boat", retries=3, retry_policy=WanRetryPolicy())
        try_number = 2
        _ti_context_from_server = None

    decision = _evaluate_retry_policy(Instance(), WanQuotaError("slow down", retry_after=9), Log(), None)
    assert decision is not None
    assert decision.retry_delay == timedelta(seconds=9)


def test_a_policy_survives_being_written_down() -> None:
    policy = WanRetryPolicy(throttled=10, outage=MINUTE)
    again = WanRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    assert repr(again) == repr(policy)


@pytest.mark.parametrize("wrong", [{"throttled": 0}, {"outage": timedelta(-1)}, {"failed": "soon"}, {"longest": None}])
def test_wrong_times_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: is "):
        WanRetryPolicy(**wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda **given: WanTextToVideoOperator(task_id="make", prompt="A boat", **given),
        lambda **given: WanVideoBatchOperator(task_id="rows", requests=[{"prompt": "A boat"}], **given),
    ],
)
def test_a_dag_with_a_policy_is_parsed_on_every_airflow(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with DAG("films", schedule=None):
        operator = make(retry_policy=WanRetryPolicy())
    if AIRFLOW_V_3_3_PLUS:
        assert isinstance(operator.retry_policy, WanRetryPolicy)
    else:
        assert retry.NEEDS_3_3 in caplog.text


def test_every_error_that_is_retryable_by_itself_has_a_pause() -> None:
    kinds = [kind for kind in WanError.__subclasses__() if kind.default_retryable]
    assert kinds
    for kind in kinds:
        delay, why = WanRetryPolicy()._delay(kind("x"), 1)
        assert delay > timedelta()
        assert why
