"""Handles, tasks, fingerprints and results: what is recorded and passed on."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_wan.client.errors import Violation, WanError, WanQuotaError, WanRequestError, WanResponseError
from airflow_provider_wan.client.tasks import RESULT_FIELDS, Mode, TaskHandle, TaskStatus, VideoTask, result_of
from airflow_provider_wan.client.urls import shorten
from tests.client.support import I2V, IMAGE, R2V, SUBMITTED_AT, T2V, handle, make


def test_handle_is_a_flat_json_dict_and_back() -> None:
    own = handle("freepik", R2V, "u1", "wan-2-7")
    as_dict = own.to_dict()
    assert as_dict == {
        "vendor": "freepik",
        "task_id": "u1",
        "mode": "reference_to_video",
        "model": "wan-2-7",
        "submitted_at": "2026-10-20T02:00:01Z",
        "request_id": None,
    }
    assert TaskHandle.of(json.loads(json.dumps(as_dict))) == own
    assert TaskHandle.of(own) is own


def test_times_are_told_in_utc() -> None:
    china = timezone(timedelta(hours=8))
    base = handle().to_dict()
    assert TaskHandle.of(base | {"submitted_at": datetime(2026, 10, 20, 10, 0, 1, tzinfo=china)}) == handle()
    assert TaskHandle.of(base | {"submitted_at": datetime(2026, 10, 20, 2, 0, 1)}) == handle()
    task = VideoTask(task_id="t1", vendor="x", finished_at=datetime(2026, 10, 20, 10, tzinfo=china))
    assert task.finished_at == datetime(2026, 10, 20, 2, tzinfo=UTC)


FINISHED = VideoTask(
    task_id="t1",
    vendor="dashscope",
    mode=Mode.TEXT_TO_VIDEO,
    status=TaskStatus.SUCCEEDED,
    video_url="https://x.example/v.mp4",
    video_urls=["https://x.example/v.mp4"],
    prompt="a private thought",
    actual_prompt="a private thought, rewritten",
    duration=5.0,
    submitted_at=SUBMITTED_AT,
)


def test_events_carry_no_prompt() -> None:
    event = FINISHED.to_event()
    assert "private" not in json.dumps(event)
    assert event["prompt_was_rewritten"] is True
    assert VideoTask.model_validate(event).video_url == FINISHED.video_url


def test_result_has_the_documented_keys_and_fills_what_the_vendor_does_not_echo() -> None:
    result = result_of(FINISHED, seed=7, resolution="720P", prompt="ignored: the vendor said it")
    assert tuple(result) == RESULT_FIELDS == (
        "task_id", "vendor", "mode", "model", "status", "video_url", "video_urls", "url_expires_at", "prompt",
        "actual_prompt", "resolution", "ratio", "duration", "seed", "submitted_at", "started_at", "finished_at",
        "usage", "request_id", "wan_conn_id", "cost",
    )  # fmt: skip
    assert (result["seed"], result["resolution"], result["prompt"]) == (7, "720P", "a private thought")
    assert (result["duration"], type(result["duration"])) == (5, int)
    assert result["submitted_at"] == "2026-10-20T02:00:01Z"
    assert json.dumps(result)


@pytest.mark.parametrize(
    ("status", "is_ended"), [(status, status in ("succeeded", "failed", "cancelled")) for status in TaskStatus]
)
def test_ended_states(status: TaskStatus, is_ended: bool) -> None:
    assert status.is_ended is is_ended


# -- fingerprints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"prompt": "other"}, {"seed": 0}, {"duration": 6}, {"model": "wan3.0-video"}, {"extra_body": {"a": 1}},
     {"watermark": True}, {"ratio": "1:1"}, {"negative_prompt": "x"}],
)  # fmt: skip
def test_fingerprint_changes_with_what_is_made(change: dict[str, Any]) -> None:
    assert make(T2V, **change).fingerprint("a") != make(T2V).fingerprint("a")


def test_fingerprint_is_of_mode_account_and_request() -> None:
    one = make(T2V).fingerprint("dashscope", "host", "key")
    assert one == make(T2V, strict=False, webhook_url="https://x.example/h").fingerprint("dashscope", "host", "key")
    assert one != make(T2V).fingerprint("dashscope", "host", "other key")
    assert make(I2V, prompt="x").fingerprint() != make(I2V, prompt="x", last_frame=IMAGE).fingerprint()


# -- errors ---------------------------------------------------------------------------------------------------


def test_errors_survive_a_process_border() -> None:
    violation = Violation("seed", "is small", "9", "make it small")
    for error in (
        WanQuotaError("slow down", code="Throttling", request_id="q", task_id="t", retry_after=3.0),
        WanRequestError(violations=[violation]),
        WanResponseError("strange", excerpt="<html>", code="502"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_error_tells_its_marks() -> None:
    error = WanError("it broke", code="E1", request_id="q1", task_id="t1")
    assert str(error) == "it broke [code=E1, request_id=q1, task_id=t1]"
    assert str(WanError("it broke")) == "it broke"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", "'x'"),
        ("https://x.example/a?sig=1", "'https://x.example/a?…'"),
        (["https://x.example/a?sig=1", "b"], "['https://x.example/a?…', 'b']"),
        ("why? because", "'why? because'"),
    ],
)
def test_shown_values_have_no_signatures(value: Any, shown: str) -> None:
    assert shorten(value) == shown


def test_shown_values_are_short() -> None:
    assert len(shorten("x" * 10**6)) < 160
