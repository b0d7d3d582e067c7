"""What cannot be used is refused before anything is uploaded or paid, all of it in one message."""

from __future__ import annotations

import http.server
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import WanError, WanRequestError
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sandbox import Sandbox
from tests.driving import Driven

from .media import clip, picture, sound

QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P"}
I2V, R2V, T2V, EDIT = (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)


def png_head(width: int, height: int) -> bytes:
    """A PNG that says how large it is; its pixels would fill gigabytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 64


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


WRONG: dict[str, tuple[Any, str, Any, str, str]] = {
    # what: operator, field, content or size, rule, given
    "missing": (I2V, "first_frame", None, "is a file that exists", "x.png"),
    "5 GB": (I2V, "first_clip", 5 * 1024**3, "has at most 100 MB", "5,120.0 MB"),
    "an image of 21 MB": (I2V, "first_frame", 21 * 1024**2, "has at most 20 MB", "21.0 MB"),
    "empty": (I2V, "first_frame", b"", "holds something", "an empty file"),
    "a text": (
        I2V,
        "first_frame",
        b"not a picture",
        "is an image (JPEG, PNG, BMP, WebP)",
        "text/plain, by its content",
    ),
    "a page": (I2V, "first_frame", b"<!DOCTYPE html><p>403", "is an image", "text/html"),
    "a GIF": (I2V, "first_frame", picture(".gif"), "is an image (JPEG, PNG, BMP, WebP)", "image/gif"),
    "a clip for a picture": (I2V, "first_frame", clip(seconds=2.5), "is an image", "video/mp4"),
    "a picture for a clip": (I2V, "first_clip", picture(), "is a clip (MP4, MOV)", "image/png"),
    "alpha": (I2V, "first_frame", picture(mode="RGBA"), "has no alpha channel", "a picture with one"),
    "20,001 pixels": (I2V, "first_frame", png_head(20_001, 4000), "has sides of 240 to 8000 pixels", "20001 x 4000"),
    "too small": (I2V, "first_frame", picture(width=100, height=300), "has sides of 240 to 8000 pixels", "100 x 300"),
    "too long": (I2V, "first_frame", picture(width=2500, height=250), "at most 8 times as long", "2500 x 250"),
    "a clip of 31 s": (R2V, "reference_videos", clip(seconds=31, fps=4), "lasts 1 to 30 s", "31.0 s"),
    "a clip of 1 s": (I2V, "first_clip", clip(seconds=1), "lasts 2 to 10 s", "1.0 s"),
    "a clip of 12 s": (EDIT, "video", clip(seconds=12, fps=4), "lasts 2 to 10 s", "12.0 s"),
    "a tiny clip": (EDIT, "video", clip(width=128, height=128), "has sides of 240 to 4096 pixels", "128 x 128"),
    "a broken clip": (EDIT, "video", clip()[:400], "is a clip (MP4, MOV)", "broken video/mp4"),
    "a sound of 31 s": (T2V, "audio_url", sound(seconds=31), "lasts 2 to 30 s", "31.0 s"),
    "a picture for a sound": (T2V, "audio_url", picture(), "is a sound (WAV, MP3)", "image/png"),
    "a folder": (I2V, "first_frame", "folder", "is a file", "which is a folder"),
}
ENOUGH: dict[Any, dict[str, Any]] = {I2V: {}, R2V: {"prompt": "Hi"}, T2V: {"prompt": "Hi"}, EDIT: {"prompt": "Hi"}}


@pytest.mark.parametrize("what", WRONG)
def test_a_bad_file_is_refused_for_nothing(sandbox: Sandbox, tmp_path: Path, what: str) -> None:
    kind, field, content, rule, given = WRONG[what]
    path = tmp_path / "x.png"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, int):
        sparse(path, content)
    elif content is not None:
        path.write_bytes(content)
    value = [str(path)] if field == "reference_videos" else str(path)
    with pytest.raises(AirflowFailException) as caught:
        Driven(lambda: kind(**QUICK, **ENOUGH[kind], **{field: value})).run()
    message = str(caught.value)
    assert f"{field}" in message
    assert rule in message
    assert given in message
    assert sandbox.ledger()["requests"] == {}


@pytest.mark.parametrize("what", ["alpha", "too small", "a clip of 31 s", "an image of 21 MB"])
def test_documented_limits_are_warnings_when_not_strict(sandbox: Sandbox, tmp_path: Path, what: str) -> None:
    kind, field, content, _, _ = WRONG[what]
    path = tmp_path / "x.png"
    if isinstance(content, int):
        path.write_bytes(picture() + b"\0" * content)
    else:
        path.write_bytes(content)
    value = [str(path)] if field == "reference_videos" else str(path)
    Driven(lambda: kind(**QUICK, **ENOUGH[kind], **{field: value}, strict=False)).run()
    assert len(sandbox.ledger()["billed"]) == 1


def test_everything_is_said_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "b.png").write_bytes(picture(width=100))
    (tmp_path / "good.png").write_bytes(picture())
    images = [str(tmp_path / name) for name in ("a.png", "b.png", "good.png")]
    run = Driven(
        lambda: WanReferenceToVideoOperator(
            **QUICK, prompt="{{ 'Image 7' }}", reference_images=images, reference_videos=[str(tmp_path / "no.mp4")]
        )
    )
    with pytest.raises(AirflowFailException) as caught:
        run.run()
    said = str(caught.value)
    for part in ("reference_images[0].url", "reference_images[1].url", "reference_videos[0].url", "'Image 7'"):
        assert part in said
    assert "good.png" not in said
    assert sandbox.ledger()["requests"] == {}


def refused(error: type[Exception] = AirflowFailException, **given: Any) -> str:
    with pytest.raises(error) as caught:
        Driven(lambda: WanImageToVideoOperator(**QUICK, **given)).run()
    return str(caught.value)


def test_a_missing_key_and_a_missing_bucket(sandbox: Sandbox, s3: Any) -> None:
    for place in ("s3://my_s3@films/no.png", "s3://my_s3@nowhere/no.png"):
        said = refused(first_frame=place)
        assert f"first_frame: is a file that exists (given: {place})" in said
    assert sandbox.ledger()["requests"] == {}


@pytest.fixture
def forbidding(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An Airflow connection ``closed`` to a storage that answers 403 to all."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CLOSED", json.dumps(connection))
    yield
    server.shutdown()
    server.server_close()


def test_a_bucket_without_permission(sandbox: Sandbox, forbidding: None) -> None:
    assert "first_frame: may be read (given: s3://closed@films/fox.png" in refused(
        first_frame="s3://closed@films/fox.png"
    )
    assert sandbox.ledger()["requests"] == {}


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("nosuch://bucket/fox.png", "is the place of a file"),
        ("https:/media.example.com/fox.png", "is a full URL"),
        ("{{ none }}", "is a file that exists"),
        ("A" * 5000, "is a file that exists"),
    ],
)
def test_what_is_no_place(sandbox: Sandbox, place: str, rule: str) -> None:
    with pytest.raises((AirflowFailException, WanRequestError), match=rule):
        Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=place)).run()
    assert sandbox.ledger()["requests"] == {}


def test_a_vendor_without_uploads_says_what_to_do(sandbox: Sandbox, make: Callable[..., Path]) -> None:
    said = refused(first_frame=str(make("fox.png")), wan_conn_id="wan_powertokens")
    assert "first_frame: can be made reachable for PowerTokens" in said
    assert "PowerTokens takes no uploads" in said
    assert "put it into storage that signs addresses" in said
    clip_said = refused(first_clip=str(make("walk.mp4")), wan_conn_id="wan_gccai")
    assert "GCCAI takes uploads of image/jpeg" in clip_said
    assert sandbox.ledger()["requests"] == {}


def test_storage_that_cannot_sign(sandbox: Sandbox, make: Callable[..., Path]) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach(protocol="memory", fs=MemoryFileSystem())
    MemoryFileSystem().pipe_file("/films/fox.png", picture())
    said = refused(first_frame="memory://films/fox.png", media="presign")
    assert "storage of this kind (memory://) cannot sign addresses" in said
    assert "a file on this machine has no address" in refused(first_frame=str(make("fox.png")), media="presign")
    Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame="memory://films/fox.png")).run()
    assert len(sandbox.uploads()) == 1


def test_a_signed_address_of_a_private_host_is_no_way_to_a_vendor_on_the_internet(
    sandbox: Sandbox, s3: Any, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="films", Key="walk.mp4", Body=make("walk.mp4").read_bytes())
    connection = {
        "conn_type": "wan",
        "host": "https://gateway.example.com",
        "password": "sk-1",
        "extra": {"vendor": "gccai"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_FAR", json.dumps(connection))
    said = refused(first_clip="s3://my_s3@films/walk.mp4", wan_conn_id="far")
    assert "the storage's host 127.0.0.1 is not on the internet" in said


def test_an_upload_that_breaks_off_is_tried_again_by_airflow(
    sandbox: Sandbox, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wan.inputs.reach import _Stream

    fox, read = make("fox.png", width=2000, height=2000, colour=(1, 2, 3)), _Stream.read

    def breaks(self: Any, count: int = -1) -> bytes:
        if self.tell() > 0:
            raise ConnectionResetError("the storage went away")
        return read(self, min(count, 1000))

    monkeypatch.setattr(_Stream, "read", breaks)
    run = Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=str(fox)))
    with pytest.raises(WanError, match=r"upload of fox\.png to DashScope failed") as caught:
        run.run()
    assert caught.value.retryable
    assert sandbox.ledger()["created"] == []
    monkeypatch.setattr(_Stream, "read", read)
    run.run()
    assert len(sandbox.ledger()["billed"]) == 1


def test_a_file_that_changes_after_its_check_is_not_sent(
    sandbox: Sandbox, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fox = make("fox.png")
    content = fox.read_bytes()
    run = Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=str(fox)))
    from airflow_provider_wan.worker.obtaining import Obtaining

    before = Obtaining._before_paying

    def changes(self: Any, *args: Any) -> None:
        before(self, *args)
        fox.write_bytes(content[:-20] + b"!" + content[-19:])

    monkeypatch.setattr(Obtaining, "_before_paying", changes)
    with pytest.raises(WanError, match="changed after it was checked"):
        run.run()
    assert sandbox.ledger()["created"] == []
    assert sandbox.uploads() == []
