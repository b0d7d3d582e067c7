"""The gallery's app with Airflow's own dependencies, over an auth manager and records that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_wan.plugins.reading import CardsRead, Scope, Video
from tests.storages import s3, s3_server

__all__ = ["s3", "s3_server"]

MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 40


class AuthManager:
    """Knows two people: one may read all DAGs, the other ``films`` only; ``task_only`` may read no XComs."""

    readable = {"all": {"films", "secret"}, "limited": {"films"}, "task_only": {"films"}}

    async def get_user_from_token(self, token: str) -> Any:
        from jwt import InvalidTokenError

        if token not in self.readable:
            raise InvalidTokenError
        return SimpleNamespace(name=token)

    def is_authorized_dag(self, *, method: str, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        assert method == "GET"
        if user.name == "task_only" and str(getattr(access_entity, "value", access_entity)).upper() == "XCOM":
            return False
        dag_id = details.id if details else None
        return dag_id is None or dag_id in self.readable[user.name]

    def get_authorized_dag_ids(self, *, user: Any) -> set[str]:
        return self.readable[user.name]


@dataclass
class Gallery:
    """The app's client and what it was asked to read."""

    client: TestClient
    videos: dict[str, str] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)

    def get(self, path: str, who: str | None = "all", **kwargs: Any) -> Any:
        headers = {**kwargs.pop("headers", {}), **({"Cookie": f"_token={who}"} if who else {})}
        return self.client.request(kwargs.pop("method", "GET"), path, headers=headers, follow_redirects=False, **kwargs)

    def media(self, uri: str, who: str | None = "all", **kwargs: Any) -> Any:
        self.videos["clip"] = uri
        return self.get("/media/films?run=r1&task=clip", who, **kwargs)


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    from airflow.api_fastapi.core_api import security
    from airflow.models.dag import DagModel

    from airflow_provider_wan.plugins import app as module

    manager = AuthManager()
    monkeypatch.setattr(security, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(module, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(DagModel, "get_team_name", staticmethod(lambda dag_id, **more: None), raising=False)

    def read_video(dag_id: str, run_id: str, task_id: str, index: int, number: int | None, item: str) -> Video | None:
        uri = found.videos.get(task_id)
        return Video(uri, task_id) if uri is not None else None

    def read_cards(scope: Scope, since: Any = None) -> CardsRead:
        found.scopes.append(scope)
        return CardsRead(found.cards)

    monkeypatch.setattr(module, "read_video", read_video)
    monkeypatch.setattr(module, "read_cards", read_cards)
    root = FastAPI()
    root.mount("/wan-videos", module.build_app())
    with TestClient(root, base_url="http://127.0.0.1/wan-videos/", raise_server_exceptions=False) as client:
        found = Gallery(client)
        yield found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that ``[wan] gallery_roots`` names."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "x.mp4").write_bytes(MP4)
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY_ROOTS", f"file://{folder}")
    return folder
