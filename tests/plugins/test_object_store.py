"""Stored videos in an object store, over the S3 protocol: streamed by the API server, or by a signed address."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_wan.plugins import media as media_module
from airflow_provider_wan.plugins.media import THREADS
from tests.plugins.conftest import MP4, Gallery

PLACE = "s3://my_s3@films/a%20boat/é.mp4"


@pytest.fixture
def stored(s3: Any) -> Any:
    s3.put_object(Bucket="films", Key="a%20boat/é.mp4", Body=MP4)
    s3.put_object(Bucket="films", Key="page.mp4", Body=b"<html></html>", ContentType="text/html")
    return s3


@pytest.mark.parametrize(("asked", "part"), [(None, MP4), ("bytes=100-199", MP4[100:200]), ("bytes=-7", MP4[-7:])])
def test_a_video_is_streamed_from_the_store(gallery: Gallery, stored: Any, asked: str | None, part: bytes) -> None:
    answer = gallery.media(PLACE, headers={"Range": asked} if asked else {})
    assert (answer.status_code, answer.content) == (206 if asked else 200, part)
    assert answer.headers["content-type"] == "video/mp4"


def test_a_redirect_gives_the_bytes_without_a_session_and_no_key(
    gallery: Gallery, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_REDIRECT", "True")
    answer = gallery.media(PLACE)
    assert (answer.status_code, answer.content) == (307, b"")
    address = answer.headers["location"]
    asked = parse_qs(urlsplit(address).query)
    assert {"Signature", "X-Amz-Signature"} & set(asked), asked
    assert "secret" not in address
    part = httpx.get(address, headers={"Range": "bytes=4-7"}, trust_env=False)
    assert (part.status_code, part.content) == (206, b"ftyp")


@pytest.mark.parametrize("redirect", ["True", "False"])
@pytest.mark.parametrize(
    ("key", "status"), [("films/page.mp4", 415), ("films/gone.mp4", 404), ("another-bucket/x.mp4", 403)]
)
def test_what_is_no_video_of_ours_is_neither_streamed_nor_signed(
    gallery: Gallery, stored: Any, monkeypatch: pytest.MonkeyPatch, redirect: str, key: str, status: int
) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_REDIRECT", redirect)
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_ROOTS", "s3://films/")
    answer = gallery.media(f"s3://my_s3@{key}")
    assert answer.status_code == status
    assert "location" not in answer.headers


def test_a_store_that_hangs_keeps_nobody_from_the_page(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    is_over, began = threading.Event(), threading.Semaphore(0)

    def hang(place: Any, sign: bool) -> Any:
        began.release()
        is_over.wait(60)
        raise FileNotFoundError

    monkeypatch.setattr(media_module, "_open", hang)
    gallery.videos["clip"] = PLACE
    asking = [threading.Thread(target=gallery.get, args=("/media/films?run=r1&task=clip",)) for _ in range(THREADS * 2)]
    try:
        for thread in asking:
            thread.start()
        for _ in range(THREADS):
            assert began.acquire(timeout=30)
        assert gallery.get("").status_code == 200
        assert gallery.get("static/main.js").status_code == 200
        assert gallery.get("api/dags/films/videos?run=r1").status_code == 200
    finally:
        is_over.set()
        for thread in asking:
            thread.join()
