"""Freepik / Magnific on the wire, and what each answer means."""

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
from airflow_provider_wan.client.tasks import Mode, TaskStatus
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, Upload
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
    drive_flow,
    error_of,
    handle,
    make,
    read,
    submit_call,
)

freepik = vendor_of("freepik")
DEFAULTS: dict[str, Any] = {"resolution": "1080P", "duration": 5, "additional_settings": {"prompt_extend": True}}
PATHS = {
    T2V: "/v1/ai/text-to-video/wan-2-7",
    I2V: "/v1/ai/image-to-video/wan-2-7",
    R2V: "/v1/ai/reference-to-video/wan-2-7",
    EDIT: "/v1/ai/video-edit/wan-2-7",
}

BODIES: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("text", T2V, {}, {"prompt": "A paper boat"}),
    (
        "text with everything",
        T2V,
        {
            "negative_prompt": "blurry",
            "audio_url": SOUND,
            "ratio": "9:16",
            "resolution": "720P",
            "duration": 15,
            "seed": 0,
            "prompt_extend": False,
            "webhook_url": "https://hooks.example.com/wan",
        },
        {
            "prompt": "A paper boat",
            "negative_prompt": "blurry",
            "audio_url": SOUND,
            "aspect_ratio": "9:16",
            "resolution": "720P",
            "duration": 15,
            "seed": 0,
            "additional_settings": {"prompt_extend": False},
            "webhook_url": "https://hooks.example.com/wan",
        },
    ),
    (
        "frames and sound, without a ratio",
        I2V,
        {"last_frame": IMAGE, "driving_audio": SOUND, "ratio": "1:1"},
        {"start_image_url": IMAGE, "end_image_url": IMAGE, "audio_url": SOUND},
    ),
    (
        "continuation to a last frame",
        I2V,
        {"first_frame": None, "first_clip": CLIP, "last_frame": IMAGE},
        {"video_url": CLIP, "end_image_url": IMAGE},
    ),
    (
        "references with a voice each",
        R2V,
        {
            "reference_images": [{"url": IMAGE, "voice": SOUND}, IMAGE],
            "reference_videos": [{"url": CLIP, "voice": SOUND}],
            "first_frame": IMAGE,
            "ratio": "3:4",
            "duration": 10,
        },
        {
            "prompt": "Image 1 waves",
            "image_urls": [{"url": IMAGE, "reference_voice": SOUND}, {"url": IMAGE}],
            "video_urls": [{"url": CLIP, "reference_voice": SOUND}],
            "start_image_url": IMAGE,
            "aspect_ratio": "3:4",
            "duration": 10,
        },
    ),
    (
        "edit that keeps the length",
        EDIT,
        {"prompt": "redder", "reference_images": [IMAGE], "duration": 0, "ratio": "1:1"},
        {"prompt": "redder", "video_url": CLIP, "image_urls": [IMAGE], "duration": 0, "aspect_ratio": "1:1"},
    ),
]


@pytest.mark.parametrize(("mode", "fields", "expected"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_body(mode: Any, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = submit_call("freepik", make(mode, **fields))
    assert (call.method, call.target, call.headers) == ("POST", PATHS[mode], {})
    assert call.json == DEFAULTS | expected


@pytest.mark.parametrize(
    ("mode", "model"),
    [(T2V, "wan-2-7"), (T2V, "wan2.7-t2v"), (I2V, "wan2.7-i2v"), (R2V, "wan2.7-r2v"), (EDIT, "wan2.7-videoedit")],
)
def test_the_names_of_its_one_model_go_to_its_path(mode: Mode, model: str) -> None:
    call = submit_call("freepik", make(mode, model=model))
    assert call.target == PATHS[mode]
    assert "model" not in call.json


@pytest.mark.parametrize(
    ("base_url", "header", "expected"),
    [
        (None, None, "x-magnific-api-key"),
        ("https://api.magnific.com", None, "x-magnific-api-key"),
        ("https://api.freepik.com", None, "x-freepik-api-key"),
        ("https://freepik.com", None, "x-freepik-api-key"),
        ("https://notfreepik.com", None, "x-magnific-api-key"),
        ("http://127.0.0.1:8765", None, "x-magnific-api-key"),
        ("https://proxy.example.com", "x-freepik-api-key", "x-freepik-api-key"),
    ],
)
def test_key_header_follows_the_host_unless_told(base_url: str | None, header: str | None, expected: str) -> None:
    headers = freepik.auth_headers(account("freepik", base_url, auth_header=header))
    assert headers == {expected: KEY}


def test_default_host() -> None:
    assert freepik.base_url(None, None) == "https://api.magnific.com"


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ({"data": {"task_id": "u1", "status": "CREATED", "generated": []}}, "u1"),
        ({"task_id": "u2", "status": "CREATED"}, "u2"),
        ({"data": {"status": "CREATED"}}, None),
        ({"data": []}, None),
    ],
)
def test_submission_gives_the_id(body: dict[str, Any], task_id: str | None) -> None:
    found = freepik.read_submitted(answer(200, body))
    assert (found[0] if found else None) == task_id


@pytest.mark.parametrize("mode", list(Mode))
def test_query_goes_to_the_path_of_the_mode(mode: Mode) -> None:
    call = freepik.task_call(handle("freepik", mode, "a/b"))
    assert (call.method, call.target) == ("GET", f"{PATHS[mode]}/a%2Fb")


WORDS = {
    "CREATED": TaskStatus.PENDING,
    "IN_PROGRESS": TaskStatus.RUNNING,
    "COMPLETED": TaskStatus.SUCCEEDED,
    "FAILED": TaskStatus.FAILED,
    "completed": TaskStatus.SUCCEEDED,
    "MELTING": TaskStatus.UNKNOWN,
    None: TaskStatus.UNKNOWN,
}


@pytest.mark.parametrize("word", WORDS, ids=str)
@pytest.mark.parametrize("name", ["status", "task_status"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_every_status_word_maps(word: Any, name: str, is_wrapped: bool) -> None:
    data = {"task_id": "u1", name: word, "generated": []}
    task = read("freepik", {"data": data} if is_wrapped else data, R2V)
    assert (task.status, task.mode, task.model) == (WORDS[word], R2V, "m")
    assert task.submitted_at == SUBMITTED_AT


@pytest.mark.parametrize("generated", [[CLIP], CLIP, [[CLIP]]])
def test_finished_task(generated: Any) -> None:
    task = read("freepik", {"data": {"task_id": "u1", "status": "COMPLETED", "generated": generated}})
    assert (task.video_url, task.url_expires_at) == (CLIP, None)


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ({}, None, WanTaskFailed),
        ({"error": "it broke"}, "it broke", WanTaskFailed),
        ({"error": {"message": "it broke"}}, "it broke", WanTaskFailed),
        ({"failure_reason": "NSFW content"}, "NSFW content", WanModerationError),
        ({"error_message": "invalid params: seed"}, "invalid params: seed", WanTaskFailed),
        ({"error": None, "reason": "r"}, "r", WanTaskFailed),
    ],
)
def test_failed_task_says_why_wherever_it_stands(reason: Any, message: str | None, kind: type[WanError]) -> None:
    task = read("freepik", {"data": {"task_id": "u1", "status": "FAILED", "generated": []} | reason})
    assert task.error_message == message
    error = freepik.failure_of(task)
    assert type(error) is kind
    assert (message or "no reason given") in str(error)


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": {}}, {"data": {"task_id": "u1"}}, []], ids=str)
def test_answer_without_a_task_is_not_the_api(body: Any) -> None:
    with pytest.raises(WanResponseError):
        read("freepik", body)


PROBLEM = {
    "problem": {
        "message": "Validation failed",
        "invalid_params": [{"name": "duration", "reason": "2 to 10"}, {"field": "seed", "reason": "is an integer"}],
    }
}
REFUSALS: list[tuple[int, Any, type[WanError], str]] = [
    (400, {"message": "bad"}, WanRejectedError, "bad"),
    (400, PROBLEM, WanRejectedError, "Validation failed; duration: 2 to 10; seed: is an integer"),
    (400, PROBLEM["problem"], WanRejectedError, "duration: 2 to 10"),
    (400, {"message": "prompt has inappropriate words"}, WanModerationError, "inappropriate"),
    (401, {"message": "Invalid API key"}, WanAuthError, "Invalid API key"),
    (402, {"message": "no credits"}, WanBillingError, "no credits"),
    (403, {"message": "forbidden"}, WanAuthError, "forbidden"),
    (403, {"message": "not enough credits"}, WanBillingError, "credits"),
    (404, {"message": "not found"}, WanRejectedError, "not found"),
    (429, {"message": "slow down"}, WanQuotaError, "slow down"),
    (429, b"", WanQuotaError, "no message"),
    (500, {"message": "internal"}, WanServerError, "internal"),
    (503, {"message": "overloaded"}, WanServerError, "overloaded"),
    (503, b"<html>", WanResponseError, "html"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS, ids=str)
def test_error_shapes(status: int, body: Any, kind: type[WanError], words: str) -> None:
    error = error_of("freepik", answer(status, body))
    assert type(error) is kind
    assert error.code == str(status)
    assert words in str(error)


def test_list_of_each_mode() -> None:
    assert freepik.page_call(TaskFilter(mode=EDIT), 1).target == PATHS[EDIT]
    assert freepik.page_call(TaskFilter(), 1).target == PATHS[T2V]
    rows = [
        {"task_id": "u1", "status": "COMPLETED", "generated": [CLIP]},
        {"task_id": "u2", "status": "CREATED"},
        5,
        {},
    ]
    page = freepik.read_page(answer(200, {"data": rows}), TaskFilter(mode=EDIT), 1)
    assert [(task.task_id, task.status, task.mode) for task in page.tasks] == [
        ("u1", TaskStatus.SUCCEEDED, EDIT),
        ("u2", TaskStatus.PENDING, EDIT),
    ]
    assert page.next_page == 2
    assert freepik.page_call(TaskFilter(mode=EDIT), 2).params == {"page": "2"}
    assert freepik.read_page(answer(200, {"data": []}), TaskFilter(mode=EDIT), 2).next_page is None


@pytest.mark.parametrize(
    "body",
    [
        {"message": "invalid_page"},
        {"message": "Parameter 'page' must be valid"},
        {"problem": {"message": "Validation failed", "invalid_params": [{"field": "page", "reason": "too large"}]}},
    ],
)
def test_a_page_beyond_the_last_is_empty(body: Any) -> None:
    refused = answer(400, body)
    assert drive_flow("freepik", lambda flows: flows.page(TaskFilter(), 2, Patience()), refused).result.tasks == []
    assert drive_flow("freepik", lambda flows: flows.page(TaskFilter(), 1, Patience()), refused).error is not None


def test_its_list_tells_too_little_to_recover_from() -> None:
    assert not freepik.list_tells_time
    assert not freepik.has_cancel


def test_key_check_makes_nothing() -> None:
    assert (freepik.key_call().method, freepik.key_call().target) == ("GET", PATHS[T2V])


FILES = {
    "files": [
        {
            "file_id": "f1",
            "upload_url": "https://bucket.example.com/put?sig=1",
            "headers": {"content-type": "image/png", "x-goog-a": "1"},
            "expires_in": 120,
            "asset_url": "https://assets.example.com/f1?sig=2",
        }
    ]
}


@pytest.mark.parametrize("body", [FILES, {"data": FILES}])
def test_upload_puts_the_bytes_with_exactly_the_headers_told(body: Any) -> None:
    upload = Upload("a.png", b"png", "image/png", "wan-2-7")
    start = freepik.upload_call(upload)
    assert (start.method, start.target) == ("POST", "/v1/ai/uploads/request-url")
    assert start.json == {"files": [{"content_type": "image/png"}]}
    call, url = freepik.upload_finish(answer(200, body), upload)
    assert call is not None
    assert (call.method, call.target, call.auth) == ("PUT", "https://bucket.example.com/put?sig=1", False)
    assert (call.content, call.headers) == (b"png", {"content-type": "image/png", "x-goog-a": "1"})
    assert url == "https://assets.example.com/f1?sig=2"


@pytest.mark.parametrize(
    "body", [{}, {"files": []}, {"files": [{"upload_url": "/put", "asset_url": CLIP}]}, {"files": 1}]
)
def test_upload_without_an_address(body: Any) -> None:
    with pytest.raises(WanResponseError, match="upload"):
        freepik.upload_finish(answer(200, body), Upload("a.png", b"", "image/png", "m"))
