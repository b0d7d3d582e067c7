"""An XCom can name any file that the API server can open; these may not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_wan.plugins.places import RefusedPlace, allowed, roots_of

REFUSED = [
    "/etc/passwd",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "local:///etc/passwd",
    "file://localhost/etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "https://example.com/x.mp4",
    "github://org:repo@main/x.mp4",
    "memory://x.mp4",
    "ftp://host/x.mp4",
    "sftp://conn@host/x.mp4",
    "s3://bucket",
    "s3://bucket/",
    "s3:///key.mp4",
    "s3://bucket/a/../../other/x.mp4",
    "s3://bucket/%2e%2e/x.mp4",
    "s3://bucket/%252e%252e/x.mp4",
    "s3://user:secret@bucket/x.mp4",
    "s3://bucket:9000/x.mp4",
    "s3://bucket/x.mp4?versionId=1",
    "s3://bucket/x.mp4#part",
    "simplecache::s3://bucket/x.mp4",
    "zip://*.mp4::s3://bucket/x.zip",
    "s3://bucket/x\n.mp4",
    "s3://bucket/x\x00.mp4",
    "s3://bucket\\x.mp4",
    "s3://[bucket/x.mp4",
    "relative/x.mp4",
    "",
    "s3://bucket/" + "x" * 3000,
]


@pytest.mark.parametrize("uri", REFUSED)
def test_without_roots_only_object_stores_are_read(uri: str) -> None:
    with pytest.raises(RefusedPlace) as refused:
        allowed(uri, ())
    assert "etc" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("uri", ["s3://aws_default@bucket/a/b.mp4", "gs://bucket/b.mp4", "abfss://c@account/b.mp4"])
def test_object_stores_are_read_as_they_are_named(uri: str) -> None:
    assert allowed(uri, ()).uri == uri


ROOTS = "s3://videos/published, gs://gcs_main@films\nfile:///data/videos"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://videos/published/x.mp4",
        "s3://any_conn@videos/published/2026/x.mp4",
        "gs://gcs_main@films/x.mp4",
        "file:///data/videos/x.mp4",
        "/data/videos/a/x.mp4",
    ],
)
def test_what_lies_below_a_root_is_read(uri: str) -> None:
    assert allowed(uri, roots_of(ROOTS))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://videos/private/x.mp4",
        "s3://videos/published-not/x.mp4",
        "s3://videos/published",
        "s3://other/published/x.mp4",
        "s3a://videos/published/x.mp4",
        "gs://other_conn@films/x.mp4",
        "gs://films/x.mp4",
        "file:///data/videos-private/x.mp4",
        "file:///data/videos/../secrets/x.mp4",
        "/data/x.mp4",
    ],
)
def test_with_roots_all_else_is_refused(uri: str) -> None:
    with pytest.raises(RefusedPlace):
        allowed(uri, roots_of(ROOTS))


def test_a_link_does_not_lead_out_of_a_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "videos", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "x.mp4").write_bytes(b"")
    (root / "x.mp4").symlink_to(outside / "x.mp4")
    (root / "folder").symlink_to(outside)
    for name in ("x.mp4", "folder/x.mp4"):
        with pytest.raises(RefusedPlace):
            allowed(f"{root}/{name}", roots_of(f"file://{root}"))


def test_a_root_that_is_no_address_is_an_error() -> None:
    with pytest.raises(RefusedPlace):
        roots_of("videos")
