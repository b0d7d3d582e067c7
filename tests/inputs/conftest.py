"""A sandbox, an S3 server, and media made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.airflow_fixtures import *  # noqa: F403
from tests.storages import s3, s3_server

from .media import clip, picture, sound


@pytest.fixture(autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this machine in which tasks share addresses: a new one for each test."""
    folder = tmp_path_factory.mktemp("machine") / "addresses"
    monkeypatch.setattr("airflow_provider_wan.inputs.kept.folder", lambda: folder)
    return folder


MAKERS: dict[str, Callable[..., bytes]] = {
    ".png": picture,
    ".jpg": picture,
    ".webp": picture,
    ".mp4": clip,
    ".wav": sound,
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a medium: ``make("fox.png", width=640)``."""

    def write(name: str, **given: object) -> Path:
        path = tmp_path / name
        kind = path.suffix
        path.write_bytes(MAKERS[kind](kind=kind, **given))
        return path

    return write


__all__ = ["s3", "s3_server"]
