"""Every route asks who is there; files are named by their task only, and are videos."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.plugins import media as media_module
from airflow_provider_wan.plugins.media import BLOCK, Reader, Span, StorageTrouble, span_of
from tests.plugins.conftest import MP4, Gallery

ROUTES = ["static/main.js", "api/videos", "api/dags/films/videos?run=r1", "media/films?run=r1&task=clip"]


@pytest.mark.parametrize("path", ROUTES)
def test_nobody_gets_nothing(gallery: Gallery, path: str) -> None:
    assert gallery.get(path, None).status_code == 401
    assert gallery.get(path, "forged").status_code == 403
    assert gallery.scopes == []


def test_the_page_leads_people_without_a_session_to_the_login_and_back(gallery: Gallery) -> None:
    answer = gallery.get("?dag=films&run=a%2Bb", None)
    assert answer.status_code == 307
    assert answer.headers["location"] == ("/api/v2/auth/login?next=%2Fwan-videos%2F%3Fdag%3Dfilms%26run%3Da%252Bb")


@pytest.mark.parametrize("path", ["api/dags/secret/videos?run=r1", "media/secret?run=r1&task=clip"])
def test_a_dag_that_the_viewer_may_not_read_is_refused(gallery: Gallery, store: Path, path: str) -> None:
    gallery.videos["clip"] = f"{store}/x.mp4"
    assert gallery.get(path, "limited").status_code == 403
    assert gallery.get(path, "all").status_code == 200


@pytest.mark.parametrize("path", ROUTES[1:])
def test_who_may_not_read_xcoms_sees_no_videos(gallery: Gallery, path: str) -> None:
    assert gallery.get(path, "task_only").status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_word_for_all_dags_is_no_dag(gallery: Gallery, store: Path, method: str) -> None:
    gallery.videos["clip"] = f"{store}/x.mp4"
    for path in ("api/dags/~/videos", "media/~?run=r1&task=clip"):
        assert gallery.get(path, "limited", method=method).status_code in (404, 405)
    assert gallery.scopes == []


def test_the_overview_asks_for_the_readable_dags_only(gallery: Gallery) -> None:
    assert gallery.get("api/videos?dag_id=secret", "limited").status_code in (200, 403)
    assert gallery.get("api/videos", "limited").status_code == 200
    assert all(set(scope.dag_ids) == {"films"} for scope in gallery.scopes)


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json", "static/..%2Fapp.py", "static/app.py", "static/"])
def test_there_is_nothing_else(gallery: Gallery, path: str) -> None:
    assert gallery.get(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["", *ROUTES])
def test_nothing_can_be_changed(gallery: Gallery, path: str, method: str) -> None:
    assert gallery.get(path, method=method).status_code == 405


def test_the_page_runs_its_own_scripts_only(gallery: Gallery) -> None:
    policy = gallery.get("").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy


@pytest.mark.parametrize("path", ["", *ROUTES, "docs"])
@pytest.mark.parametrize("who", ["all", None])
def test_every_answer_forbids_guessing_and_telling(gallery: Gallery, path: str, who: str | None) -> None:
    headers = gallery.get(path, who).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


# -- files --------------------------------------------------------------------------------------------


def test_a_stored_video_is_streamed(gallery: Gallery, store: Path) -> None:
    answer = gallery.media(f"file://{store}/x.mp4")
    assert (answer.status_code, answer.content) == (200, MP4)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(MP4))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["content-encoding"] == "identity"


@pytest.mark.parametrize(
    ("asked", "part", "named"),
    [
        ("bytes=0-0", MP4[:1], "0-0"),
        ("bytes=100-199", MP4[100:200], "100-199"),
        ("bytes=10000-", MP4[10000:], "10000-10251"),
        ("bytes=-7", MP4[-7:], "10245-10251"),
    ],
)
def test_a_range_is_answered_with_it(gallery: Gallery, store: Path, asked: str, part: bytes, named: str) -> None:
    answer = gallery.media(f"{store}/x.mp4", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == f"bytes {named}/{len(MP4)}"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0", "bytes=9-5"])
def test_a_range_outside_is_refused(gallery: Gallery, store: Path, asked: str) -> None:
    answer = gallery.media(f"{store}/x.mp4", headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(MP4)}")


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=x-y", "bytes=0-" + "9" * 40])
def test_a_range_that_is_not_understood_is_left_out(gallery: Gallery, store: Path, asked: str) -> None:
    assert gallery.media(f"{store}/x.mp4", headers={"Range": asked}).content == MP4


def test_head_tells_the_size_and_sends_nothing(gallery: Gallery, store: Path) -> None:
    answer = gallery.media(f"{store}/x.mp4", method="HEAD")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(len(MP4)))


def test_a_range_of_another_file_than_before_gets_all_of_the_new_one(gallery: Gallery, store: Path) -> None:
    answer = gallery.media(f"{store}/x.mp4", headers={"Range": "bytes=0-1", "If-Range": '"former"'})
    assert answer.status_code == 200


HTML = b"<html><script>alert(document.cookie)</script></html>"


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [("page.mp4", HTML, 415), ("empty.mp4", b"", 415), ("text.mp4", b"root:x:0:0:", 415), (None, b"", 404)],
)
def test_what_is_no_video_is_not_served(
    gallery: Gallery, store: Path, name: str | None, content: bytes, status: int
) -> None:
    if name:
        (store / name).write_bytes(content)
    answer = gallery.media(f"file://{store}/{name or 'gone.mp4'}")
    assert answer.status_code == status
    assert HTML not in answer.content
    assert str(store) not in answer.text


def test_a_folder_and_a_pipe_are_no_videos(gallery: Gallery, store: Path) -> None:
    (store / "folder.mp4").mkdir()
    os.mkfifo(store / "pipe.mp4")
    assert gallery.media(f"{store}/folder.mp4").status_code == 404
    assert gallery.media(f"{store}/pipe.mp4").status_code == 404


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "file:///etc/passwd", "s3://bucket/x.mp4", "http://127.0.0.1/x.mp4", "memory://x.mp4"]
)
def test_places_outside_of_the_roots_are_forbidden(gallery: Gallery, store: Path, uri: str) -> None:
    answer = gallery.media(uri)
    assert answer.status_code == 403
    assert uri not in answer.text


def test_without_roots_no_local_file_is_read(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(MP4)
    assert gallery.media(f"{tmp_path}/x.mp4").status_code == 403


def test_a_setting_that_is_wrong_opens_nothing(gallery: Gallery, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_ROOTS", "videos")
    answer = gallery.media(f"{store}/x.mp4")
    assert answer.status_code == 500
    assert "gallery_roots" in answer.text


def test_a_storage_in_trouble_is_a_bad_gateway(gallery: Gallery, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: Any, sign: bool) -> Any:
        raise PermissionError("key AKIA-SECRET is not allowed")

    monkeypatch.setattr(media_module, "_open", refuse)
    answer = gallery.media(f"{store}/x.mp4")
    assert answer.status_code == 502
    assert "SECRET" not in answer.text


def test_a_storage_that_never_answers_is_given_up(
    gallery: Gallery, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(media_module, "_open", lambda place, sign: is_over.wait(30))
    monkeypatch.setattr(media_module, "OPEN_SECONDS", 0.05)
    try:
        assert gallery.media(f"{store}/x.mp4").status_code == 502
    finally:
        is_over.set()


def test_a_redirect_leads_to_the_signed_address(gallery: Gallery, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_REDIRECT", "True")
    asked = []

    def opened(place: Any, sign: bool) -> Any:
        asked.append(sign)
        file = (store / "x.mp4").open("rb")
        return media_module.OpenVideo(file, len(MP4), "https://bucket.example.com/x.mp4?signature=s")

    monkeypatch.setattr(media_module, "_open", opened)
    answer = gallery.media(f"{store}/x.mp4")
    assert asked == [True]
    assert (answer.status_code, answer.headers["location"]) == (307, "https://bucket.example.com/x.mp4?signature=s")


def test_two_hundred_ranges_at_once_are_answered(gallery: Gallery, store: Path) -> None:
    with (store / "large.mp4").open("wb") as file:
        file.write(MP4[:12])
        file.truncate(10 * 1024**3)
    gallery.videos["clip"] = f"{store}/large.mp4"
    statuses: list[tuple[int, int]] = []

    def ask(number: int) -> None:
        first = number * 50_000_000
        headers = {"Range": f"bytes={first}-{first + BLOCK * 2}"}
        answer = gallery.get("/media/films?run=r1&task=clip", headers=headers)
        statuses.append((answer.status_code, len(answer.content)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {(206, BLOCK * 2 + 1)}
    assert len(statuses) == 200


@pytest.mark.parametrize(
    ("header", "span"),
    [(None, None), ("bytes=0-", Span(0, 99)), ("bytes=-1000", Span(0, 99)), ("bytes=50-5000", Span(50, 99))],
)
def test_spans(header: str | None, span: Span | None) -> None:
    assert span_of(header, 100) == span


async def test_a_file_that_ends_early_breaks_the_stream_and_is_closed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    file = (tmp_path / "x").open("rb")
    blocks = Reader().blocks(media_module.OpenVideo(file, 10), Span(0, 9))
    assert await anext(blocks) == b"12345"
    with pytest.raises(StorageTrouble):
        await anext(blocks)
    assert file.closed


async def test_a_storage_that_stops_in_the_middle_breaks_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) if self.tell() == 0 else b"" if is_over.wait(30) else b"late"

    file = Slow(MP4)
    monkeypatch.setattr(media_module, "BLOCK_SECONDS", 0.05)
    monkeypatch.setattr(media_module, "BLOCK", 1000)
    blocks = Reader().blocks(media_module.OpenVideo(file, len(MP4)), Span(0, len(MP4) - 1))
    try:
        assert await anext(blocks) == MP4[:1000]
        with pytest.raises(StorageTrouble, match="in time"):
            await anext(blocks)
        assert file.closed
    finally:
        is_over.set()
