"""A request that the vendor takes and then fails: for good, and in the words of the operators' parameters."""

from __future__ import annotations

import random

import pytest

from airflow_provider_wan.client.errors import WanRejectedError, WanTaskFailed
from airflow_provider_wan.client.schedule.schedule import Page, Query, Schedule
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import VENDOR_NAMES, vendor_of
from tests.client.support import EDIT, I2V, R2V, T2V, answer, error_of, handle

INTERVAL = 15.0

# vendor, mode, the code of the failure, what the vendor says, the parameters that a person has to look at
LATE: list[tuple[str, Mode, str | None, str, list[str]]] = [
    ("dashscope", T2V, "InvalidParameter", "Input should be '1080P' or '720P': parameters.resolution", ["resolution"]),
    ("dashscope", T2V, "InvalidParameter", "Duration should be between 2 and 15", ["duration"]),
    (
        "dashscope", I2V, "InvalidParameter", "Field required: input.media.0.url & Field required: parameters.audio",
        ["first_frame", "last_frame", "first_clip", "driving_audio", "generate_audio"],
    ),
    ("dashscope", R2V, "InvalidParameter", "Field required: input.media", ["reference_images", "reference_videos"]),
    ("dashscope", EDIT, "InvalidParameter", "Field required: input.media", ["video", "reference_images"]),
    ("dashscope", T2V, "InvalidParameter", "Input should be '1280*720': parameters.size", ["resolution", "ratio"]),
    ("dashscope", I2V, "InvalidParameter", "Field required: input.img_url", ["first_frame"]),
    (
        "dashscope", I2V, "InvalidParameter",
        "first_clip duration (2.07s after trim) must be less than the requested duration (2s)",
        ["first_clip, duration"],
    ),
    ("powertokens", T2V, "invalid_request", "seconds must be between 2 and 15", ["seconds is the parameter duration"]),
    ("powertokens", T2V, "ali_task_failed", "Input should be '720P': size", ["size is the parameter resolution"]),
    ("powertokens", I2V, "invalid_request", "media is empty", ["media is the parameter first_frame, last_frame"]),
    ("gccai", T2V, "invalid_request", "aspect_ratio is not valid", ["aspect_ratio is the parameter ratio"]),
    ("gccai", R2V, "400", "video_urls: too long", ["video_urls is the parameter reference_videos"]),
    ("gccai", I2V, "task_failed", "Field required: video_urls", ["video_urls is the parameter first_clip"]),
    ("freepik", T2V, None, "InvalidParameter: aspect_ratio must be 16:9", ["aspect_ratio is the parameter ratio"]),
    ("freepik", I2V, None, "Field required: start_image_url", ["start_image_url is the parameter first_frame"]),
    ("freepik", I2V, None, "invalid params: video_url", ["video_url is the parameter first_clip"]),
    ("freepik", EDIT, None, "Validation failed; video_url: too long", ["video_url is the parameter video"]),
    ("openai", T2V, "invalid_value", "size must be WIDTHxHEIGHT", ["size is the parameter resolution or ratio"]),
    ("openai", I2V, None, "Field required: input_reference", ["input_reference is the parameter first_frame"]),
    ("freepik", R2V, None, "video_urls is not valid", ["video_urls is the parameter reference_videos"]),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "mode", "code", "message", "names"), LATE, ids=lambda value: str(value)[:40])
def test_a_late_refusal_is_final_and_names_the_parameters(
    vendor: str, mode: Mode, code: str | None, message: str, names: list[str]
) -> None:
    task = VideoTask(
        task_id="t-1", vendor=vendor, mode=mode, status=TaskStatus.FAILED, error_code=code, error_message=message
    )
    error = vendor_of(vendor).failure_of(task)
    assert type(error) is WanTaskFailed
    assert not error.retryable
    said = str(error)
    assert message in said, "the vendor's own words stay"
    assert [name for name in names if name not in said.partition(message)[2]] == []


def test_every_vendor_is_in_the_table() -> None:
    assert {vendor for vendor, *_ in LATE} == set(VENDOR_NAMES)


@pytest.mark.parametrize("vendor", VENDOR_NAMES)
@pytest.mark.parametrize("message", ["Failed to download the media", "it broke", "request timeout", None])
def test_what_is_no_refusal_may_be_tried_again_and_is_not_translated(vendor: str, message: str | None) -> None:
    task = VideoTask(task_id="t-1", vendor=vendor, status=TaskStatus.FAILED, error_message=message)
    error = vendor_of(vendor).failure_of(task)
    assert error.retryable
    assert "parameter" not in str(error)


def test_a_refusal_at_once_names_the_parameter_too() -> None:
    body = {"error": {"code": "invalid_request", "message": "seconds must be a string"}}
    error = error_of("powertokens", answer(400, body))
    assert type(error) is WanRejectedError
    assert "seconds is the parameter duration" in str(error)


@pytest.mark.parametrize("can_list", [False, True], ids=["by queries", "by list"])
def test_a_task_is_first_looked_at_one_interval_after_its_submission(can_list: bool) -> None:
    """So that a refusal is known by then, however long videos of its kind take."""
    schedule = Schedule(100.0, can_list, random.Random(0))
    schedule.add(handle(), INTERVAL, "wan2.7-t2v 1080P 15", 0.0)
    now = 0.0
    while isinstance(step := schedule.next(now), float):
        now += step
    assert isinstance(step, Query if not can_list else Query | Page)
    assert now == pytest.approx(INTERVAL, rel=0.02)
