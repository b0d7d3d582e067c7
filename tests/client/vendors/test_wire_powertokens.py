"""PowerTokens on the wire, and what each answer means."""

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
    WanResponseError,
    WanServerError,
    WanTaskFailed,
)
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.vendors import vendor_of
from tests.client.support import (
    CLIP,
    EDIT,
    I2V,
    IMAGE,
    INLINE,
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

powertokens = vendor_of("powertokens")
DEFAULTS: dict[str, Any] = {"size": "1080P", "seconds": "5", "prompt_extend": True, "watermark": False}
FRAME = {"type": "first_frame", "url": IMAGE}

BODIES: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("text", T2V, {}, {"model": "wan2.7-t2v", "prompt": "A paper boat"}),
    (
        "text with all its page knows: size is the tier, seconds are a string",
        T2V,
        {"negative_prompt": "blurry", "resolution": "720P", "ratio": "16:9", "duration": 15, "seed": 0},
        {
            "model": "wan2.7-t2v",
            "prompt": "A paper boat",
            "negative_prompt": "blurry",
            "size": "720P",
            "seconds": "15",
            "seed": 0,
        },
    ),
    ("first frame, without a ratio", I2V, {"ratio": "1:1"}, {"model": "wan2.7-i2v", "media": [FRAME]}),
    (
        "frames and sound",
        I2V,
        {"last_frame": IMAGE, "driving_audio": SOUND},
        {
            "model": "wan2.7-i2v",
            "media": [FRAME, {"type": "last_frame", "url": IMAGE}, {"type": "driving_audio", "url": SOUND}],
        },
    ),
    (
        "continuation to a last frame",
        I2V,
        {"first_frame": None, "first_clip": CLIP, "last_frame": IMAGE},
        {"model": "wan2.7-i2v", "media": [{"type": "first_clip", "url": CLIP}, {"type": "last_frame", "url": IMAGE}]},
    ),
    (
        "references",
        R2V,
        {"reference_videos": [CLIP], "first_frame": IMAGE, "ratio": "9:16", "duration": 10, "prompt_extend": False},
        {
            "model": "wan2.7-r2v",
            "prompt": "Image 1 waves",
            "media": [
                {"type": "reference_image", "url": IMAGE},
                {"type": "reference_video", "url": CLIP},
                FRAME,
            ],
            "ratio": "9:16",
            "seconds": "10",
            "prompt_extend": False,
        },
    ),
]


@pytest.mark.parametrize(("mode", "fields", "expected"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_body(mode: Any, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = submit_call("powertokens", make(mode, **fields))
    assert (call.method, call.target, call.params, call.headers) == ("POST", "/v1/videos", {}, {})
    assert call.json == DEFAULTS | expected


def test_idempotency_key_is_nothing_it_knows() -> None:
    assert submit_call("powertokens", make(T2V), "key-1").headers == {}


UNDOCUMENTED: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("ratio", T2V, {"ratio": "9:16"}, {"ratio": "9:16"}),
    ("sound", T2V, {"audio_url": SOUND}, {"audio_url": SOUND}),
    ("voice", R2V, {"reference_images": [{"url": IMAGE, "voice": SOUND}]},
     {"media": [{"type": "reference_image", "url": IMAGE, "reference_voice": SOUND}]}),
    ("edit", EDIT, {"duration": 0, "audio_setting": "auto", "reference_images": [IMAGE]},
     {"media": [{"type": "video", "url": CLIP}, {"type": "reference_image", "url": IMAGE}], "seconds": "0",
      "audio_setting": "auto", "model": "wan2.7-videoedit"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "fields", "part"), [row[1:] for row in UNDOCUMENTED], ids=[r[0] for r in UNDOCUMENTED]
)
def test_undocumented_fields_are_sent_when_asked_to(mode: Any, fields: dict[str, Any], part: dict[str, Any]) -> None:
    body = submit_call("powertokens", make(mode, strict=False, **fields)).json
    assert body | part == body


def test_body_of_wan_3_0() -> None:
    fields = {"model": "wan3.0-video", "resolution": "480P", "ratio": "adaptive", "duration": 30}
    body = submit_call("powertokens", make(T2V, generate_audio=False, **fields)).json
    # Neither prompt_extend nor watermark is on its page.
    assert body == {
        "model": "wan3.0-video",
        "prompt": "A paper boat",
        "size": "480P",
        "ratio": "adaptive",
        "seconds": "30",
        "generate_audio": False,
    }


def test_media_of_wan_3_0() -> None:
    request = make(
        R2V,
        model="wan3.0-video-prime",
        reference_images=[INLINE, "asset://abc"],
        reference_audios=[SOUND],
        link="https://x.example/page",
    )
    assert submit_call("powertokens", request).json["media"] == [
        {"type": "reference_image", "url": INLINE},
        {"type": "reference_image", "url": "asset://abc"},
        {"type": "reference_audio", "url": SOUND},
        {"type": "link", "url": "https://x.example/page"},
    ]
    edit = submit_call("powertokens", make(EDIT, model="wan3.0-video", prompt="redder")).json
    assert edit["media"] == [{"type": "reference_video", "url": CLIP}]


def test_host_and_key() -> None:
    assert powertokens.base_url(None, None) == "https://api.powertokens.ai"
    assert powertokens.auth_headers(account("powertokens")) == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ({"id": "t1", "task_id": "t1", "object": "video", "status": "queued"}, "t1"),
        ({"task_id": "t2", "status": "queued"}, "t2"),
        ({"code": "success", "data": {"task_id": "t3"}}, "t3"),
        ({"status": "queued"}, None),
        ({"id": "", "status": "queued"}, None),
        ({"id": ["t"], "status": "queued"}, None),
    ],
)
def test_submission_gives_the_id(body: dict[str, Any], task_id: str | None) -> None:
    found = powertokens.read_submitted(answer(200, body))
    assert (found[0] if found else None) == task_id


def test_request_id_comes_from_the_header() -> None:
    given = answer(200, {"id": "t1"}, x_request_id="h1")
    assert powertokens.read_submitted(given) == ("t1", "h1")


def test_query() -> None:
    call = powertokens.task_call(handle("powertokens", task_id="a/b"))
    assert (call.method, call.target) == ("GET", "/v1/videos/a%2Fb")


WORDS = {
    "queued": TaskStatus.PENDING,
    "pending": TaskStatus.PENDING,
    "submitted": TaskStatus.PENDING,
    "in_progress": TaskStatus.RUNNING,
    "running": TaskStatus.RUNNING,
    "processing": TaskStatus.RUNNING,
    "completed": TaskStatus.SUCCEEDED,
    "succeeded": TaskStatus.SUCCEEDED,
    "success": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
    "error": TaskStatus.FAILED,
    "expired": TaskStatus.FAILED,
    "cancelled": TaskStatus.CANCELLED,
    "canceled": TaskStatus.CANCELLED,
    "unknown": TaskStatus.UNKNOWN,
    "melting": TaskStatus.UNKNOWN,
}


@pytest.mark.parametrize("word", WORDS)
def test_every_status_word_maps(word: str) -> None:
    task = read("powertokens", {"id": "t1", "object": "video", "status": word, "progress": 40})
    assert (task.status, task.raw_status, task.progress) == (WORDS[word], word, 40)


def test_its_unknown_is_borne_for_a_while() -> None:
    assert not powertokens.is_final(read("powertokens", {"status": "unknown"}))


def test_finished_task() -> None:
    task = read("powertokens", {
        "id": "t1", "object": "video", "status": "completed", "progress": 100, "seconds": "8",
        "created_at": 1792461601, "completed_at": 1792461700, "metadata": {"url": CLIP}, "usage": {"total": 1},
    })  # fmt: skip
    assert (task.video_url, task.duration, task.usage) == (CLIP, 8, {"total": 1})
    assert task.submitted_at == datetime.fromtimestamp(1792461601, UTC)
    assert task.finished_at == datetime.fromtimestamp(1792461700, UTC)
    assert task.url_expires_at == datetime.fromtimestamp(1792461700 + 86400, UTC)


@pytest.mark.parametrize(
    "place",
    [
        {"metadata": {"url": CLIP}},
        {"url": CLIP},
        {"video_url": CLIP},
        {"content": {"video_url": CLIP}},
        {"metadata": {}, "video_url": CLIP},
    ],
)
def test_url_wherever_it_stands(place: dict[str, Any]) -> None:
    assert read("powertokens", {"status": "completed"} | place).video_urls == [CLIP]


def test_wrapped_answer_is_a_task_too() -> None:
    assert read("powertokens", {"code": "success", "data": {"status": "completed", "url": CLIP}}).video_url == CLIP


def test_without_a_url_there_is_the_content_endpoint() -> None:
    task = read("powertokens", {"id": "t1", "status": "completed"})
    assert (task.video_url, powertokens.has_content_endpoint) == (None, True)
    url = powertokens.content_url(task, account("powertokens"))
    assert url == "https://api.powertokens.ai/v1/videos/t1/content"


@pytest.mark.parametrize("seconds", ["inf", "nan", "-3", "0", "x", None, True, [], 10**400, 1e300])
def test_strange_seconds_are_none(seconds: Any) -> None:
    task = read("powertokens", {"status": "running", "seconds": seconds})
    assert task.duration is None
    assert task.submitted_at == SUBMITTED_AT
    assert task.to_event()


@pytest.mark.parametrize(
    ("extra", "code", "message", "kind", "retryable"),
    [
        ({"error": {"code": "c", "message": "m"}}, "c", "m", WanTaskFailed, True),
        ({"error": {"code": "InvalidParameter", "message": "m"}}, "InvalidParameter", "m", WanTaskFailed, False),
        ({"error": {"code": "DataInspection", "message": "m"}}, "DataInspection", "m", WanModerationError, False),
        ({"error": {"code": "insufficient_quota", "message": "m"}}, "insufficient_quota", "m", WanBillingError, False),
        ({"error": {"code": "c", "message": "case sensitive"}}, "c", "case sensitive", WanTaskFailed, True),
        ({"error": "words"}, None, "words", WanTaskFailed, True),
        ({}, None, None, WanTaskFailed, True),
    ],
)  # fmt: skip
def test_failed_task_says_why(
    extra: dict[str, Any], code: str | None, message: str | None, kind: type[WanError], retryable: bool
) -> None:
    task = read("powertokens", {"id": "t1", "status": "failed"} | extra)
    assert (task.error_code, task.error_message) == (code, message)
    error = powertokens.failure_of(task)
    assert (type(error), error.retryable) == (kind, retryable)


def test_expired_task_says_so() -> None:
    assert "expired" in str(powertokens.failure_of(read("powertokens", {"id": "t1", "status": "expired"})))


@pytest.mark.parametrize("body", [{}, {"id": "t1"}, {"data": {}}, {"data": []}, []], ids=str)
def test_answer_without_a_task_is_not_the_api(body: Any) -> None:
    with pytest.raises(WanResponseError):
        read("powertokens", body)


REFUSALS: list[tuple[int, Any, type[WanError] | None, str | None]] = [
    (400, {"code": "invalid_request", "message": "m", "data": None}, WanRejectedError, "invalid_request"),
    (400, {"error": {"message": "m", "type": "invalid_request_error", "code": ""}}, WanRejectedError,
     "invalid_request_error"),
    (400, {"code": "task_not_exist", "message": "m"}, WanRejectedError, "task_not_exist"),
    (401, {"error": {"message": "token invalid", "code": "x"}}, WanAuthError, "x"),
    (402, {"message": "pay"}, WanBillingError, "402"),
    (403, {"error": {"message": "m", "code": "insufficient_user_quota"}}, WanBillingError, "insufficient_user_quota"),
    (403, {"error": {"message": "This token has no access to model wan2.7-t2v"}}, WanAuthError, "403"),
    (404, {"error": {"message": "no route"}}, WanRejectedError, "404"),
    (429, {"error": {"message": "m", "code": "rate_limit_exceeded"}}, WanQuotaError, "rate_limit_exceeded"),
    (500, {"code": "invalid_request", "message": "m"}, WanServerError, "invalid_request"),
    (500, {"code": "do_request_failed", "message": "m"}, WanServerError, "do_request_failed"),
    (502, b"<html>", WanResponseError, "502"),
    (200, {"error": {"message": "m", "code": "c"}}, WanRejectedError, "c"),
    (200, {"error": "words"}, WanRejectedError, "200"),
    (200, {"code": "invalid_request", "message": "m"}, WanRejectedError, "invalid_request"),
    (200, {"code": "success", "data": {}}, None, None),
    (200, {"id": "t1", "status": "failed", "error": {"message": "m"}}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS, ids=str)
def test_error_shapes(status: int, body: Any, kind: type[WanError] | None, code: str | None) -> None:
    error = error_of("powertokens", answer(status, body))
    assert (type(error) if error else None) is kind
    assert (error.code if error else None) == code


def test_it_has_neither_list_nor_cancel_nor_upload() -> None:
    assert not (powertokens.has_cancel)
    assert not powertokens.has_idempotency_key
    assert powertokens.upload_types == ()


def test_key_check_makes_nothing() -> None:
    assert (powertokens.key_call().method, powertokens.key_call().target) == ("GET", "/v1/models")
