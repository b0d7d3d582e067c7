"""What DashScope's errors mean for the caller."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanTaskFailed,
)
from airflow_provider_wan.client.vendors import vendor_of
from tests.client.support import (
    answer,
    error_of,
    read,
)

dashscope = vendor_of("dashscope")

REFUSALS: list[tuple[int, str, str, type[WanError], bool]] = [
    (400, "InvalidParameter", "Model not exist.", WanRejectedError, False),
    (400, "InvalidParameter", "Field required: input.prompt", WanRejectedError, False),
    (400, "InvalidParameter", "url error, please check url！", WanRejectedError, False),  # noqa: RUF001 - theirs
    (400, "InvalidParameter", "Failed to find the requested media resource", WanRejectedError, False),
    (400, "InvalidParameter", "Failed to download multimodal content", WanServerError, True),
    (400, "InvalidParameter", "Download the media resource timed out during the data inspection", WanServerError, True),
    (400, "InvalidParameter", "oss download error.", WanServerError, True),
    (400, "InvalidParameter", "request timeout after 23 seconds.", WanServerError, True),
    (400, "InvalidParameter", "does not comply with green network verification.", WanModerationError, False),
    (400, "InvalidParameter.DataInspection", "Unable to download the media", WanServerError, True),
    (400, "DataInspectionFailed", "Input data may contain inappropriate content.", WanModerationError, False),
    (400, "IPInfringementSuspect", "suspected", WanModerationError, False),
    (400, "CustomRoleBlocked", "blocked", WanModerationError, False),
    (400, "FaqRuleBlocked", "blocked", WanModerationError, False),
    (400, "Arrearage", "Access denied, please make sure your account is in good standing.", WanBillingError, False),
    (400, "InvalidURL", "Required URL is missing or invalid", WanRejectedError, False),
    (400, "InvalidURL.ConnectionRefused", "refused", WanServerError, True),
    (400, "InvalidURL.Timeout", "slow", WanServerError, True),
    (400, "BadRequest.TooLarge", "too large", WanRejectedError, False),
    (400, "BadRequest.InputDownloadFailed", "failed", WanServerError, True),
    (400, "InvalidFile.DownloadFailed", "failed", WanServerError, True),
    (400, "InvalidFile.FPS", "fps", WanRejectedError, False),
    (400, "APIConnectionError", "network", WanServerError, True),
    (400, "ClientDisconnect", "network", WanServerError, True),
    (401, "InvalidApiKey", "Invalid API-key provided.", WanAuthError, False),
    (401, "NOT AUTHORIZED", "workspace", WanAuthError, False),
    (401, "invalid access token or token expired", "x", WanAuthError, False),
    (403, "AccessDenied", "current user api does not support synchronous calls.", WanAuthError, False),
    (403, "Model.AccessDenied", "x", WanAuthError, False),
    (403, "Endpoint.AccessDenied", "retired", WanAuthError, False),
    (403, "AllocationQuota.FreeTierOnly", "free quota used up", WanBillingError, False),
    (404, "ModelNotFound", "no such model", WanRejectedError, False),
    (404, "WorkSpaceNotFound", "x", WanRejectedError, False),
    (429, "Throttling", "x", WanQuotaError, True),
    (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.", WanQuotaError, True),
    (429, "Throttling.BurstRate", "x", WanQuotaError, True),
    (429, "Throttling.Concurrency", "Too many concurrent requests.", WanQuotaError, True),
    (429, "LimitRequests", "x", WanQuotaError, True),
    (429, "Throttling.AllocationQuota", "Allocated quota exceeded", WanQuotaError, True),
    (429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", WanBillingError, False),
    (429, "insufficient_quota", "Free allocated quota exceeded.", WanBillingError, False),
    (429, "CommodityNotPurchased", "x", WanBillingError, False),
    (429, "PrepaidBillOverdue", "x", WanBillingError, False),
    (429, "PostpaidBillOverdue", "x", WanBillingError, False),
    (500, "InternalError", "x", WanServerError, True),
    (500, "InternalError.Algo", "x", WanServerError, True),
    (500, "RequestTimeOut", "x", WanServerError, True),
    (500, "RewriteFailed", "x", WanServerError, True),
    (503, "ModelUnavailable", "x", WanServerError, True),
    (503, "ServiceUnavailable", "x", WanServerError, True),
    (504, "GatewayTimeout", "x", WanServerError, True),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message", "kind", "retryable"), REFUSALS)
def test_error_codes_have_their_class(
    status: int, code: str, message: str, kind: type[WanError], retryable: bool
) -> None:
    error = error_of("dashscope", answer(status, {"code": code, "message": message, "request_id": "q9"}))
    assert type(error) is kind
    assert (error.code, error.request_id, error.retryable) == (code, "q9", retryable)
    assert message[:40] in error.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, {"error": {"code": "invalid_api_key"}, "request_id": "q"}, WanAuthError, "invalid_api_key"),
        (400, {"error": {"code": "data_inspection_failed"}}, WanModerationError, "data_inspection_failed"),
        (429, {"error": {"message": "m", "code": "limit_requests"}}, WanQuotaError, "limit_requests"),
        (403, {"error": {"message": "m", "code": "access_denied"}}, WanAuthError, "access_denied"),
        (404, {"error": {"message": "m", "code": "model_not_found"}}, WanRejectedError, "model_not_found"),
        (400, {"code": "InvalidParameter", "msg": "in msg"}, WanRejectedError, "InvalidParameter"),
        (200, {"code": "InvalidParameter", "message": "m", "request_id": "q"}, WanRejectedError, "InvalidParameter"),
        (200, {"code": "InvalidParameter", "message": "m", "output": None}, WanRejectedError, "InvalidParameter"),
        (413, {}, WanResponseError, "413"),
        (401, b"<html>login</html>", WanAuthError, "401"),
        (403, b"", WanAuthError, "403"),
        (429, b"slow down", WanQuotaError, "429"),
        (502, b"<html>bad gateway</html>", WanResponseError, "502"),
    ],
)  # fmt: skip
def test_error_shapes(status: int, body: Any, kind: type[WanError], code: str) -> None:
    error = error_of("dashscope", answer(status, body))
    assert type(error) is kind
    assert error.code == code


def test_good_answers_are_no_errors() -> None:
    good = {"output": {"task_status": "FAILED", "code": "InvalidParameter", "message": "m"}, "request_id": "q"}
    assert error_of("dashscope", answer(200, good)) is None
    assert error_of("dashscope", answer(200, {"request_id": "q"})) is None


def test_request_id_comes_from_the_header_when_the_body_has_none() -> None:
    assert error_of("dashscope", answer(500, {"code": "InternalError"}, x_request_id="h1")).request_id == "h1"


FAILURES: list[tuple[str | None, str | None, type[WanError], bool]] = [
    ("InvalidParameter", "The two modes are mutually exclusive.", WanTaskFailed, False),
    ("DataInspectionFailed", "Output data may contain inappropriate content.", WanModerationError, False),
    ("IPInfringementSuspect", "m", WanModerationError, False),
    ("InternalError.Timeout", "3 hours", WanTaskFailed, True),
    ("InternalError.Algo", "m", WanTaskFailed, True),
    ("InvalidParameter.DataInspection", "m", WanTaskFailed, True),
    ("Arrearage", "m", WanBillingError, False),
    ("Throttling.AllocationQuota", "Free allocated quota exceeded.", WanBillingError, False),
    (None, None, WanTaskFailed, True),
]


@pytest.mark.parametrize(("code", "message", "kind", "retryable"), FAILURES)
def test_failed_task_says_why(code: str | None, message: str | None, kind: type[WanError], retryable: bool) -> None:
    task = read("dashscope", {"request_id": "q", "output": {"task_status": "FAILED", "code": code, "message": message}})
    error = dashscope.failure_of(task)
    assert type(error) is kind
    assert (error.code, error.task_id, error.request_id, error.retryable) == (code, "t1", "q", retryable)
    assert (message or "no reason") in str(error)
