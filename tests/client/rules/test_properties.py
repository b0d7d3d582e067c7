"""Whatever is asked or answered: accepted requests satisfy the sandbox, and any answer is a value or a ``WanError``."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Call
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.rules.media import MEDIA_SETS
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask, result_of
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage, Upload
from airflow_provider_wan.client.webhooks import read_webhook
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.vendors.dashscope import bodies as dashscope_bodies
from airflow_provider_wan.sandbox.vendors.freepik import bodies as freepik_bodies
from airflow_provider_wan.sandbox.vendors.gccai import bodies as gccai_bodies
from airflow_provider_wan.sandbox.vendors.powertokens import bodies as powertokens_bodies
from airflow_provider_wan.sandbox.world.tasks import Order
from airflow_provider_wan.sandbox.world.world import World
from tests.client.support import EVERY_VENDOR, VENDORS, account, drive_flow, drive_submit, handle, make


def many(examples: int) -> settings:
    """So many examples in a thorough run, a tenth of them in a quick one."""
    return settings(max_examples=examples * settings.default.max_examples // 250)


# -- requests -------------------------------------------------------------------------------------------------

IMAGES = [
    "https://x.example/a.png",
    "http://x.example/a.png?sig=1",
    "oss://dir/a.png",
    "data:image/png;base64,iVBORw0KGgo=",
]
FILES = ["https://x.example/a.mp4", "http://x.example/a.mp3", "oss://dir/a.mp4", "asset://abc"]


def references(urls: list[str], least: int, most: int, voiced: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    voice = {"voice": st.sampled_from(FILES[:3])} if voiced else {}
    item = st.fixed_dictionaries({"url": st.sampled_from(urls)}, optional=voice)
    return st.lists(item, min_size=least, max_size=most)


# Per field: what fits mostly, and what mostly does not.
prompts = st.text(min_size=1, max_size=60).filter(str.strip)
odd_prompts = st.one_of(
    st.none(), st.text(max_size=9), st.sampled_from(["Image 3", "Video 1 and 图1", "x" * 5001, "视频2"])
)
COMMON: dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    "prompt": (prompts, odd_prompts),
    "negative_prompt": (st.none(), st.text(max_size=600)),
    "resolution": (st.sampled_from(["720P", "1080P", "1080p"]), st.sampled_from(["480P", "4K"])),
    "ratio": (
        st.sampled_from([None, "16:9", "9:16", "1:1", "4:3", "3:4"]),
        st.sampled_from(["21:9", "adaptive", "2:1"]),
    ),
    "duration": (st.integers(2, 10), st.integers(-2, 32)),
    "prompt_extend": (st.booleans(), st.booleans()),
    "watermark": (st.just(False), st.just(True)),
    "seed": (st.one_of(st.none(), st.integers(0, 2**31 - 1)), st.integers(-2, 2**31)),
    "generate_audio": (st.none(), st.booleans()),
    "webhook_url": (st.none(), st.just("https://x.example/hook")),
}
image, file = st.sampled_from(IMAGES[:2]), st.sampled_from(FILES[:2])
odd_image, odd_file = st.sampled_from([None, *IMAGES[2:]]), st.sampled_from([None, *FILES[2:], IMAGES[3]])
OWN: dict[Mode, dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]]] = {
    Mode.TEXT_TO_VIDEO: {"audio_url": (st.none(), st.one_of(file, odd_file))},
    Mode.IMAGE_TO_VIDEO: {
        name: (st.nothing(), odd) for name, odd in
        (("first_frame", odd_image), ("last_frame", odd_image), ("first_clip", odd_file), ("driving_audio", odd_file))
    },
    Mode.REFERENCE_TO_VIDEO: {
        "reference_images": (references(IMAGES[:2], 1, 3, False), references(IMAGES, 0, 6, True)),
        "reference_videos": (references(FILES[:2], 0, 2, False), references(FILES, 0, 4, True)),
        "first_frame": (st.none(), st.one_of(image, odd_image)),
        "reference_audios": (st.just([]), st.lists(file, max_size=2)),
        "document": (st.none(), file),
        "link": (st.none(), st.just("https://x.example/page")),
    },
    Mode.VIDEO_EDIT: {
        "video": (file, odd_file),
        "reference_images": (references(IMAGES[:2], 0, 4, False), references(IMAGES, 0, 6, True)),
        "audio_setting": (st.none(), st.sampled_from(["auto", "origin"])),
    },
}  # fmt: skip


@st.composite
def requests_of(draw: st.DrawFn, mode: Mode, models: list[str | None]) -> VideoRequest:
    fields: dict[str, Any] = {"model": draw(st.sampled_from(models))}
    if mode is Mode.IMAGE_TO_VIDEO:
        chosen = draw(st.sampled_from(MEDIA_SETS))
        fields |= {name: draw(image if name.endswith("frame") else file) for name in sorted(chosen)}
    odd = draw(st.sets(st.sampled_from(sorted(COMMON.keys() | OWN[mode].keys())), max_size=2))
    for name, (fitting, other) in (COMMON | OWN[mode]).items():
        strategy = other if name in odd else fitting
        if not strategy.is_empty:
            fields[name] = draw(strategy)
    return build_request(mode, fields)


MODELS: dict[str, list[str | None]] = {
    "dashscope": [None, None, "wan3.0-video", "wan3.0-video-prime"],
    "gccai": [None],
    "powertokens": [None, None, "wan3.0-video"],
    "freepik": [None],
}


def order_of(vendor: str, mode: Mode, call: Call) -> Order:
    """Read a body as the sandbox does, with everything refused that no page documents."""
    uploads = UploadStore(World(Settings()))
    body = json.loads(json.dumps(call.json, allow_nan=False))
    if vendor == "dashscope":
        resolve = call.headers.get("X-DashScope-OssResourceResolve") == "enable"
        path = "image2video" if "/image2video/" in call.target else "video-generation"
        return dashscope_bodies.Bodies(uploads, body, resolve_oss=resolve, strict=True).order(path)
    if vendor == "gccai":
        return gccai_bodies.GccaiBody(uploads, body, strict=True).order()
    if vendor == "powertokens":
        return powertokens_bodies.PowerTokensBody(uploads, body, strict=True).order()
    return freepik_bodies.FreepikBody(uploads, body, strict=True).order(str(mode), call.target.rsplit("/", 1)[1])


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_request_that_passes_the_check_satisfies_the_sandbox(vendor: str, mode: Mode) -> None:
    accepted: list[Call] = []

    @many(250)
    @given(requests_of(mode, MODELS[vendor]))
    def try_one(request: VideoRequest) -> None:
        try:
            vendor_of(vendor).check(request)
        except WanRequestError:
            return
        call = vendor_of(vendor).submit_call(request, account(vendor), None)
        order = order_of(vendor, mode, call)
        assert order.mode == mode or (request.model or "").startswith("wan3.0")
        assert order.prompt == (request.prompt or "")
        assert order.failure is None
        if request.duration > 0:
            assert order.seconds == request.duration
        assert order.tier == request.resolution
        assert order.unknown_fields == ()
        accepted.append(call)

    try_one()
    if (vendor, mode) != ("powertokens", Mode.VIDEO_EDIT):
        assert len(accepted) >= 30 * settings.default.max_examples // 250, (
            "too few of the requests passed the check to say anything"
        )


@many(150)
@given(st.data())
def test_any_request_passes_or_is_refused_by_name(data: st.DataObject) -> None:
    mode, vendor = data.draw(st.sampled_from(list(Mode))), data.draw(st.sampled_from(VENDORS))
    models: list[str | None] = [None, "wan2.6-t2v", "wan2.2-kf2v-flash", "wan2.6-r2v", "any-thing", "wan2.7"]
    request = data.draw(requests_of(mode, models))
    try:
        done = vendor_of(vendor).check(request)
    except WanRequestError as error:
        broken = error.violations
    else:
        broken = ()
        call = vendor_of(vendor).submit_call(request, account(vendor), None)
        assert json.dumps(call.json, allow_nan=False)
        assert done.model
    assert all(violation.field and violation.rule and violation.given for violation in broken)
    assert len(request.fingerprint("a")) == 64


# -- answers --------------------------------------------------------------------------------------------------

words = st.sampled_from([
    "output", "task_id", "task_status", "status", "data", "id", "code", "message", "error", "result", "videos", "url",
    "request_id", "video_url", "results", "usage", "SR", "ratio", "duration", "seconds", "submit_time", "end_time",
    "progress", "generated", "metadata", "content", "created", "completed", "created_at", "completed_at", "expires_at",
    "problem", "invalid_params", "total_page", "page_size", "total", "gmt_create", "start_time", "files", "upload_url",
    "asset_url", "headers", "upload_host", "upload_dir", "success", "type", "reason", "orig_prompt",
])  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**20), 1790000000, 86400 * 10**7]),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from([
        "SUCCEEDED", "completed", "COMPLETED", "FAILED", "failed", "running", "https://x.example/v.mp4", "http://[x",
        "https://x/v.mp4?Expires=99999999999999999999", "2026-10-20 10:00:00", "9999-12-31 23:59:59", "200", "²", "…",
        "\ud83d", "\x00", "..", "t1",
    ]),
)  # fmt: skip
jsons = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=6)
)
deep = st.integers(1, 3000).map(lambda n: b'{"output":' + b"[" * n + b"]" * n + b"}")
bodies = st.one_of(
    jsons.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(words, jsons, max_size=8).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    deep,
)
statuses = st.sampled_from(
    [200, 200, 200, 201, 202, 204, 301, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 503]
)
headers = st.fixed_dictionaries(
    {}, optional={"retry-after": st.text(max_size=8), "x-request-id": st.text(max_size=8), "date": st.text(max_size=8)}
)
answers = st.builds(Answer, statuses, bodies, headers, st.booleans())

ONCE = Patience(tries=1, throttled=0.0)


def is_recordable(task: VideoTask) -> None:
    """What is read from an answer must pass through events, records and XCom."""
    assert VideoTask.model_validate(json.loads(json.dumps(task.to_event(), allow_nan=False))).status is task.status
    assert json.dumps(result_of(task), allow_nan=False).encode()


@many(400)
@given(answers, st.sampled_from(EVERY_VENDOR), st.sampled_from(list(Mode)))
def test_any_answer_to_a_query_is_a_task_or_an_error(given_answer: Answer, vendor: str, mode: Mode) -> None:
    seen = drive_flow(vendor, lambda flows: flows.get_task(handle(vendor, mode), ONCE), given_answer)
    if seen.error is None:
        assert isinstance(seen.result, VideoTask)
        assert seen.result.task_id == "t1"
        is_recordable(seen.result)
        assert isinstance(vendor_of(vendor).failure_of(seen.result), WanError)
        assert vendor_of(vendor).is_final(seen.result) in (True, False)
    else:
        assert isinstance(seen.error, WanError)
        assert str(seen.error).encode()


@many(400)
@given(answers, st.sampled_from(EVERY_VENDOR))
def test_any_answer_to_a_submission_is_a_handle_or_an_error(given_answer: Answer, vendor: str) -> None:
    seen = drive_submit(vendor, given_answer, key="k" if vendor == "gccai" else None, patience=ONCE)
    assert len(seen.calls) == 1
    if seen.error is None:
        assert isinstance(seen.result, TaskHandle)
        assert json.dumps(seen.result.to_dict()).encode()
        assert vendor_of(vendor).task_call(seen.result).target.isascii()
    else:
        assert isinstance(seen.error, WanError)
        assert str(seen.error).encode()


@many(250)
@given(answers, st.sampled_from(["dashscope", "freepik", "openai"]), st.sampled_from(list(Mode)))
def test_any_answer_to_a_list_is_a_page_or_an_error(given_answer: Answer, vendor: str, mode: Mode) -> None:
    seen = drive_flow(vendor, lambda flows: flows.page(TaskFilter(mode=mode), 1, ONCE), given_answer)
    if seen.error is None:
        assert isinstance(seen.result, TaskPage)
        for task in seen.result.tasks:
            is_recordable(task)
    else:
        assert isinstance(seen.error, WanError)


@many(250)
@given(answers, st.sampled_from(EVERY_VENDOR))
def test_any_answer_to_the_other_calls_is_a_value_or_an_error(given_answer: Answer, vendor: str) -> None:
    upload = Upload("a.png", b"png", "image/png", "m")
    seen = [
        drive_flow(vendor, lambda flows: flows.key_check(ONCE), given_answer),
        drive_flow("dashscope", lambda flows: flows.cancel(handle(), ONCE), given_answer),
        drive_flow("openai", lambda flows: flows.cancel(handle("openai"), ONCE), given_answer, given_answer),
    ]
    if vendor not in ("powertokens", "openai"):
        seen.append(drive_flow(vendor, lambda flows: flows.upload(upload, ONCE), given_answer, given_answer))
    for drive in seen:
        assert (drive.error is None) != (drive.result is None)
        assert drive.error is None or isinstance(drive.error, WanError)
    with contextlib.suppress(WanError):
        is_recordable(read_webhook(given_answer.body))


@many(100)
@given(st.text(max_size=40).filter(bool))
def test_any_task_id_stays_one_part_of_the_path(task_id: str) -> None:
    own_account: Account = account()
    for vendor in EVERY_VENDOR:
        target = vendor_of(vendor).task_call(handle(vendor, task_id=task_id)).target
        base = vendor_of(vendor).task_call(handle(vendor, task_id="t1")).target
        assert target.count("/") == base.count("/")
        assert not set(target) & set("?# \n")
    assert own_account.base_url.startswith("https://")


def test_smallest_request_reads_the_same_in_the_sandbox() -> None:
    call = vendor_of("freepik").submit_call(make(Mode.TEXT_TO_VIDEO), account("freepik"), None)
    assert order_of("freepik", Mode.TEXT_TO_VIDEO, call).prompt == "A paper boat"
