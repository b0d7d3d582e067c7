"""A request that the vendor takes and then fails: for good, and in the words of the operators' parameters."""

from __future__ import annotations

import pytest

from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import vendor_of


@pytest.mark.parametrize(
    ("vendor", "message", "parameter"),
    [
        ("powertokens", "seconds must be between 2 and 15", "duration"),
        ("gccai", "aspect_ratio is not valid", "ratio"),
    ],
)
def test_a_late_refusal_names_the_parameter(vendor: str, message: str, parameter: str) -> None:
    task = VideoTask(
        task_id="t-1",
        vendor=vendor,
        status=TaskStatus.FAILED,
        error_code="invalid_request",
        error_message=message,
    )
    error = vendor_of(vendor).failure_of(task)
    assert not error.retryable
    assert f"is the parameter {parameter}" in str(error)


def test_what_is_no_refusal_is_not_translated() -> None:
    task = VideoTask(
        task_id="t-1", vendor="dashscope", status=TaskStatus.FAILED, error_code="InternalError", error_message="size?"
    )
    assert "parameter" not in str(vendor_of("dashscope").failure_of(task))
