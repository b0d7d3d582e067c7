"""The vendor's own Python SDK, both generations, works against the sandbox as against the real service."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import dashscope
import httpx
import pytest
from dashscope import VideoSynthesis
from dashscope.v2.errors import DashScopeError

from airflow_provider_wan.sandbox import Sandbox

from .conftest import KEY, Clip, probe

IMAGE = "https://media.example.com/a.png"


@pytest.fixture
def old(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> type[VideoSynthesis]:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{sandbox.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", KEY)
    return VideoSynthesis


@pytest.fixture
def new(sandbox: Sandbox) -> Iterator[Any]:
    client = dashscope.Client(api_key=KEY, base_url=f"{sandbox.url}/api/v1", max_retries=0)
    yield client
    client.close()


def test_1x_creates_fetches_waits_and_the_video_plays(old: Any, sandbox: Sandbox) -> None:
    made = old.async_call(model="wan2.7-t2v", prompt="A boat", resolution="720P", ratio="9:16", duration=2)
    assert made.status_code == HTTPStatus.OK, made
    assert made.output.task_status == "PENDING"
    fetched = old.fetch(made.output.task_id)
    assert fetched.output.task_id == made.output.task_id
    done = old.wait(made)
    assert done.output.task_status == "SUCCEEDED"
    assert (done.usage.duration, done.usage.video_count, done.usage.SR) == (2, 1, 720)
    assert probe(httpx.get(done.output.video_url).content) == Clip(720, 1280, 2.0, "h264", "yuv420p")
    assert len(sandbox.ledger()["billed"]) == 1


def test_1x_call_in_one_go_with_media(old: Any) -> None:
    media = [{"type": "reference_image", "url": IMAGE}]
    done = old.call(model="wan2.7-r2v", prompt="Image 1 dances", media=media, duration=3, prompt_extend=False)
    assert (done.status_code, done.output.task_status) == (HTTPStatus.OK, "SUCCEEDED"), done


def test_1x_kf2v_takes_the_other_path(old: Any, sandbox: Sandbox) -> None:
    made = old.async_call(model="wan2.2-kf2v-flash", prompt="rise", first_frame_url=IMAGE, last_frame_url=IMAGE)
    assert made.status_code == HTTPStatus.OK, made
    assert sandbox.tasks()[0]["mode"] == "image_to_video"


def test_1x_lists_and_cancels(old: Any, sandbox: Sandbox) -> None:
    sandbox.configure(running_limit=1, generation_seconds=600)
    running, waiting = (old.async_call(model="wan2.7-t2v", prompt=text).output.task_id for text in ("a", "b"))
    listed = old.list(page_size=1, page_no=2, status="RUNNING", model_name="wan2.7-t2v")
    assert listed.status_code == HTTPStatus.OK
    listed = old.list(page_size=5)
    assert listed.status_code == HTTPStatus.OK
    assert old.cancel(waiting).status_code == HTTPStatus.OK
    assert old.fetch(waiting).output.task_status == "CANCELED"
    refused = old.cancel(running)
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "UnsupportedOperation")


def test_1x_uploads_a_local_first_frame(old: Any, sandbox: Sandbox, png: bytes, tmp_path: Path) -> None:
    picture = tmp_path / "first.png"
    picture.write_bytes(png)
    media = [{"type": "first_frame", "url": f"file://{picture}"}]
    made = old.async_call(model="wan2.7-i2v", prompt="go", media=media, resolution="720P")
    assert made.status_code == HTTPStatus.OK, made
    (task,) = sandbox.tasks()
    assert (task["width"], task["height"]) == (672, 1344)


def test_1x_sees_failures_and_refusals(old: Any) -> None:
    failed = old.call(model="wan2.7-t2v", prompt="x [sandbox fail=DataInspectionFailed]")
    assert (failed.output.task_status, failed.output.code) == ("FAILED", "DataInspectionFailed")
    late = old.call(model="wan2.7-t2v", prompt="x", duration=99)
    assert (late.output.task_status, late.output.message) == ("FAILED", "Duration should be between 2 and 15")
    refused = old.async_call(model="wan2.9-t2v", prompt="x")
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "InvalidParameter")
    nobody = old.async_call(model="wan2.7-t2v", prompt="x", api_key="sk-invalid")
    assert (nobody.status_code, nobody.code) == (HTTPStatus.UNAUTHORIZED, "InvalidApiKey")


def test_2x_generates_and_the_video_plays(new: Any) -> None:
    job = new.videos.generate(
        model="wan2.7-t2v", prompt="A boat", resolution="720P", ratio="4:3", duration=2, poll_interval=0.05
    )
    assert job.succeeded
    assert job.submitted_at
    assert job.finished_at
    assert probe(httpx.get(job.video_url).content) == Clip(1104, 832, 2.0, "h264", "yuv420p")


def test_2x_creates_fetches_lists_and_cancels(new: Any, sandbox: Sandbox) -> None:
    jobs = new.videos.jobs
    job = jobs.create(model="wan2.7-i2v", prompt="x [sandbox hold]", image_url=IMAGE)
    assert jobs.fetch(job.task_id).status == "PENDING"
    assert jobs.list(page_size=3).total == 1
    jobs.cancel(job.task_id)
    assert jobs.fetch(job.task_id).status == "CANCELED"
    assert jobs.wait("no-such-task").status == "UNKNOWN"


def test_2x_raises_for_failures_and_refusals(new: Any) -> None:
    with pytest.raises(DashScopeError, match="inappropriate"):
        new.videos.generate(model="wan2.7-t2v", prompt="x [sandbox fail=DataInspectionFailed]", poll_interval=0.05)
    with pytest.raises(DashScopeError, match="Duration should be between 2 and 15"):
        new.videos.generate(model="wan2.7-t2v", prompt="x", duration=99, poll_interval=0.05)
    with pytest.raises(DashScopeError, match="Model not exist"):
        new.videos.jobs.create(model="wan2.9-t2v", prompt="x")


def test_2x_retries_a_lost_submission_into_a_second_task(sandbox: Sandbox) -> None:
    """Why this provider does not submit through the SDK: its transport repeats a POST after a 5xx."""
    sandbox.configure(error_after_create_rate=0)
    client = dashscope.Client(api_key=KEY, base_url=f"{sandbox.url}/api/v1", max_retries=1)
    try:
        client.videos.jobs.create(model="wan2.7-t2v", prompt="x [sandbox error-after-create=500]")
    finally:
        client.close()
    assert [entry["created"] for entry in sandbox.ledger()["duplicates"]] == [2]
