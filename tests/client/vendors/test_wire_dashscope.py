"""DashScope on the wire: method, path, headers and body of every call, hosts and keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanResponseError,
)
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, Upload
from tests.client.support import (
    CLIP,
    EDIT,
    I2V,
    IMAGE,
    INLINE,
    R2V,
    SOUND,
    T2V,
    account,
    answer,
    handle,
    make,
    submit_call,
)

VIDEO_GENERATION = "/api/v1/services/aigc/video-generation/video-synthesis"
IMAGE_TO_VIDEO = "/api/v1/services/aigc/image2video/video-synthesis"
ASYNC = {"X-DashScope-Async": "enable"}
DEFAULTS: dict[str, Any] = {"resolution": "1080P", "duration": 5, "prompt_extend": True, "watermark": False}
OSS = "oss://dashscope-instant/abc/2026-10-20/def/cafe.jpg"

dashscope = vendor_of("dashscope")

BODIES: list[tuple[str, Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("text", T2V, {}, {"prompt": "A paper boat"}, DEFAULTS),
    (
        "text with everything",
        T2V,
        {
            "negative_prompt": "blurry",
            "audio_url": SOUND,
            "resolution": "720p",
            "ratio": "9:16",
            "duration": 15,
            "prompt_extend": False,
            "watermark": True,
            "seed": 0,
        },
        {"prompt": "A paper boat", "negative_prompt": "blurry", "audio_url": SOUND},
        {
            "resolution": "720P",
            "ratio": "9:16",
            "duration": 15,
            "prompt_extend": False,
            "watermark": True,
            "seed": 0,
        },
    ),
    ("first frame", I2V, {}, {"media": [{"type": "first_frame", "url": IMAGE}]}, DEFAULTS),
    (
        "frames and sound, without a ratio",
        I2V,
        {"prompt": "up", "last_frame": INLINE, "driving_audio": SOUND, "ratio": "1:1"},
        {
            "prompt": "up",
            "media": [
                {"type": "first_frame", "url": IMAGE},
                {"type": "last_frame", "url": INLINE},
                {"type": "driving_audio", "url": SOUND},
            ],
        },
        DEFAULTS,
    ),
    (
        "continuation to a last frame",
        I2V,
        {"first_frame": None, "first_clip": CLIP, "last_frame": IMAGE},
        {"media": [{"type": "first_clip", "url": CLIP}, {"type": "last_frame", "url": IMAGE}]},
        DEFAULTS,
    ),
    (
        "references with a voice each, first frame last",
        R2V,
        {
            "prompt": "Video 1 plays the guitar of Image 1",
            "reference_images": [{"url": IMAGE, "voice": SOUND}],
            "reference_videos": [{"url": CLIP, "voice": SOUND}],
            "first_frame": INLINE,
            "ratio": "16:9",
            "duration": 10,
        },
        {
            "prompt": "Video 1 plays the guitar of Image 1",
            "media": [
                {"type": "reference_image", "url": IMAGE, "reference_voice": SOUND},
                {"type": "reference_video", "url": CLIP, "reference_voice": SOUND},
                {"type": "first_frame", "url": INLINE},
            ],
        },
        DEFAULTS | {"ratio": "16:9", "duration": 10},
    ),
    (
        "edit that keeps length and sound",
        EDIT,
        {"prompt": "redder", "reference_images": [IMAGE], "duration": 0, "audio_setting": "origin"},
        {
            "prompt": "redder",
            "media": [{"type": "video", "url": CLIP}, {"type": "reference_image", "url": IMAGE}],
        },
        DEFAULTS | {"duration": 0, "audio_setting": "origin"},
    ),
]


@pytest.mark.parametrize(
    ("mode", "fields", "source", "parameters"), [row[1:] for row in BODIES], ids=[r[0] for r in BODIES]
)
def test_body_of_wan_2_7(mode: Any, fields: Any, source: Any, parameters: Any) -> None:
    call = submit_call("dashscope", make(mode, **fields))
    models = {T2V: "wan2.7-t2v", I2V: "wan2.7-i2v", R2V: "wan2.7-r2v", EDIT: "wan2.7-videoedit"}
    assert (call.method, call.target, call.params, call.headers) == ("POST", VIDEO_GENERATION, {}, ASYNC)
    assert call.json == {"model": models[mode], "input": source, "parameters": parameters}


WAN_3: list[tuple[str, Any, dict[str, Any], Any, dict[str, Any]]] = [
    ("text", T2V, {"resolution": "480P", "ratio": "21:9", "duration": 30, "generate_audio": False}, None,
     {"resolution": "480P", "ratio": "21:9", "duration": 30, "audio": False}),
    ("the model chooses the length", T2V, {"duration": -1, "seed": -1}, None, {"duration": -1, "seed": -1}),
    ("frames keep their ratio", I2V, {"last_frame": IMAGE, "ratio": "adaptive"},
     [{"type": "first_frame", "url": IMAGE}, {"type": "last_frame", "url": IMAGE}], {"ratio": "adaptive"}),
    ("references of all kinds", R2V,
     {"reference_images": [IMAGE], "reference_videos": [CLIP], "reference_audios": [SOUND], "document": "https://x.example/a.pdf"},
     [
         {"type": "reference_image", "url": IMAGE},
         {"type": "reference_video", "url": CLIP},
         {"type": "reference_audio", "url": SOUND},
         {"type": "file", "url": "https://x.example/a.pdf"},
     ], {}),
    ("a web page", R2V, {"reference_images": None, "prompt": "sum it up", "link": "https://x.example/page"},
     [{"type": "link", "url": "https://x.example/page"}], {}),
    ("an edit's source is a reference", EDIT, {"prompt": "redder", "reference_images": [IMAGE]},
     [{"type": "reference_video", "url": CLIP}, {"type": "reference_image", "url": IMAGE}], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "fields", "media", "parameters"), [row[1:] for row in WAN_3], ids=[r[0] for r in WAN_3]
)
@pytest.mark.parametrize("model", ["wan3.0-video", "wan3.0-video-prime"])
def test_body_of_wan_3_0(model: str, mode: Any, fields: Any, media: Any, parameters: Any) -> None:
    call = submit_call("dashscope", make(mode, model=model, **fields))
    assert call.target == VIDEO_GENERATION
    assert call.json["model"] == model
    assert call.json["input"].get("media") == media
    assert call.json["parameters"] == DEFAULTS | parameters
    assert "negative_prompt" not in call.json["input"]


LEGACY: list[tuple[str, Any, dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    ("wan2.6-t2v", T2V, {"ratio": "4:3", "audio_url": SOUND}, VIDEO_GENERATION,
     {"prompt": "A paper boat", "audio_url": SOUND},
     {"size": "1632*1248", "duration": 5, "prompt_extend": True, "watermark": False}),
    ("wanx2.1-t2v-turbo", T2V, {"resolution": "480P"}, VIDEO_GENERATION, {"prompt": "A paper boat"},
     {"size": "832*480", "duration": 5, "prompt_extend": True, "watermark": False}),
    ("wan2.5-i2v-preview", I2V, {"driving_audio": SOUND, "duration": 10, "resolution": "480P"}, VIDEO_GENERATION,
     {"img_url": IMAGE, "audio_url": SOUND},
     {"resolution": "480P", "duration": 10, "prompt_extend": True, "watermark": False}),
    ("wan2.6-i2v-flash", I2V, {"generate_audio": False}, VIDEO_GENERATION, {"img_url": IMAGE},
     {"resolution": "1080P", "duration": 5, "audio": False, "prompt_extend": True, "watermark": False}),
    ("wan2.2-kf2v-flash", I2V, {"last_frame": INLINE, "prompt": "x"}, IMAGE_TO_VIDEO,
     {"prompt": "x", "first_frame_url": IMAGE, "last_frame_url": INLINE},
     {"resolution": "1080P", "duration": 5, "prompt_extend": True, "watermark": False}),
    ("wan2.6-r2v", R2V, {"reference_videos": [CLIP], "resolution": "720P", "seed": 7}, VIDEO_GENERATION,
     {"prompt": "Image 1 waves", "reference_urls": [IMAGE, CLIP]},
     {"size": "1280*720", "duration": 5, "watermark": False, "seed": 7}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "mode", "fields", "path", "source", "parameters"), LEGACY, ids=[r[0] for r in LEGACY]
)
def test_body_of_older_models(model: str, mode: Any, fields: Any, path: str, source: Any, parameters: Any) -> None:
    call = submit_call("dashscope", make(mode, model=model, **fields))
    assert (call.target, call.headers) == (path, ASYNC)
    assert call.json == {"model": model, "input": source, "parameters": parameters}


def test_tuned_model_takes_the_path_and_body_of_its_base() -> None:
    assert submit_call("dashscope", make(I2V, model="wan2.5-i2v-preview-ft-202511")).json["input"] == {"img_url": IMAGE}
    assert submit_call("dashscope", make(I2V, model="wan2.2-kf2v-flash-ft-1")).target == IMAGE_TO_VIDEO


@pytest.mark.parametrize("model", ["wan2.2-animate-move", "wan2.2-animate-mix", "wan2.2-s2v"])
def test_models_of_the_image_path_are_sent_there(model: str) -> None:
    assert submit_call("dashscope", make(I2V, model=model)).target == IMAGE_TO_VIDEO


def test_unknown_model_is_sent_as_it_is_with_all_fields() -> None:
    call = submit_call("dashscope", make(I2V, model="wan9-x", ratio="5:4", duration=77, resolution="4k"))
    assert call.json["model"] == "wan9-x"
    assert call.json["parameters"] == DEFAULTS | {"ratio": "5:4", "duration": 77, "resolution": "4K"}


def test_extra_body_is_merged_last_and_deeply() -> None:
    extra = {"input": {"template": "hug"}, "parameters": {"watermark": True, "new": [1]}, "debug": 1}
    body = submit_call("dashscope", make(T2V, extra_body=extra)).json
    assert body["input"] == {"prompt": "A paper boat", "template": "hug"}
    assert body["parameters"] == DEFAULTS | {"watermark": True, "new": [1]}
    assert body["debug"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"reference_images": [OSS]},
        {"reference_images": [{"url": IMAGE, "voice": OSS}]},
        {"first_frame": OSS},
        {"extra_body": {"input": {"other": [{"url": OSS}]}}},
    ],
)
def test_a_temporary_upload_anywhere_asks_to_be_resolved(fields: dict[str, Any]) -> None:
    headers = submit_call("dashscope", make(R2V, **fields)).headers
    assert headers == ASYNC | {"X-DashScope-OssResourceResolve": "enable"}


# -- hosts and keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "workspace", "url"),
    [
        (None, None, "https://dashscope-intl.aliyuncs.com"),
        ("ap-southeast-1", None, "https://dashscope-intl.aliyuncs.com"),
        ("cn-beijing", None, "https://dashscope.aliyuncs.com"),
        ("us-east-1", None, "https://dashscope-us.aliyuncs.com"),
        ("cn-hongkong", None, "https://cn-hongkong.dashscope.aliyuncs.com"),
        ("eu-central-1", "llm-1", "https://llm-1.eu-central-1.maas.aliyuncs.com"),
        ("ap-northeast-1", "llm-1", "https://llm-1.ap-northeast-1.maas.aliyuncs.com"),
        (None, "llm-1", "https://llm-1.ap-southeast-1.maas.aliyuncs.com"),
    ],
)
def test_host_of_region_and_workspace(region: str | None, workspace: str | None, url: str) -> None:
    assert dashscope.base_url(region, workspace) == url


@pytest.mark.parametrize(
    ("region", "workspace", "names"),
    [
        ("eu-central-1", None, "workspace_id"),
        ("ap-northeast-1", None, "workspace_id"),
        ("mars-1", None, "ap-southeast-1"),
        ("cn-beijing", "evil.example.com/", "workspace_id"),
        ("cn-beijing", "a b", "workspace_id"),
    ],
)
def test_no_host_is_made_up(region: str, workspace: str | None, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        dashscope.base_url(region, workspace)


def test_key_and_workspace_headers() -> None:
    assert dashscope.auth_headers(account(key="sk-12345678")) == {"Authorization": "Bearer sk-12345678"}
    with_workspace = dashscope.auth_headers(account(key="sk-12345678", workspace_id="llm-1"))
    assert with_workspace == {"Authorization": "Bearer sk-12345678", "X-DashScope-WorkSpace": "llm-1"}


def test_list_window_is_told_in_china_time() -> None:
    since = datetime(2026, 10, 20, 0, 30, tzinfo=UTC)
    call = dashscope.page_call(TaskFilter(since, since + timedelta(hours=2), "wan2.7-t2v", page_size=50), 3)
    assert (call.method, call.target) == ("GET", "/api/v1/tasks")
    assert call.params == {
        "page_no": "3",
        "page_size": "50",
        "start_time": "20261020083000",
        "end_time": "20261020103000",
        "model_name": "wan2.7-t2v",
    }


def test_list_without_a_window_names_none() -> None:
    assert dashscope.page_call(TaskFilter(), 1).params == {"page_no": "1", "page_size": "100"}


@pytest.mark.parametrize("status", list(TaskStatus))
def test_list_takes_every_state_by_the_vendors_word(status: TaskStatus) -> None:
    word = dashscope.page_call(TaskFilter(status=status), 1).params["status"]
    assert word in {"PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN"}
    assert dashscope.status_of(word) is status


def test_long_list_window_keeps_its_end_not_its_beginning() -> None:
    until = datetime(2026, 10, 20, 12, tzinfo=UTC)
    params = dashscope.page_call(TaskFilter(until - timedelta(days=3), until), 1).params
    assert (params["start_time"], params["end_time"]) == ("20261019200000", "20261020200000")


ROW = {
    "api_key_id": "1", "gmt_create": 1792461600123, "start_time": 1792461607000, "end_time": 1792461700000,
    "region": "x", "request_id": "create-1", "status": "SUCCEEDED", "task_id": "t9", "model_name": "wan2.7-t2v",
}  # fmt: skip


def test_list_rows() -> None:
    body = {
        "request_id": "q",
        "data": [ROW, {"no": "id"}, 5],
        "total": 41,
        "total_page": 3,
        "page_no": 1,
        "page_size": 20,
    }
    page = dashscope.read_page(answer(200, body, date="Tue, 20 Oct 2026 02:00:05 GMT"), TaskFilter(), 1)
    assert (page.next_page, page.total) == (2, 41)
    assert page.served_at == datetime(2026, 10, 20, 2, 0, 5, tzinfo=UTC)
    (task,) = page.tasks
    assert (task.task_id, task.model, task.status, task.request_id) == (
        "t9",
        "wan2.7-t2v",
        TaskStatus.SUCCEEDED,
        "create-1",
    )
    assert task.submitted_at == datetime.fromtimestamp(1792461600.123, UTC)
    assert task.finished_at == datetime.fromtimestamp(1792461700, UTC)


@pytest.mark.parametrize(
    ("body", "page", "following"),
    [
        ({"data": [ROW], "total_page": 3}, 3, None),
        ({"data": [ROW], "total_page": 3}, 2, 3),
        ({"data": [], "total_page": 3}, 1, None),
        ({"data": [ROW] * 10, "page_size": 10}, 1, 2),
        ({"data": [ROW] * 9, "page_size": 10}, 1, None),
        ({"total": 0}, 1, None),
    ],
)
def test_paging_ends(body: dict[str, Any], page: int, following: int | None) -> None:
    assert dashscope.read_page(answer(200, body), TaskFilter(page_size=100), page).next_page == following


def test_list_that_is_none() -> None:
    with pytest.raises(WanResponseError, match="list_tasks"):
        dashscope.read_page(answer(200, {"tasks": []}), TaskFilter(), 1)


def test_cancel_is_an_empty_post() -> None:
    call = dashscope.cancel_call(handle(task_id="t 1"))
    assert (call.method, call.target, call.json) == ("POST", "/api/v1/tasks/t%201/cancel", None)


def test_key_check_makes_nothing() -> None:
    call = dashscope.key_call()
    assert (call.method, call.target, call.params) == ("GET", "/api/v1/tasks", {"page_no": "1", "page_size": "1"})


POLICY = {
    "policy": "eyJ", "signature": "g5K", "upload_dir": "dashscope-instant/9f/2026-10-20/1c",
    "upload_host": "https://files.example.com", "expire_in_seconds": 300, "max_file_size_mb": "100",
    "oss_access_key_id": "LTAI", "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true",
}  # fmt: skip


def test_upload_in_two_steps_with_a_name_that_fits_a_url() -> None:
    upload = Upload("Mein Löwe (1).png", b"png", "image/png", "wan2.7-i2v")
    start = dashscope.upload_call(upload)
    assert (start.method, start.target) == ("GET", "/api/v1/uploads")
    assert start.params == {"action": "getPolicy", "model": "wan2.7-i2v"}
    call, url = dashscope.upload_finish(answer(200, {"data": POLICY}), upload)
    assert call is not None
    assert (call.method, call.target, call.auth, call.headers) == ("POST", "https://files.example.com", False, {})
    assert call.data is not None
    assert url == f"oss://{call.data['key']}"
    assert url.startswith("oss://dashscope-instant/9f/2026-10-20/1c/")
    assert url.endswith("-Mein_L_we_1_.png")
    assert dict(call.data) | {"key": ""} == {
        "OSSAccessKeyId": "LTAI", "Signature": "g5K", "policy": "eyJ", "key": "", "x-oss-object-acl": "private",
        "x-oss-forbid-overwrite": "true", "success_action_status": "200",
    }  # fmt: skip
    assert call.file == ("file", "Mein Löwe (1).png", b"png", "image/png")
    assert submit_call("dashscope", make(I2V, first_frame=url)).headers["X-DashScope-OssResourceResolve"] == "enable"
    assert dashscope.upload_finish(answer(200, {"data": POLICY}), upload)[1] != url


@pytest.mark.parametrize(
    "change",
    [{"upload_host": "files.example.com"}, {"upload_host": None}, {"upload_dir": ""}, {"upload_host": "file:///etc"}],
)
def test_upload_goes_to_no_made_up_host(change: dict[str, Any]) -> None:
    with pytest.raises(WanResponseError, match="upload"):
        dashscope.upload_finish(answer(200, {"data": POLICY | change}), Upload("a.png", b"", "image/png", "m"))
