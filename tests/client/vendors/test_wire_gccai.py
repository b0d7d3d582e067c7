"""GCCAI / APIMart on the wire, and what each answer means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanRequestError,
    WanResponseError,
    WanServerError,
    WanTaskFailed,
)
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Upload
from tests.client.support import (
    CLIP,
    EDIT,
    I2V,
    IMAGE,
    KEY,
    R2V,
    SOUND,
    SUBMITTED_AT,
    T2V,
    account,
    answer,
    error_of,
    handle,
    make,
    read,
    submit_call,
)

gccai = vendor_of("gccai")
DEFAULTS: dict[str, Any] = {"resolution": "1080P", "duration": 5, "prompt_extend": True, "watermark": False}
FRAME = {"url": IMAGE, "role": "first_frame"}

BODIES: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("text", T2V, {}, {"model": "wan2.7", "prompt": "A paper boat"}),
    (
        "text with everything: size is the ratio",
        T2V,
        {"negative_prompt": "blurry", "audio_url": SOUND, "ratio": "9:16", "seed": 0, "duration": 8, "watermark": True},
        {
            "model": "wan2.7",
            "prompt": "A paper boat",
            "negative_prompt": "blurry",
            "audio_url": SOUND,
            "size": "9:16",
            "seed": 0,
            "duration": 8,
            "watermark": True,
        },
    ),
    ("first frame, without a ratio", I2V, {"ratio": "1:1"}, {"model": "wan2.7", "image_with_roles": [FRAME]}),
    (
        "frames and sound",
        I2V,
        {"last_frame": IMAGE, "driving_audio": SOUND, "prompt": "up"},
        {
            "model": "wan2.7",
            "prompt": "up",
            "image_with_roles": [FRAME, {"url": IMAGE, "role": "last_frame"}],
            "audio_url": SOUND,
        },
    ),
    (
        "continuation",
        I2V,
        {"first_frame": None, "first_clip": CLIP},
        {"model": "wan2.7", "video_urls": [CLIP]},
    ),
    (
        "references: the first frame takes no number from them",
        R2V,
        {
            "reference_images": [{"url": IMAGE, "voice": SOUND}],
            "reference_videos": [CLIP],
            "first_frame": IMAGE,
            "ratio": "4:3",
        },
        {
            "model": "wan2.7-r2v",
            "prompt": "Image 1 waves",
            "image_with_roles": [
                {"url": IMAGE, "role": "reference_image", "reference_voice": SOUND},
                FRAME,
            ],
            "video_urls": [CLIP],
            "size": "4:3",
        },
    ),
    ("reference videos alone: no empty list", R2V,
     {"reference_images": None, "reference_videos": [CLIP], "prompt": "Video 1"},
     {"model": "wan2.7-r2v", "prompt": "Video 1", "video_urls": [CLIP]}),
    (
        "edit that keeps the length",
        EDIT,
        {"reference_images": [IMAGE, IMAGE], "duration": 0, "ratio": "1:1"},
        {
            "model": "wan2.7-videoedit",
            "video_urls": [CLIP],
            "image_urls": [IMAGE, IMAGE],
            "duration": 0,
            "size": "1:1",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "fields", "expected"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_body(mode: Any, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = submit_call("gccai", make(mode, **fields))
    assert (call.method, call.target, call.params) == ("POST", "/v1/videos/generations", {})
    assert call.json == DEFAULTS | expected


def test_older_model_has_other_names() -> None:
    body = submit_call("gccai", make(T2V, model="wan2.6", ratio="9:16", resolution="720P")).json
    assert body == DEFAULTS | {
        "model": "wan2.6",
        "prompt": "A paper boat",
        "aspect_ratio": "9:16",
        "resolution": "720p",
    }


def test_newer_model_is_passed_through() -> None:
    body = submit_call("gccai", make(T2V, model="wan3.0-video", duration=10)).json
    assert (body["model"], body["duration"]) == ("wan3.0-video", 10)


def test_extra_body_wins() -> None:
    body = submit_call("gccai", make(T2V, extra_body={"n": 1, "size": "21:9"}, ratio="1:1")).json
    assert (body["n"], body["size"]) == (1, "21:9")


def test_idempotency_key_travels_as_a_header() -> None:
    assert submit_call("gccai", make(T2V), "dag-task-1").headers == {"Idempotency-Key": "dag-task-1"}
    assert submit_call("gccai", make(T2V)).headers == {}


@pytest.mark.parametrize("key", ["", "with space", "ü", "line\nbreak", "x" * 192])
def test_bad_idempotency_key_is_refused_before_sending(key: str) -> None:
    with pytest.raises(WanRequestError, match="idempotency_key"):
        submit_call("gccai", make(T2V), key)


def test_hosts_and_key() -> None:
    assert gccai.base_url(None, None) == "https://api.apimart.ai"
    assert gccai.auth_headers(account("gccai")) == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"code": 200, "data": [{"status": "submitted", "task_id": "t1"}]}, ("t1", None)),
        ({"code": "success", "data": [{"status": "submitted", "task_id": "t1"}]}, ("t1", None)),
        ({"code": 200, "data": {"id": "t2", "object": "generation.task"}, "request_id": "r"}, ("t2", "r")),
        ({"code": 200, "data": []}, None),
        ({"code": 200, "data": [{}]}, None),
        ({"code": 200, "data": {"task_id": {"a": 1}}}, None),
        ({"code": 200}, None),
    ],
)
def test_submission_gives_the_ids(body: dict[str, Any], ids: Any) -> None:
    assert gccai.read_submitted(answer(200, body)) == ids


def test_query_asks_for_english() -> None:
    call = gccai.task_call(handle("gccai", task_id="a/b"))
    assert (call.method, call.target, call.params) == ("GET", "/v1/tasks/a%2Fb", {"language": "en"})


WORDS = {
    "submitted": TaskStatus.PENDING,
    "pending": TaskStatus.PENDING,
    "queued": TaskStatus.PENDING,
    "processing": TaskStatus.RUNNING,
    "in_progress": TaskStatus.RUNNING,
    "running": TaskStatus.RUNNING,
    "completed": TaskStatus.SUCCEEDED,
    "success": TaskStatus.SUCCEEDED,
    "succeeded": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
    "failure": TaskStatus.FAILED,
    "error": TaskStatus.FAILED,
    "cancelled": TaskStatus.CANCELLED,
    "canceled": TaskStatus.CANCELLED,
    "Completed": TaskStatus.SUCCEEDED,
    "melting": TaskStatus.UNKNOWN,
    None: TaskStatus.UNKNOWN,
}


@pytest.mark.parametrize("word", WORDS, ids=str)
def test_every_status_word_maps(word: Any) -> None:
    task = read("gccai", {"code": 200, "data": {"id": "t1", "status": word, "progress": 40}})
    assert (task.status, task.progress) == (WORDS[word], 40)


def test_unknown_words_are_borne_for_a_while() -> None:
    assert not gccai.is_final(read("gccai", {"data": {"status": "unknown"}}))


def _finished(**result: Any) -> dict[str, Any]:
    data = {"id": "t1", "status": "completed", "progress": 100, "created": 1792461601, "completed": 1792461700}
    return {"code": 200, "data": data | {"result": result}}


def test_finished_task() -> None:
    body = _finished(videos=[{"url": ["https://x.example/v.mp4?sig=1"], "expires_at": 1792548100}])
    body["data"] |= {"cost": 0.5, "credits_cost": 50, "actual_time": 99}
    task = read("gccai", body)
    assert (task.video_url, task.video_urls) == ("https://x.example/v.mp4?sig=1", ["https://x.example/v.mp4?sig=1"])
    assert task.url_expires_at == datetime.fromtimestamp(1792548100, UTC)
    assert task.submitted_at == datetime.fromtimestamp(1792461601, UTC)
    assert task.finished_at == datetime.fromtimestamp(1792461700, UTC)
    assert task.usage == {"cost": 0.5, "credits_cost": 50, "actual_time": 99}
    assert (task.mode, task.model) == (T2V, "m")


@pytest.mark.parametrize(
    "result",
    [
        {"videos": [{"url": CLIP}]},
        {"videos": [{"url": [CLIP]}]},
        {"videos": [CLIP]},
        {"videos": {"url": CLIP}},
        {"video_url": CLIP},
        {"url": [CLIP]},
    ],
)
def test_url_wherever_it_stands(result: dict[str, Any]) -> None:
    task = read("gccai", _finished(**result))
    assert task.video_urls == [CLIP]
    assert task.url_expires_at == datetime.fromtimestamp(1792461700 + 86400, UTC)


def test_success_without_a_url_is_a_task_without_a_url() -> None:
    task = read("gccai", _finished(images=[{"url": [IMAGE]}]))
    assert (task.status, task.video_url, task.url_expires_at) == (TaskStatus.SUCCEEDED, None, None)


@pytest.mark.parametrize(
    ("error", "code", "message", "kind", "retryable"),
    [
        ({"code": 500, "message": "m", "type": "t"}, "500", "m", WanTaskFailed, True),
        ({"code": "InvalidParameter", "message": "m"}, "InvalidParameter", "m", WanTaskFailed, False),
        ({"code": 400, "message": "bad"}, "400", "bad", WanTaskFailed, False),
        ({"message": "content moderation", "type": "x"}, "x", "content moderation", WanModerationError, False),
        ({"code": "DataInspectionFailed", "message": "m"}, "DataInspectionFailed", "m", WanModerationError, False),
        ({"code": 402, "message": "Insufficient balance"}, "402", "Insufficient balance", WanBillingError, False),
        ("it broke", None, "it broke", WanTaskFailed, True),
        (None, None, None, WanTaskFailed, True),
    ],
)
def test_failed_task_says_why(
    error: Any, code: str | None, message: str | None, kind: type[WanError], retryable: bool
) -> None:
    task = read("gccai", {"code": 200, "data": {"id": "t1", "status": "failed", "error": error}})
    assert (task.status, task.error_code, task.error_message) == (TaskStatus.FAILED, code, message)
    raised = gccai.failure_of(task)
    assert (type(raised), raised.retryable, raised.task_id) == (kind, retryable, "t1")


def test_times_of_the_handle_stand_in() -> None:
    assert read("gccai", {"data": {"status": "pending"}}).submitted_at == SUBMITTED_AT


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": []}, {"data": {}}, {"code": 200, "data": "x"}, []], ids=str
)
def test_answer_without_a_task_is_not_the_api(body: Any) -> None:
    with pytest.raises(WanResponseError):
        read("gccai", body)


REFUSALS: list[tuple[int, Any, type[WanError] | None, str | None]] = [
    (400, {"error": {"message": "m", "type": "invalid_request_error", "code": None, "param": "size"}}, WanRejectedError,
     "invalid_request_error"),
    (400, {"code": 400, "message": "m"}, WanRejectedError, "400"),
    (422, {"error": {"message": "m", "code": "invalid_parameter"}}, WanRejectedError, "invalid_parameter"),
    (401, {"error": {"message": "bad key"}}, WanAuthError, "401"),
    (402, {"error": {"message": "balance", "code": "x"}}, WanBillingError, "x"),
    (403, {"error": {"message": "not permitted"}}, WanAuthError, "403"),
    (403, {"error": {"message": "m", "code": "insufficient_user_quota"}}, WanBillingError, "insufficient_user_quota"),
    (404, {"error": {"message": "task not found"}}, WanRejectedError, "404"),
    (413, {"error": {"message": "too large"}}, WanRejectedError, "413"),
    (429, {"error": {"message": "slow down"}}, WanQuotaError, "429"),
    (500, {"error": {"message": "m"}}, WanServerError, "500"),
    (500, {"error": {"message": "m", "code": "invalid_parameter"}}, WanServerError, "invalid_parameter"),
    (503, b"<html>", WanResponseError, "503"),
    (200, {"code": 400, "message": "m"}, WanRejectedError, "400"),
    (200, {"code": 401, "message": "m"}, WanAuthError, "401"),
    (200, {"code": 429, "message": "m"}, WanQuotaError, "429"),
    (200, {"code": 500, "message": "m"}, WanServerError, "500"),
    (200, {"success": False, "message": "no"}, WanRejectedError, "200"),
    (200, {"error": {"message": "inappropriate content"}}, WanModerationError, "200"),
    (200, {"error": "just words"}, WanRejectedError, "200"),
    (200, {"code": "²", "message": "m"}, WanRejectedError, "²"),
    (200, {"code": "success", "data": []}, None, None),
    (200, {"code": 0, "data": []}, None, None),
    (200, {"data": []}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS, ids=str)
def test_error_shapes(status: int, body: Any, kind: type[WanError] | None, code: str | None) -> None:
    error = error_of("gccai", answer(status, body))
    assert (type(error) if error else None) is kind
    assert (error.code if error else None) == code


def test_it_has_neither_list_nor_cancel_nor_webhook() -> None:
    assert not (gccai.has_cancel)
    assert gccai.has_idempotency_key


def test_key_check_makes_nothing() -> None:
    call = gccai.key_call()
    assert (call.method, call.target) == ("GET", "/v1/models")


def test_upload_is_one_form() -> None:
    upload = Upload("a.png", b"png", "image/png", "wan2.7")
    call = gccai.upload_call(upload)
    assert (call.method, call.target, call.auth) == ("POST", "/v1/uploads/images", True)
    assert call.file == ("file", "a.png", b"png", "image/png")
    assert gccai.upload_finish(answer(200, {"url": IMAGE, "bytes": 3}), upload) == (None, IMAGE)
    with pytest.raises(WanResponseError, match="upload"):
        gccai.upload_finish(answer(200, {"url": "nowhere"}), upload)
