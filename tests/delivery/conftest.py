"""Hosts made by hand, a sandbox, an S3 server; all on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.sandbox import Sandbox
from tests.storages import s3, s3_server

from .hosts import Behaviour, Host

KEY = "sk-delivery-3b91f6d2aa"


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Start result hosts; each keyword is a path and its behaviour."""
    started: list[Host] = []

    def make(**behaviours: Behaviour) -> Host:
        started.append(Host(**behaviours))
        return started[-1]

    yield make
    for one in started:
        one.close()


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_wan.delivery.landing.back_off", lambda *_: 0.01)


def account(vendor: str = "dashscope", base_url: str = "http://127.0.0.1:9", **given: Any) -> Account:
    return Account(vendor=vendor, base_url=base_url, api_key=SecretStr(KEY), **({"timeout": 2.0} | given))


def task(url: str | None, **given: Any) -> VideoTask:
    known = {"task_id": "task-1", "vendor": "dashscope", "status": TaskStatus.SUCCEEDED, "video_url": url}
    return VideoTask.model_validate(known | given)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.05, render="small", api_keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    shared_sandbox.reset()
    return shared_sandbox


__all__ = ["s3", "s3_server"]
