"""Hosts made by hand, a sandbox, an S3 server; all on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.sandbox import Sandbox

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


def account(vendor: str = "dashscope", base_url: str = "https://api.example.com", **given: Any) -> Account:
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A server that speaks S3, with the bucket ``films``; return its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    url = f"http://{address}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket="films")
    yield url
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An Airflow connection ``my_s3`` to the server; return a plain client of it, with an empty bucket."""
    import boto3

    extra = {"endpoint_url": s3_server, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MY_S3", json.dumps(connection))
    client = boto3.client(
        "s3", endpoint_url=s3_server, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    for item in client.list_objects_v2(Bucket="films").get("Contents", []):
        client.delete_object(Bucket="films", Key=item["Key"])
    return client
