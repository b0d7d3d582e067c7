"""A server of one's own (vendor ``openai``): each way of its body, without a key, over http, down to the file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_wan.client.errors import WanRejectedError, WanRequestError, WanResponseError
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
)
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask, utc_now
from airflow_provider_wan.delivery.download import Source
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from tests.client.support import IMAGE, INLINE
from tests.driving import KEY

BOAT = TextToVideoRequest(prompt="A paper boat", resolution="480P", ratio="9:16", duration=3, seed=7)
FRAME = ImageToVideoRequest(prompt="It smiles", first_frame=INLINE, resolution="480P")
FETCHED = FRAME.model_copy(update={"first_frame": IMAGE})


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(password: str = KEY, **extra: Any) -> WanHook:
        connection = {"conn_type": "wan", "host": f"{sandbox.base_url('openai')}/v1", "password": password}
        monkeypatch.setenv("AIRFLOW_CONN_WAN_OWN", json.dumps(connection | {"extra": {"vendor": "openai", **extra}}))
        return WanHook("wan_own")

    return make


def finished(hook: WanHook, request: VideoRequest) -> VideoTask:
    return hook.wait(hook.submit(request), timeout=timedelta(seconds=20), poll_interval=0.1)


def saved(hook: WanHook, task: VideoTask) -> bytes:
    with Source(task, hook.account).open() as response:
        return response.read()


@pytest.mark.parametrize("body", ["multipart", "json"])
@pytest.mark.parametrize(
    ("request_", "mode"),
    [(BOAT, "text_to_video"), (FRAME, "image_to_video"), (FETCHED, "image_to_video")],
    ids=["text", "inline image", "address of an image"],
)
def test_from_request_to_file(connect: Any, sandbox: Sandbox, body: str, request_: VideoRequest, mode: str) -> None:
    sandbox.configure(strict_fields=True, openai_bodies=body)
    hook = connect(body=body)
    task = finished(hook, request_)
    (made,) = sandbox.tasks()
    assert (made["mode"], made["vendor"], made["seconds"]) == (mode, "openai", request_.duration)
    if request_ is BOAT:
        assert (made["width"], made["height"], made["body"]["seed"]) == (480, 832, 7)
        assert (task.resolution, task.ratio) == ("480P", "9:16")
    assert task.video_url == f"{sandbox.base_url('openai')}/v1/videos/{task.task_id}/content"
    assert saved(hook, task)[4:8] == b"ftyp"


def test_a_body_that_the_server_does_not_take_is_refused_in_its_words(connect: Any, sandbox: Sandbox) -> None:
    sandbox.configure(openai_bodies="json")
    with pytest.raises(WanRejectedError, match="this server takes application/json"):
        connect().submit(BOAT)


def test_a_server_without_keys_needs_none(connect: Any, sandbox: Sandbox) -> None:
    sandbox.configure(openai_key="optional", api_keys=[])
    hook = connect(password="")
    assert hook.test_connection() == (True, "OpenAI-style server accepts the key")
    task = finished(hook, BOAT)
    assert saved(hook, task)[4:8] == b"ftyp"


def test_the_key_goes_to_the_content_endpoint_and_no_further(connect: Any, sandbox: Sandbox) -> None:
    sandbox.configure(openai_content="redirect")
    hook = connect()
    # The host that it redirects to refuses a key.
    assert saved(hook, finished(hook, BOAT))[4:8] == b"ftyp"


def test_a_remix_of_an_earlier_result(connect: Any, sandbox: Sandbox) -> None:
    hook = connect()
    source = finished(hook, BOAT)
    remix = finished(hook, VideoEditRequest(video=source.video_url, prompt="At night", duration=0))
    assert remix.status is TaskStatus.SUCCEEDED
    newest = sandbox.tasks()[-1]
    assert (newest["task_id"], newest["body"]["remixed_from"]) == (remix.task_id, source.task_id)


def test_list_walks_its_pages_and_the_window(connect: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect()
    made = [hook.submit(BOAT.model_copy(update={"model": name})).task_id for name in ("a", "a", "b", "a", "b")]
    since = utc_now() - timedelta(minutes=5)
    assert [task.task_id for task in hook.list_tasks(since)] == made[::-1]
    assert [task.task_id for task in hook.list_tasks(since, model="b")] == [made[4], made[2]]
    assert list(hook.list_tasks(since, until=since)) == []
    pages = hook.vendor.page_call
    monkeypatch.setattr(
        type(hook.vendor), "page_call",
        lambda self, wanted, page: pages(wanted.__class__(wanted.since, page_size=2, after=wanted.after), page),
    )  # fmt: skip
    assert [task.task_id for task in hook.list_tasks(since)] == made[::-1]
    assert [task.task_id for task in hook.list_tasks(since, model="b")] == [made[4], made[2]]


def test_a_cancel_deletes_what_runs_and_never_what_is_finished(connect: Any, sandbox: Sandbox) -> None:
    hook = connect()
    done = finished(hook, BOAT)
    sandbox.configure(generation_seconds=60)
    running = hook.submit(BOAT)
    assert hook.get_task(running).status is TaskStatus.RUNNING
    assert hook.cancel_task(running) is True
    assert sandbox.ledger()["cancels"][-1]["accepted"]
    finished_handle = running.model_copy(update={"task_id": done.task_id})
    assert hook.cancel_task(finished_handle) is False
    assert saved(hook, done)[4:8] == b"ftyp"
    sandbox.configure(openai_delete="finished")
    kept = hook.submit(BOAT)
    assert hook.cancel_task(kept) is False, "this server deletes only what has ended"
    assert hook.get_task(kept).status is TaskStatus.RUNNING


def test_a_bad_image_is_sent_nowhere(connect: Any, sandbox: Sandbox) -> None:
    with pytest.raises(WanRequestError, match="first_frame"):
        connect().submit(FRAME.model_copy(update={"first_frame": "data:image/png;base64,AAA"}))
    assert sandbox.ledger()["requests"] == {}


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_private_server_may_redirect_within_its_network(connect: Any, is_allowed: bool) -> None:
    account = replace(connect().account, base_url="https://videos.corp.example.com", allow_http=is_allowed)
    source = Source(VideoTask(task_id="t1", vendor="openai", status=TaskStatus.SUCCEEDED), account)
    elsewhere = httpx.URL("http://10.0.0.9/t1.mp4")
    if is_allowed:
        assert source._targets(elsewhere)
    else:
        with pytest.raises(WanResponseError, match="internal host"):
            source._targets(elsewhere)
