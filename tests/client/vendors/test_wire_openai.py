"""A server of one's own with OpenAI's ``/v1/videos`` on the wire, and what each answer means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
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
)
from airflow_provider_wan.client.exchange import Call
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter
from airflow_provider_wan.client.vendors.pixels import size_of, tier_and_ratio_of
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
    checked,
    drive_flow,
    error_of,
    handle,
    make,
    problems,
    read,
)

openai = vendor_of("openai")
HOST = "https://videos.example.com"
OWN_VIDEO = f"{HOST}/v1/videos/video_1/content"


def sent(mode: Any, body: str = "multipart", **fields: Any) -> Call:
    request = make(mode, **fields)
    checked("openai", request)
    return openai.submit_call(request, account("openai", HOST, body=body), None)


# -- creation ---------------------------------------------------------------------------------------------

BODIES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (T2V, {"resolution": "720P"}, {"prompt": "A paper boat", "seconds": "5", "size": "1280x720"}),
    (
        T2V,
        {"model": "Wan-AI/Wan2.2", "resolution": "480P", "ratio": "9:16", "duration": 12, "seed": 0,
         "negative_prompt": "blurry", "generate_audio": True},
        {"model": "Wan-AI/Wan2.2", "prompt": "A paper boat", "seconds": "12", "size": "480x832", "seed": 0,
         "negative_prompt": "blurry", "generate_sound": True},
    ),
    (T2V, {"ratio": "adaptive"}, {"prompt": "A paper boat", "seconds": "5"}),
    (
        T2V, {"extra_body": {"num_inference_steps": 40, "extra_params": {"a": [1]}, "seconds": "3"}},
        {"prompt": "A paper boat", "seconds": "3", "size": "1920x1080", "num_inference_steps": 40,
         "extra_params": {"a": [1]}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "fields", "body"), BODIES)
def test_body_as_json(mode: Any, fields: dict[str, Any], body: dict[str, Any]) -> None:
    call = sent(mode, "json", **fields)
    assert (call.method, call.target, call.json) == ("POST", "/v1/videos", body)


@pytest.mark.parametrize(("mode", "fields", "body"), BODIES)
def test_body_as_a_form_has_texts_only(mode: Any, fields: dict[str, Any], body: dict[str, Any]) -> None:
    call = sent(mode, **fields)
    texts = {"seed": "0", "generate_sound": "true", "num_inference_steps": "40", "extra_params": '{"a": [1]}'}
    assert call.json is None
    assert call.form == {name: texts.get(name, value) for name, value in body.items()}


@pytest.mark.parametrize("fields", [{"first_frame": INLINE}, {}])
def test_a_form_is_multipart_with_a_file_and_without(fields: dict[str, Any]) -> None:
    mode = I2V if fields else T2V
    call = sent(mode, prompt="x", **fields)
    with WanClient(account("openai", HOST)) as client, httpx.Client() as http:
        request = client._prepare(http, call)
        content = request.read()
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="prompt"\r\n\r\nx\r\n' in content
    assert (b'name="input_reference"; filename="first_frame.png"' in content) is bool(fields)


def test_image_goes_as_a_file_or_as_an_address_as_the_servers_take_it() -> None:
    inline = sent(I2V, prompt="x", first_frame=INLINE, ratio="1:1", resolution="720P")
    assert inline.file == ("input_reference", "first_frame.png", b"\x89PNG\r\n\x1a\n", "image/png")
    assert inline.form == {"prompt": "x", "seconds": "5", "size": "960x960"}
    address = sent(I2V, prompt="x", first_frame=IMAGE)
    assert address.file is None
    assert address.form == {
        "prompt": "x", "seconds": "5", "image_reference": f'{{"image_url": "{IMAGE}"}}', "reference_url": IMAGE,
    }  # fmt: skip
    for image in (IMAGE, INLINE):
        call = sent(I2V, "json", prompt="x", first_frame=image)
        assert call.json == {"prompt": "x", "seconds": "5", "input_reference": {"image_url": image}}


def test_extra_body_has_the_last_word_about_the_image() -> None:
    call = sent(I2V, prompt="x", first_frame=IMAGE, extra_body={"image_reference": None, "reference_url": "u"})
    assert call.form == {"prompt": "x", "seconds": "5", "reference_url": "u"}


@pytest.mark.parametrize("image", ["data:image/png;base64,AAA", "data:image/png;base64,A$$$"])
def test_an_image_that_is_no_base64_is_refused_before_sending(image: str) -> None:
    with pytest.raises(WanRequestError, match="first_frame"):
        openai.submit_call(make(I2V, prompt="x", first_frame=image), account("openai", HOST), None)


def test_a_remix_goes_to_the_video_that_this_server_made() -> None:
    call = sent(EDIT, video=OWN_VIDEO, prompt="At night", duration=0, extra_body={"seed": 1})
    assert (call.target, call.json) == ("/v1/videos/video_1/remix", {"prompt": "At night", "seed": 1})
    elsewhere = make(EDIT, video="https://other.example/v1/videos/video_1/content", prompt="x", duration=0)
    with pytest.raises(WanRequestError, match="own server"):
        openai.submit_call(elsewhere, account("openai", HOST), None)


@pytest.mark.parametrize(
    ("mode", "fields", "wrong"),
    [
        (T2V, {"webhook_url": "https://x.example/"}, ["webhook_url"]),
        (T2V, {"watermark": True}, ["watermark"]),
        (T2V, {"audio_url": SOUND}, ["audio_url"]),
        (T2V, {"duration": 0}, ["duration"]),
        (T2V, {"resolution": "4K"}, ["resolution, ratio"]),
        (T2V, {"ratio": "wide"}, ["resolution, ratio"]),
        (I2V, {}, ["prompt"]),
        (I2V, {"prompt": "x", "last_frame": IMAGE}, ["last_frame"]),
        (I2V, {"prompt": "x", "first_frame": "oss://a/b"}, ["first_frame"]),
        (I2V, {"prompt": "x", "first_clip": CLIP, "driving_audio": SOUND}, ["first_clip", "driving_audio"]),
        (R2V, {}, ["mode"]),
        (EDIT, {"prompt": "x", "duration": 0}, ["video"]),
        (EDIT, {"video": OWN_VIDEO, "duration": 0}, ["prompt"]),
        (EDIT, {"video": OWN_VIDEO, "prompt": "x", "duration": 5, "reference_images": [IMAGE]},
         ["reference_images", "duration"]),
        (EDIT, {"video": OWN_VIDEO, "prompt": "x", "duration": 0, "audio_setting": "origin"}, ["audio_setting"]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
@pytest.mark.parametrize("strict", [True, False])
def test_what_it_has_no_field_for_is_refused_by_name(
    mode: Any, fields: dict[str, Any], wrong: list[str], strict: bool
) -> None:
    found = problems("openai", make(mode, strict=strict, **fields))
    assert [violation.field for violation in found if violation.hard] == wrong


def test_what_is_left_to_the_server_is_a_remark() -> None:
    assert checked("openai", make(T2V)).warnings == ()
    assert checked("openai", make(I2V, prompt="x", ratio="16:9")).warnings == ()
    (warning,) = checked("openai", make(I2V, prompt="x")).warnings
    assert "server chooses the size" in warning


@pytest.mark.parametrize(
    ("tier", "ratio", "size"),
    [
        ("720P", None, "1280x720"),
        ("480P", "1:1", "624x624"),
        ("1080P", "3:4", "1248x1632"),
        ("720P", "21:9", "1472x624"),
        ("480P", "4:3", "736x544"),
        ("720P", "1:5", None),
        ("4K", "16:9", None),
        ("720P", "0:1", None),
    ],
)
def test_sizes(tier: str, ratio: str | None, size: str | None) -> None:
    assert size_of(tier, ratio) == size
    if size and size != "1472x624" and size != "736x544":
        assert tier_and_ratio_of(size) == (tier, ratio or "16:9")


@pytest.mark.parametrize("size", [None, 5, "", "x", "720P", "1x1", "999999x1", "853x480"])
def test_a_size_that_is_in_no_table_says_nothing(size: Any) -> None:
    assert tier_and_ratio_of(size) == (None, None)


@pytest.mark.parametrize(("key", "headers"), [(KEY, {"Authorization": f"Bearer {KEY}"}), ("", {})])
def test_a_key_may_be_missing(key: str, headers: dict[str, str]) -> None:
    assert openai.auth_headers(account("openai", HOST, key=key)) == headers
    with WanClient(account("openai", HOST, key=key)):
        pass
    with pytest.raises(WanAuthError):
        WanClient(account("powertokens", HOST, key=""))


# -- answers ----------------------------------------------------------------------------------------------

VIDEO: dict[str, Any] = {
    "id": "t1", "object": "video", "model": "Wan2.2", "status": "completed", "progress": 100, "seconds": "5",
    "size": "1280x720", "created_at": 1_790_000_000, "completed_at": 1_790_000_060, "prompt": "A boat",
}  # fmt: skip


def test_finished_video_is_at_the_content_endpoint() -> None:
    task = openai.read_task(answer(200, VIDEO), handle("openai"), HOST)
    assert (task.status, task.video_url) == (TaskStatus.SUCCEEDED, f"{HOST}/v1/videos/t1/content")
    assert openai.content_url(task, account("openai", HOST)) == task.video_url
    assert (task.resolution, task.ratio, task.duration, task.prompt) == ("720P", "16:9", 5.0, "A boat")
    assert task.finished_at == datetime.fromtimestamp(1_790_000_060, UTC)
    assert task.url_expires_at is None, "how long a server keeps videos is its own affair"
    told = openai.read_task(answer(200, VIDEO | {"expires_at": 1_790_003_600}), handle("openai"), HOST)
    assert told.url_expires_at == datetime.fromtimestamp(1_790_003_600, UTC)


def test_the_servers_own_model_gets_its_name() -> None:
    task = openai.read_task(answer(200, VIDEO), handle("openai", model="default"), HOST)
    assert task.model == "Wan2.2"
    assert read("openai", VIDEO).model == "m", "a model that was asked for keeps the name it was asked by"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", TaskStatus.PENDING),
        ("in_progress", TaskStatus.RUNNING),
        ("completed", TaskStatus.SUCCEEDED),
        ("failed", TaskStatus.FAILED),
        ("cancelled", TaskStatus.CANCELLED),
        ("melting", TaskStatus.UNKNOWN),
    ],
)
def test_every_status_word_maps(word: str, status: TaskStatus) -> None:
    task = read("openai", {"id": "t1", "status": word})
    assert (task.status, task.mode, task.submitted_at) == (status, T2V, SUBMITTED_AT)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, {"error": {"message": "bad size", "code": "invalid_value"}}, WanRejectedError, "bad size"),
        (400, {"detail": "prompt is required"}, WanRejectedError, "prompt is required"),
        (422, {"detail": [{"loc": ["body", "seconds"], "msg": "not a number"}]}, WanRejectedError,
         "body.seconds: not a number"),
        (404, {"detail": "Video not found"}, WanRejectedError, "Video not found"),
        (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, WanRejectedError, "bad"),
        (401, {"error": "Unauthorized"}, WanAuthError, "Unauthorized"),
        (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, WanQuotaError, "slow down"),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, WanBillingError, "no money"),
        (400, {"error": {"message": "no", "code": "moderation_blocked"}}, WanModerationError, "no"),
        (500, {"detail": "CUDA out of memory"}, WanServerError, "CUDA"),
        (502, b"<html>", WanResponseError, "html"),
    ],
    ids=str,
)  # fmt: skip
def test_error_shapes(status: int, body: Any, kind: type[WanError], words: str) -> None:
    error = error_of("openai", answer(status, body))
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("body", [{}, [], {"id": "t1"}, {"object": "list", "data": []}], ids=str)
def test_answer_without_a_task_is_not_the_api(body: Any) -> None:
    with pytest.raises(WanResponseError):
        read("openai", body)


# -- list, deletion, key ----------------------------------------------------------------------------------


def rows(*ids: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [VIDEO | {"id": name} for name in ids], **more}


def test_list_goes_on_after_the_last_row() -> None:
    first = openai.page_call(TaskFilter(), 1)
    assert (first.target, first.params) == ("/v1/videos", {"limit": "100", "order": "desc"})
    page = openai.read_page(answer(200, rows("a", "b", has_more=True)), TaskFilter(), 1)
    assert ([task.task_id for task in page.tasks], page.next_page, page.last_id) == (["a", "b"], 2, "b")
    assert openai.page_call(TaskFilter(after="b"), 2).params["after"] == "b"
    assert openai.read_page(answer(200, rows("c")), TaskFilter(), 2).next_page is None
    assert openai.read_page(answer(200, rows(has_more=True)), TaskFilter(), 2).next_page is None


def test_list_shows_what_is_wanted_and_ends_where_it_is_older() -> None:
    made = datetime.fromtimestamp(VIDEO["created_at"], UTC)
    body = answer(200, rows("a", has_more=True))

    def page(**wanted: Any) -> Any:
        return openai.read_page(body, TaskFilter(**wanted), 1)

    assert (len(page(since=made).tasks), page(since=made).next_page) == (1, 2)
    late = page(since=made + timedelta(seconds=1))
    assert (late.tasks, late.next_page) == ([], None)
    early = page(until=made - timedelta(seconds=1))
    assert (early.tasks, early.next_page) == ([], 2)
    assert page(model="other").tasks == []
    assert [task.model for task in page(model="Wan2.2").tasks] == ["Wan2.2"]
    with pytest.raises(WanResponseError):
        openai.read_page(answer(200, {"data": "x"}), TaskFilter(), 1)


def test_its_list_proves_nothing_of_a_lost_submission() -> None:
    assert not openai.list_tells_time
    assert not openai.has_idempotency_key


@pytest.mark.parametrize(
    ("state", "deletion", "is_cancelled"),
    [
        ({"id": "t1", "status": "queued"}, answer(200, {"id": "t1", "deleted": True}), True),
        ({"id": "t1", "status": "in_progress"}, answer(200, {"id": "t1", "deleted": True}), True),
        ({"id": "t1", "status": "in_progress"}, answer(400, {"error": {"message": "still running"}}), False),
        (VIDEO, None, False),
    ],
)
def test_only_what_has_not_ended_is_deleted(state: dict[str, Any], deletion: Any, is_cancelled: bool) -> None:
    outcomes = [answer(200, state), *([deletion] if deletion else [])]
    seen = drive_flow("openai", lambda flows: flows.cancel(handle("openai"), Patience()), *outcomes)
    assert seen.result is is_cancelled
    assert [call.method for call in seen.calls] == ["GET", *(["DELETE"] if deletion else [])]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(200, {"object": "list", "data": []}), "accepts the key"),
        (answer(404, {"detail": "Not Found"}), "answers"),
    ],
)
def test_key_check_makes_nothing(given: Any, words: str) -> None:
    seen = drive_flow("openai", lambda flows: flows.key_check(Patience()), given)
    assert [(call.method, call.target) for call in seen.calls] == [("GET", "/v1/models")]
    assert words in seen.result.message
    refused = drive_flow("openai", lambda flows: flows.key_check(Patience()), answer(401, {"error": "no"}))
    assert isinstance(refused.error, WanAuthError)
