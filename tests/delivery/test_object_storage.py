"""Landing on a real S3 protocol server, and from the sandbox as each vendor serves its results."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import av
import pytest

from airflow_provider_wan.batch.manifest import write_manifest
from airflow_provider_wan.client.errors import WanError, WanRequestError, WanResponseError, WanTransportError
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.delivery.download import WanResultGone
from airflow_provider_wan.delivery.landing import is_alive, land
from airflow_provider_wan.delivery.storage import copy, is_stored, prove
from airflow_provider_wan.sandbox import Sandbox

from . import hosts
from .conftest import account, task
from .hosts import VIDEO, Host

MakeHost = Callable[..., Host]
URI = "s3://my_s3@films/2026/clip.mp4"


def objects(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="films").get("Contents", [])]


def read(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="films", Key=key)["Body"].read())


def test_a_video_lands_in_a_bucket_and_nothing_else_does(host: MakeHost, s3: Any) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), URI, account())
    assert objects(s3) == ["2026/clip.mp4"]
    assert read(s3, "2026/clip.mp4") == VIDEO
    assert landed.to_dict() == {"uri": URI, "bytes": len(VIDEO), "sha256": hashlib.sha256(VIDEO).hexdigest()}
    assert is_stored(landed.to_dict())


def test_a_video_of_many_parts_lands_whole(host: MakeHost, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    large = VIDEO + bytes(12 * 1024 * 1024)
    server = host(clip=lambda visitor: visitor.whole(large))
    landed = land(task(server.url("clip")), URI, account())
    assert landed.sha256 == hashlib.sha256(large).hexdigest()
    assert read(s3, "2026/clip.mp4") == large
    assert objects(s3) == ["2026/clip.mp4"]


@pytest.mark.parametrize("behaviour", [hosts.truncated, hosts.html, hosts.answering(404)])
def test_a_bad_download_leaves_the_bucket_as_it_was(host: MakeHost, s3: Any, behaviour: hosts.Behaviour) -> None:
    s3.put_object(Bucket="films", Key="2026/clip.mp4", Body=b"the video of yesterday")
    with pytest.raises(WanError):
        land(task(host(clip=behaviour).url("clip")), URI, account())
    assert objects(s3) == ["2026/clip.mp4"]
    assert read(s3, "2026/clip.mp4") == b"the video of yesterday"


def test_an_endless_video_leaves_nothing_in_the_bucket(host: MakeHost, s3: Any) -> None:
    with pytest.raises(WanResponseError):
        land(task(host(clip=hosts.endless).url("clip")), URI, account(), max_bytes=8_000_000)
    assert objects(s3) == []


def test_a_bucket_that_is_not_there_is_not_made(host: MakeHost, s3: Any) -> None:
    with pytest.raises(OSError, match="bucket"):
        land(task(host(clip=hosts.whole).url("clip")), "s3://my_s3@flims/clip.mp4", account())
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["films"]


def test_a_bucket_is_proven_before_anything_is_paid_and_never_made(s3: Any) -> None:
    prove(URI)
    prove("s3://my_s3@films/2026/")
    assert objects(s3) == []
    with pytest.raises(WanRequestError, match="flims"):
        prove("s3://my_s3@flims/clip.mp4")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["films"]


def test_a_storage_that_is_away_is_tried_again(s3: Any, away: str) -> None:
    with pytest.raises(WanError, match="Nothing was submitted") as caught:
        prove(f"s3://{away}@films/clip.mp4")
    assert caught.value.retryable


class Empty(list[Any]):
    """A batch without items."""

    name = None
    skipped: ClassVar[dict[int, str]] = {}


@pytest.mark.parametrize("name", ["manifest.jsonl", "deep/manifest.jsonl"])
def test_the_bucket_of_a_manifest_is_not_made_either(s3: Any, name: str) -> None:
    batch: Any = Empty()
    write_manifest(f"s3://my_s3@films/{name}", batch)
    with pytest.raises(WanError, match="could not be written"):
        write_manifest(f"s3://my_s3@flims/{name}", batch)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["films"]


def test_whether_it_is_stored_is_asked_anew_each_time(host: MakeHost, s3: Any) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), URI, account()).to_dict()
    assert is_stored(landed)
    s3.delete_object(Bucket="films", Key="2026/clip.mp4")
    assert not is_stored(landed)
    s3.put_object(Bucket="films", Key="2026/clip.mp4", Body=b"other")
    assert not is_stored(landed)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection to a storage that does not answer."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWAY",
        '{"conn_type": "aws", "login": "a", "password": "b", "extra": {"endpoint_url": "http://127.0.0.1:9", '
        '"config_kwargs": {"retries": {"max_attempts": 0}}}}',
    )
    return "away"


def test_a_storage_that_is_away_is_not_a_lost_video(s3: Any, away: str) -> None:
    with pytest.raises(Exception, match="Could not connect"):
        is_stored({"uri": "s3://away@films/clip.mp4", "bytes": 3})


def test_from_one_bucket_to_another_store(host: MakeHost, s3: Any, tmp_path: Path) -> None:
    landed = land(task(host(clip=hosts.whole).url("clip")), URI, account()).to_dict()
    copy(landed, f"file://{tmp_path}/clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO
    copy(landed, "s3://my_s3@films/other/")
    assert "2026/clip.mp4" in objects(s3)


# -- as the vendors serve their results ------------------------------------------------------------------


def finished(sandbox: Sandbox, vendor: str, prompt: str = "a paper boat") -> VideoTask:
    """Make a video and wait for it."""
    with WanClient(account(vendor, sandbox.url)) as client:
        handle = client.submit(TextToVideoRequest(prompt=prompt, resolution="720P", duration=2))
        sandbox.wait_for(lambda books: any(one["task_id"] == handle.task_id for one in books["billed"]))
        return client.get_task(TaskHandle.of(handle))


@pytest.mark.parametrize("vendor", ["dashscope", "gccai", "powertokens", "freepik"])
def test_every_vendors_video_lands_and_plays(sandbox: Sandbox, vendor: str, tmp_path: Path) -> None:
    video = finished(sandbox, vendor)
    assert video.status is TaskStatus.SUCCEEDED
    landed = land(video, f"file://{tmp_path}/", account(vendor, sandbox.url))
    content = next(tmp_path.iterdir()).read_bytes()
    assert landed.sha256 == hashlib.sha256(content).hexdigest()
    with av.open(io.BytesIO(content)) as container:
        assert container.duration == pytest.approx(2e6, rel=0.1)
    downloads = sandbox.ledger()["requests"][vendor]["download"]
    assert downloads == ({"302": 1, "200": 1} if vendor == "powertokens" else {"200": 1})


def test_a_streamed_content_endpoint(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.configure(powertokens_content="stream")
    land(finished(sandbox, "powertokens"), f"file://{tmp_path}/", account("powertokens", sandbox.url))
    assert sandbox.ledger()["requests"]["powertokens"]["download"] == {"200": 1}


def test_the_sandboxes_host_refuses_keys_so_none_was_sent(sandbox: Sandbox) -> None:
    video = finished(sandbox, "dashscope")
    assert is_alive(video, account("dashscope", sandbox.url))
    assert sandbox.ledger()["requests"]["dashscope"]["download"] == {"206": 1}


@pytest.mark.parametrize(
    ("directive", "times", "kind"),
    [
        ("truncate-download", 2, None),
        ("truncate-download", 9, WanTransportError),
        ("html-download", 2, None),
        ("html-download", 9, WanResponseError),
        ("endless-download", 1, WanResponseError),
    ],
)
def test_the_sandboxes_faults(
    sandbox: Sandbox, tmp_path: Path, directive: str, times: int, kind: type[WanError] | None
) -> None:
    video = finished(sandbox, "dashscope", f"x [sandbox {directive}={times}]")
    if kind is None:
        land(video, f"file://{tmp_path}/", account())
        assert len(list(tmp_path.iterdir())) == 1
    else:
        with pytest.raises(kind):
            land(video, f"file://{tmp_path}/", account(), max_bytes=1_000_000)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("vendor", ["dashscope", "powertokens"])
def test_an_expired_result(sandbox: Sandbox, tmp_path: Path, vendor: str) -> None:
    # A refusal is believed once the life of the address is over.
    video = finished(sandbox, vendor, "x [sandbox expire-url]")
    video = video.model_copy(update={"url_expires_at": utc_now() - timedelta(minutes=1)})
    assert not is_alive(video, account(vendor, sandbox.url))
    with pytest.raises(WanResultGone):
        land(video, f"file://{tmp_path}/", account(vendor, sandbox.url))
