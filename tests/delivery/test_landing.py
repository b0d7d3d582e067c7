"""A video lands whole or not at all, whatever its host does."""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanError, WanResponseError, WanTransportError
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.delivery.landing import WanResultGone, copy_stored, is_alive, is_stored, land, target_of

from . import hosts
from .conftest import KEY, account, task
from .hosts import VIDEO, Behaviour, Host

DIGEST = hashlib.sha256(VIDEO).hexdigest()
MakeHost = Callable[..., Host]


def target(folder: Path, name: str = "clip.mp4") -> str:
    return f"file://{folder}/{name}"


@pytest.mark.parametrize(
    "behaviour",
    [hosts.whole, hosts.without_length, hosts.chunked, hosts.packed, hosts.in_crumbs],
    ids=lambda behaviour: behaviour.__name__,
)
def test_every_way_to_send_a_video_lands_the_same_bytes(host: MakeHost, tmp_path: Path, behaviour: Behaviour) -> None:
    server = host(clip=behaviour)
    landed = land(task(server.url("clip")), target(tmp_path), account())
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO
    assert landed.to_dict() == {"uri": target(tmp_path), "bytes": len(VIDEO), "sha256": DIGEST}
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_very_small_video_is_a_video(host: MakeHost, tmp_path: Path) -> None:
    assert land(task(host(clip=hosts.tiny).url("clip")), target(tmp_path), account()).bytes == 40


def test_folders_are_made_where_there_are_folders(host: MakeHost, tmp_path: Path) -> None:
    land(task(host(clip=hosts.whole).url("clip")), target(tmp_path, "2026/11/20/clip.mp4"), account())
    assert (tmp_path / "2026/11/20/clip.mp4").read_bytes() == VIDEO


def test_a_plain_path_is_a_place_too(host: MakeHost, tmp_path: Path) -> None:
    land(task(host(clip=hosts.whole).url("clip")), str(tmp_path / "clip.mp4"), account())
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO


def test_a_folder_gets_a_file_named_after_the_task(host: MakeHost, tmp_path: Path) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), f"file://{tmp_path}/", account())
    assert landed.uri == f"file://{tmp_path}/task-1.mp4"
    assert (tmp_path / "task-1.mp4").exists()


@pytest.mark.parametrize("task_id", ["../../etc/passwd", "a/b", "..", "x y?z#"])
def test_a_task_id_cannot_leave_the_folder(task_id: str) -> None:
    name = target_of(task(None, task_id=task_id), "s3://b/k/").removeprefix("s3://b/k/")
    assert "/" not in name
    assert not set(name) & set("?# ")


def test_what_was_there_is_replaced(host: MakeHost, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"the video of yesterday")
    land(task(host(clip=hosts.whole).url("clip")), target(tmp_path), account())
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO


BAD: list[tuple[Behaviour, type[WanError], str]] = [
    (hosts.truncated, WanTransportError, "broke off"),
    (hosts.packed_and_cut, WanTransportError, "broke off"),
    (hosts.chunks_that_break_off, WanTransportError, "broke off"),
    (hosts.empty, WanTransportError, "is empty"),
    (hosts.html, WanResponseError, "not an MP4 or MOV file"),
    (hosts.short, WanResponseError, "not an MP4 or MOV file"),
    (hosts.answering(500), WanTransportError, "HTTP 500"),
    (hosts.answering(429), WanTransportError, "HTTP 429"),
    (hosts.answering(302), WanTransportError, "HTTP 302"),
]
BAD_IDS = ["truncated", "packed-cut", "chunks-cut", "empty", "html", "short", "500", "429", "302-nowhere"]


@pytest.mark.parametrize(("behaviour", "kind", "words"), BAD, ids=BAD_IDS)
def test_a_bad_download_is_repeated_and_then_told(
    host: MakeHost, tmp_path: Path, behaviour: Behaviour, kind: type[WanError], words: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"the video of yesterday")
    server = host(clip=behaviour)
    with pytest.raises(kind, match=words) as caught:
        land(task(server.url("clip")), target(tmp_path), account())
    assert len(server.seen) == 4
    assert caught.value.retryable
    assert caught.value.task_id == "task-1"
    assert "task-1" in str(caught.value)
    assert (tmp_path / "clip.mp4").read_bytes() == b"the video of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"], "nothing temporary is left"


@pytest.mark.parametrize(("behaviour", "kind", "words"), BAD, ids=BAD_IDS)
def test_a_bad_moment_is_ridden_out(
    host: MakeHost, tmp_path: Path, behaviour: Behaviour, kind: type[WanError], words: str
) -> None:
    server = host(clip=hosts.after(2, behaviour))
    assert land(task(server.url("clip")), target(tmp_path), account()).sha256 == DIGEST
    assert len(server.seen) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_excerpt_says_what_came_instead(host: MakeHost, tmp_path: Path) -> None:
    with pytest.raises(WanResponseError, match="Sign in to the network"):
        land(task(host(clip=hosts.html).url("clip")), target(tmp_path), account())


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WanTransportError, match="ConnectError"):
        land(task("http://127.0.0.1:9/clip.mp4"), target(tmp_path), account())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_address_is_gone_at_once(host: MakeHost, tmp_path: Path, status: int) -> None:
    server = host(clip=hosts.answering(status))
    with pytest.raises(WanResultGone, match=f"HTTP {status}") as caught:
        land(task(server.url("clip")), target(tmp_path), account())
    assert len(server.seen) == 1
    assert not caught.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_an_address_is_gone(tmp_path: Path) -> None:
    with pytest.raises(WanResultGone, match="gave no video URL"):
        land(task(None), target(tmp_path), account())


@pytest.mark.parametrize("behaviour", [hosts.endless, hosts.huge], ids=["endless", "announced"])
def test_a_video_without_end_meets_the_size_cap(host: MakeHost, tmp_path: Path, behaviour: Behaviour) -> None:
    server = host(clip=behaviour)
    with pytest.raises(WanResponseError, match="1000000"):
        land(task(server.url("clip")), target(tmp_path), account(), max_bytes=1_000_000)
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_trickle_meets_the_time_cap(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.trickle)
    with pytest.raises(WanResponseError, match="did not end in time"):
        land(task(server.url("clip")), target(tmp_path), account(), max_seconds=0.4)
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_repetitions_end_at_the_time_cap(host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_wan.delivery.landing.back_off", lambda *_: 60.0)
    server = host(clip=hosts.truncated)
    with pytest.raises(WanTransportError):
        land(task(server.url("clip")), target(tmp_path), account(), max_seconds=1)
    assert len(server.seen) == 1


def test_a_kill_leaves_nothing_half_done(host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr("airflow_provider_wan.delivery.landing.move", die)
    with pytest.raises(Killed):
        land(task(host(clip=hosts.whole).url("clip")), target(tmp_path), account())
    assert list(tmp_path.iterdir()) == []


# -- who sees what ---------------------------------------------------------------------------------------


def test_no_key_goes_to_a_result_host(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.whole)
    for vendor in ("dashscope", "gccai", "powertokens", "freepik"):
        land(task(server.url("clip"), vendor=vendor), target(tmp_path), account(vendor))
        is_alive(task(server.url("clip"), vendor=vendor), account(vendor))
    assert len(server.seen) == 8
    for _, headers in server.seen:
        assert KEY not in str(headers)
        assert "authorization" not in headers
        assert not any("api-key" in name for name in headers)


def test_redirects_are_followed_without_auth(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.whole)
    first = host(start=hosts.leading_to(server.url("clip", "localhost")))
    assert land(task(first.url("start")), target(tmp_path), account()).sha256 == DIGEST
    assert all("authorization" not in headers for _, headers in first.seen + server.seen)


def test_the_signature_is_sent_verbatim(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.whole)
    signed = server.url("clip") + "a%2Fb%3D%2B&x-oss-process=a,b"
    land(task(signed), target(tmp_path), account())
    assert server.seen[0][0] == signed.split(str(server.server_port))[1]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/clip.mp4", "gopher://x/", "s3://b/k"])
def test_a_redirect_out_of_the_web_is_refused(host: MakeHost, tmp_path: Path, location: str) -> None:
    server = host(clip=hosts.leading_to(location))
    with pytest.raises(WanResponseError, match="not http"):
        land(task(server.url("clip")), target(tmp_path), account())
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_that_is_no_address_is_an_error_of_ours(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.leading_to("http://[broken"))
    with pytest.raises(WanTransportError):
        land(task(server.url("clip")), target(tmp_path), account())


def test_a_circle_of_redirects_ends(host: MakeHost, tmp_path: Path) -> None:
    server = host(clip=hosts.leading_to("/clip.mp4"))
    with pytest.raises(WanResponseError, match="redirects more than"):
        land(task(server.url("clip")), target(tmp_path), account())
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    "behaviour",
    [hosts.truncated, hosts.html, hosts.answering(403), hosts.leading_to("http://[x?Signature=SECRETSIGNATURE")],
    ids=["truncated", "html", "gone", "bad-redirect"],
)
def test_signatures_are_never_told(
    host: MakeHost, tmp_path: Path, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = host(clip=behaviour)
    with pytest.raises(WanError) as caught:
        land(task(server.url("clip")), target(tmp_path), account())
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "SECRETSIGNATURE" not in told
    assert KEY not in told
    assert f"127.0.0.1:{server.server_port}/clip.mp4" in told


# -- the content endpoint --------------------------------------------------------------------------------


def content_host(host: MakeHost, behaviour: Behaviour) -> Host:
    server = host()
    server.behaviours["/v1/videos/task-1/content"] = behaviour
    return server


def test_the_key_goes_to_the_content_endpoint_and_not_beyond(host: MakeHost, tmp_path: Path) -> None:
    cdn = host(clip=hosts.whole)
    api = content_host(host, hosts.leading_to(cdn.url("clip", "localhost")))
    base = f"http://127.0.0.1:{api.server_port}"
    land(task(None, vendor="powertokens"), target(tmp_path), account("powertokens", base))
    assert api.seen[0][1]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in cdn.seen[0][1]


def test_the_key_does_not_go_to_another_host_that_names_the_same_path(host: MakeHost, tmp_path: Path) -> None:
    api = content_host(host, hosts.whole)
    other = f"http://localhost:{api.server_port}/v1/videos/task-1/content"
    land(task(other, vendor="powertokens"), target(tmp_path), account("powertokens", "http://127.0.0.1:1"))
    assert "authorization" not in api.seen[0][1]


def test_the_key_does_not_go_to_another_path_of_the_same_host(host: MakeHost, tmp_path: Path) -> None:
    api = host(clip=hosts.whole)
    base = f"http://127.0.0.1:{api.server_port}"
    land(task(api.url("clip"), vendor="powertokens"), target(tmp_path), account("powertokens", base))
    assert "authorization" not in api.seen[0][1]


# -- alive, stored, elsewhere ----------------------------------------------------------------------------

SOON, LONG_AGO = timedelta(hours=3), timedelta(hours=-3)


@pytest.mark.parametrize(
    ("behaviour", "lives", "expected"),
    [
        (hosts.whole, SOON, True),
        (hosts.whole, LONG_AGO, True),
        (hosts.endless, SOON, True),
        (hosts.answering(403), LONG_AGO, False),
        (hosts.answering(403), None, False),
        (hosts.answering(404), SOON, False),
        (hosts.answering(403), SOON, True),
        (hosts.answering(500), LONG_AGO, True),
        (hosts.truncated, LONG_AGO, True),
    ],
    ids=["fine", "past-its-time", "long", "expired", "refused", "deleted", "proxy-says-no", "in-trouble", "cut"],
)
def test_a_paid_result_is_called_dead_only_on_proof(
    host: MakeHost, behaviour: Behaviour, lives: timedelta | None, expected: bool
) -> None:
    server = host(clip=behaviour)
    until = utc_now() + lives if lives else None
    assert is_alive(task(server.url("clip"), url_expires_at=until), account()) is expected
    assert len(server.seen) == 1
    assert server.seen[0][1]["range"] == "bytes=0-0"


def test_a_host_that_does_not_answer_says_nothing() -> None:
    assert is_alive(task("http://127.0.0.1:9/clip.mp4"), account())


def test_no_address_is_no_life() -> None:
    assert not is_alive(task(None), account())


def test_stored_means_there_and_as_long(host: MakeHost, tmp_path: Path) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), target(tmp_path), account()).to_dict()
    assert is_stored(landed)
    (tmp_path / "clip.mp4").write_bytes(VIDEO[:-1])
    assert not is_stored(landed)
    (tmp_path / "clip.mp4").unlink()
    assert not is_stored(landed)


def test_a_stored_video_is_copied_whole(host: MakeHost, tmp_path: Path) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), target(tmp_path), account()).to_dict()
    copied = copy_stored(landed, target(tmp_path, "new/clip.mp4"))
    assert (copied.bytes, copied.sha256) == (len(VIDEO), DIGEST)
    assert (tmp_path / "new/clip.mp4").read_bytes() == VIDEO
    (tmp_path / "clip.mp4").write_bytes(b"something else")
    with pytest.raises(WanResponseError, match="not the one"):
        copy_stored(landed, target(tmp_path, "third.mp4"))
    assert not (tmp_path / "third.mp4").exists()
