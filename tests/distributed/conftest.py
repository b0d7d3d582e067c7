"""One distributed Airflow, one sandbox and one S3 server for all tests of this room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.distributed_airflow import DistributedAirflow
from tools.own_folder import own_folder

from .lab import Lab

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
KEY = "sk-lab-4dd1f0c97a"
BUCKET = "lab"


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, generation_seconds="4:8", render="small", running_limit=1000) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def s3_connection() -> Iterator[str]:
    """An Airflow connection to a server that speaks S3, with a bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    url = f"http://{address}:{port}"
    known = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **known).create_bucket(Bucket=BUCKET)
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    yield json.dumps({"conn_type": "aws", "login": "test", "password": "test", "extra": extra})
    server.stop()


@pytest.fixture(scope="session")
def shared_airflow(shared_sandbox: Sandbox, s3_connection: str) -> Iterator[DistributedAirflow]:
    wan = {"conn_type": "wan", "host": shared_sandbox.url, "password": KEY, "extra": {"vendor": "dashscope"}}
    env = {"AIRFLOW_CONN_WAN_DEFAULT": json.dumps(wan), "AIRFLOW_CONN_LAB_S3": s3_connection}
    with (
        own_folder(CHECKOUT / ".run", "distributed-tests") as home,
        DistributedAirflow(home, [HERE / "dags"], env=env) as airflow,
    ):
        yield airflow


@pytest.fixture
def lab(shared_airflow: DistributedAirflow, shared_sandbox: Sandbox) -> Iterator[Lab]:
    """The running Airflow and an empty sandbox; what the test kills or freezes is mended after it."""
    shared_sandbox.reset()
    lab = Lab(shared_airflow, shared_sandbox)
    yield lab
    shared_airflow.repair()
    lab.end_runs()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.xdist_group("distributed"))
