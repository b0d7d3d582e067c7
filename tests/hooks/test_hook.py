"""Every call of the hook, blocking and async, at every vendor, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from PIL import Image

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanError,
    WanRequestError,
    WanTaskFailed,
    WanTaskTimeout,
)
from airflow_provider_wan.client.requests import ImageToVideoRequest, TextToVideoRequest
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from tests.airflow_fixtures import connection_json
from tests.driving import KEY

BOAT = TextToVideoRequest(prompt="A paper boat", resolution="720P", duration=5)
POLL = 0.05
CANCELLING = {"dashscope", "openai"}
LISTING = {"dashscope", "freepik", "openai"}
UPLOADING = {"dashscope", "gccai", "freepik"}


def a_held(what: str = "") -> TextToVideoRequest:
    return BOAT.model_copy(update={"prompt": f"A paper boat [sandbox hold {what}]"})


@pytest.fixture
def hook(sandbox: Sandbox, vendor: str) -> WanHook:
    return WanHook(f"wan_{vendor}")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "first frame é.png"
    Image.new("RGB", (640, 360), (20, 90, 160)).save(path)
    return path


def test_submit_wait_get(hook: WanHook, sandbox: Sandbox, vendor: str) -> None:
    handle = hook.submit(BOAT)
    assert (handle.vendor, handle.mode) == (vendor, Mode.TEXT_TO_VIDEO)
    task = hook.wait(handle, timeout=20, poll_interval=POLL)
    assert task.status is TaskStatus.SUCCEEDED
    assert task.task_id == handle.task_id
    again = hook.get_task(handle.to_dict())
    assert again.status is TaskStatus.SUCCEEDED
    assert again.video_url == task.video_url
    assert [made["task_id"] for made in sandbox.ledger()["created"]] == [handle.task_id]


async def test_async_twins(hook: WanHook, sandbox: Sandbox, vendor: str) -> None:
    handle = await hook.asubmit(BOAT)
    assert handle.vendor == vendor
    task = await hook.await_task(handle.to_dict(), timeout=timedelta(seconds=20), poll_interval=POLL)
    assert task.status is TaskStatus.SUCCEEDED
    assert (await hook.aget_task(handle)).video_url == task.video_url
    assert len(sandbox.ledger()["billed"]) == 1


async def test_list_tasks(hook: WanHook, sandbox: Sandbox, vendor: str) -> None:
    since = utc_now() - timedelta(minutes=5)
    ids = {hook.submit(BOAT).task_id for _ in range(3)}
    if vendor not in LISTING:
        with pytest.raises(NotImplementedError, match="has no task list"):
            list(hook.list_tasks(since))
        with pytest.raises(NotImplementedError, match="has no task list"):
            [task async for task in hook.alist_tasks(since)]
        return
    assert {task.task_id for task in hook.list_tasks(since)} == ids
    assert {task.task_id async for task in hook.alist_tasks(since)} == ids


async def test_list_walks_pages_and_knows_the_window(sandbox: Sandbox) -> None:
    sandbox.configure(page_size_max=2)
    hook = WanHook("wan_dashscope")
    handles = [hook.submit(BOAT) for _ in range(5)]
    since = utc_now() - timedelta(minutes=5)
    assert {task.task_id for task in hook.list_tasks(since)} == {handle.task_id for handle in handles}
    assert sandbox.ledger()["requests"]["dashscope"]["list"] == {"200": 3}
    assert list(hook.list_tasks(since - timedelta(hours=2), until=since)) == []
    assert list(hook.list_tasks(since, model="wan2.7-r2v")) == []
    assert len([task async for task in hook.alist_tasks(since, model="wan2.7-t2v")]) == 5


def test_freepik_keeps_a_list_per_mode(sandbox: Sandbox) -> None:
    hook = WanHook("wan_freepik")
    hook.submit(BOAT)
    image = hook.submit(ImageToVideoRequest(first_frame="https://media.example.com/fox.png", resolution="720P"))
    since = utc_now() - timedelta(minutes=5)
    assert [task.task_id for task in hook.list_tasks(since, mode=Mode.IMAGE_TO_VIDEO)] == [image.task_id]


async def test_cancel_a_queued_task(hook: WanHook, sandbox: Sandbox, vendor: str) -> None:
    sandbox.configure(running_limit=1, generation_seconds=30)
    hook.submit(BOAT)
    queued, other = hook.submit(BOAT), hook.submit(BOAT)
    is_cancelled = vendor in CANCELLING
    assert hook.cancel_task(queued.to_dict()) is is_cancelled
    assert await hook.acancel_task(other) is is_cancelled
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True, True] * is_cancelled


async def test_a_running_task_cannot_be_cancelled(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=30)
    hook = WanHook()
    handle = hook.submit(BOAT)
    assert hook.get_task(handle).status is TaskStatus.RUNNING
    assert hook.cancel_task(handle) is False
    assert await hook.acancel_task(handle) is False


async def test_upload(hook: WanHook, vendor: str, picture: Path) -> None:
    if vendor not in UPLOADING:
        with pytest.raises(WanRequestError, match="is of type: nothing"):
            hook.upload_file(picture)
        with pytest.raises(WanRequestError, match="is of type: nothing"):
            await hook.aupload_file(str(picture))
        return
    stored = ObjectStoragePath(f"file://{picture}")
    uploads = [hook.upload_file(str(picture)), hook.upload_file(stored), hook.upload_file(f"file://{picture}")]
    for url in (*uploads, await hook.aupload_file(picture, model=None)):
        request = ImageToVideoRequest(first_frame=url, resolution="720P", duration=5)
        task = hook.wait(hook.submit(request), timeout=20, poll_interval=POLL)
        assert task.status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize(("name", "why"), [("missing.png", "is a file"), ("notes.xyz", "is of type")])
def test_upload_refuses(sandbox: Sandbox, tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "notes.xyz").write_bytes(b"x")
    with pytest.raises(WanRequestError, match=why):
        WanHook("wan_gccai").upload_file(tmp_path / name)
    assert "upload" not in sandbox.ledger()["requests"].get("gccai", {})


# -- waiting --------------------------------------------------------------------------------------------

WAITS: list[Callable[..., Any]] = [
    lambda hook, handle, **limits: hook.wait(handle, **limits),
    lambda hook, handle, **limits: hook.await_task(handle, **limits),
]


async def waited(way: Callable[..., Any], *args: Any, **limits: Any) -> VideoTask:
    found = way(*args, **limits)
    task: VideoTask = await found if hasattr(found, "__await__") else found
    return task


@pytest.fixture(params=WAITS, ids=["wait", "await_task"])
def wait(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_failed_task_is_an_error_with_its_code(sandbox: Sandbox, wait: Any) -> None:
    hook = WanHook()
    handle = hook.submit(BOAT.model_copy(update={"prompt": "x [sandbox fail=InternalError message=broken]"}))
    with pytest.raises(WanTaskFailed, match="broken") as caught:
        await waited(wait, hook, handle, timeout=20, poll_interval=POLL)
    assert (caught.value.code, caught.value.task_id) == ("InternalError", handle.task_id)


async def test_a_deadline_is_an_error_and_the_task_goes_on(sandbox: Sandbox, wait: Any) -> None:
    hook = WanHook()
    handle = hook.submit(a_held())
    with pytest.raises(WanTaskTimeout, match="deadline"):
        await waited(wait, hook, handle, timeout=0.3, poll_interval=POLL)
    assert sandbox.ledger()["cancels"] == []


async def test_trouble_is_borne(sandbox: Sandbox, wait: Any) -> None:
    hook = WanHook()
    handle = hook.submit(BOAT)
    sandbox.configure(
        fail_next=[{"call": call, "status": status} for status in (500, 429, 503) for call in ("query", "list")]
    )
    assert (await waited(wait, hook, handle, timeout=20, poll_interval=POLL)).status is TaskStatus.SUCCEEDED


async def test_a_task_nobody_knows_ends_the_wait(sandbox: Sandbox, wait: Any) -> None:
    hook = WanHook()
    handle = hook.submit(BOAT).model_copy(update={"task_id": "0f0e0d0c-0000-4000-8000-000000000000"})
    with pytest.raises(WanError, match="older than 24 h"):
        await waited(wait, hook, handle, timeout=20, poll_interval=POLL)


# -- refused before sending, and the key ------------------------------------------------------------------


async def test_a_bad_request_is_not_sent(hook: WanHook, sandbox: Sandbox) -> None:
    bad = TextToVideoRequest(prompt="A paper boat", duration=-5, ratio="5:40")
    for attempt in (lambda: hook.submit(bad), lambda: hook.asubmit(bad)):
        with pytest.raises(WanRequestError) as caught:
            await attempt()  # type: ignore[misc]
        named = {name for violation in caught.value.violations for name in violation.field.split(", ")}
        assert {"duration", "ratio"} <= named
    assert sandbox.ledger()["requests"] == {}


def test_test_connection_proves_the_key_for_nothing(hook: WanHook, sandbox: Sandbox) -> None:
    is_good, message = hook.test_connection()
    assert is_good
    assert "accepts the key" in message
    assert sandbox.ledger()["created"] == []


def test_test_connection_tells_of_a_wrong_key(sandbox: Sandbox, vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAN_WRONG", connection_json(sandbox.base_url(vendor), vendor, key="sk-wrong-9e8d7c6b")
    )
    is_good, message = WanHook("wan_wrong").test_connection()
    assert not is_good
    assert "test_connection" in message
    assert "401" in message
    assert "sk-wrong" not in message


def test_test_connection_tells_of_a_wrong_host(sandbox: Sandbox, vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A web server, but nobody's API; and a port where nobody listens.
    monkeypatch.setenv("AIRFLOW_CONN_WAN_WRONG", connection_json(f"{sandbox.url}/elsewhere", vendor))
    is_good, message = WanHook("wan_wrong").test_connection()
    if vendor == "openai":
        assert is_good, "such a server may have no call that proves a key"
        assert "answers; it has no call that would prove a key" in message
    else:
        assert not is_good
        assert "404" in message
    monkeypatch.setenv("AIRFLOW_CONN_WAN_WRONG", connection_json("http://127.0.0.1:9", vendor))
    is_good, message = WanHook("wan_wrong").test_connection()
    assert not is_good
    assert "did not answer" in message
    assert KEY not in message


def test_test_connection_tells_of_wrong_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAN_WRONG", connection_json("http://example.com", "nobody", key="sk-secret-1"))
    is_good, message = WanHook("wan_wrong").test_connection()
    assert not is_good
    assert "host" in message
    assert "extra.vendor" in message
    assert "sk-secret" not in message


async def test_the_key_is_in_no_text(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAN_WRONG", connection_json(sandbox.url, "dashscope", key="sk-wrong-9e8d7c6b"))
    hook = WanHook("wan_wrong")
    texts = [repr(hook), str(hook), repr(hook.account), str(hook.account), repr(hook.get_conn())]
    texts.append(repr(await hook.aget_conn()))
    for attempt in (lambda: hook.submit(BOAT), lambda: hook.asubmit(BOAT)):
        with pytest.raises(WanAuthError) as caught:
            await attempt()  # type: ignore[misc]
        texts += [str(caught.value), repr(caught.value), repr(caught.value.args), repr(vars(caught.value))]
    assert not [text for text in texts if "9e8d7c6b" in text]


def test_a_rotated_key_is_seen_by_a_new_hook(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAN_TURN", connection_json(sandbox.url, "gccai", key="sk-old"))
    with pytest.raises(WanAuthError):
        WanHook("wan_turn").submit(BOAT)
    monkeypatch.setenv("AIRFLOW_CONN_WAN_TURN", connection_json(sandbox.url, "gccai"))
    assert WanHook("wan_turn").submit(BOAT).task_id
