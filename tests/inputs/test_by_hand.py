"""The hook: one file made reachable, and handed to the vendor."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import ImageToVideoRequest
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox

Make = Callable[..., Path]


def both(hook: WanHook, *args: Any, **given: Any) -> list[str]:
    return [hook.media_url(*args, **given), asyncio.run(hook.amedia_url(*args, **given))]


def test_a_stored_file_gets_a_signed_address(sandbox: Sandbox, s3: Any, make: Make, vendor: str) -> None:
    content = make("walk.mp4").read_bytes()
    s3.put_object(Bucket="films", Key="walk.mp4", Body=content)
    path = "s3://my_s3@films/walk.mp4"
    for form in (path, ObjectStoragePath(path)):
        for url in both(WanHook(f"wan_{vendor}"), form, "wan2.7-i2v"):
            assert httpx.get(url, trust_env=False).content == content
    assert sandbox.uploads() == []


def test_a_local_image_is_uploaded_for_its_model(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    hook = WanHook()
    request = ImageToVideoRequest(first_frame="https://x.example.com/a.png", model="wan2.7-i2v-2026-04-25")
    for url in both(hook, fox, request):
        assert url.startswith("oss://")
    assert {item["model"] for item in sandbox.uploads()} == {"wan2.7-i2v-2026-04-25"}
    assert {item["sha256"] for item in sandbox.uploads()} == {hashlib.sha256(fox.read_bytes()).hexdigest()}
    handle = hook.submit(ImageToVideoRequest(first_frame=hook.media_url(fox, "wan2.7-i2v")))
    assert handle.task_id


def test_a_named_way_is_taken(sandbox: Sandbox, make: Make) -> None:
    fox = make("fox.png")
    for url in both(WanHook(), str(fox), media="inline"):
        assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == fox.read_bytes()
    with pytest.raises(WanRequestError, match="a file on this machine has no address"):
        WanHook().media_url(str(fox), media="presign")


def test_an_address_stays_as_it_is(sandbox: Sandbox) -> None:
    for url in ("https://x.example.com/a.png", "oss://dashscope-instant/a.png", "data:image/png;base64,iVBO"):
        assert WanHook().media_url(url) == url


def test_what_cannot_be_had_is_named(sandbox: Sandbox, tmp_path: Path, make: Make) -> None:
    with pytest.raises(WanRequestError, match="path: is a file that exists"):
        WanHook().media_url(tmp_path / "no.png")
    with pytest.raises(WanRequestError, match="path: can be made reachable for PowerTokens"):
        WanHook("wan_powertokens").media_url(make("fox.png"))
    (tmp_path / "empty.png").touch()
    for call in (WanHook().media_url, WanHook().upload_file):
        with pytest.raises(WanRequestError, match="path: holds something"):
            call(tmp_path / "empty.png")
    with pytest.raises(WanRequestError, match="path: at GCCAI is of type"):
        WanHook("wan_gccai").upload_file(make("walk.mp4"))
    assert "upload" not in sandbox.ledger()["requests"].get("gccai", {})


def test_an_object_is_handed_to_the_vendor(sandbox: Sandbox, s3: Any, make: Make) -> None:
    content = make("walk.mp4").read_bytes()
    s3.put_object(Bucket="films", Key="walk.mp4", Body=content)
    assert WanHook().upload_file("s3://my_s3@films/walk.mp4", "wan2.7-i2v").startswith("oss://")
    assert [item["sha256"] for item in sandbox.uploads()] == [hashlib.sha256(content).hexdigest()]
