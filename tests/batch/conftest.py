"""A sandbox with empty books and quick connections to it; batches that are driven round by round."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_wan.batch.settings import BatchTimes
from airflow_provider_wan.durable import Ledger, SubmissionTimes, Timing
from airflow_provider_wan.sandbox import Sandbox
from tests.driving import KEY, VENDORS, Driven

from .rounds import Rounds

QUICK = Timing(late=timedelta(minutes=-1), look_again=0.05)
"""The sandbox's list shows a task at once, and a worker that died here has no POST under way any more."""

QUICK_TIMES = BatchTimes(
    soonest=0.02, pause=0.1, submit_tries=1, throttled=0.0, search=QUICK, shortest_search=0.5, store_again=0.05
)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.05, running_limit=1000, render="small", api_keys=[KEY]) as sandbox:
        yield sandbox


def connect(monkeypatch: pytest.MonkeyPatch, url: str, vendor: str, name: str = "WAN_DEFAULT", **extra: Any) -> None:
    quick = {"vendor": vendor, "submits_per_second": 500, "queries_per_second": 500, "timeout": 5} | extra
    connection = {"conn_type": "wan", "host": url, "password": KEY, "extra": quick}
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox with empty books, behind ``wan_default`` (DashScope) and ``wan_<vendor>``."""
    shared_sandbox.reset()
    connect(monkeypatch, shared_sandbox.url, "dashscope")
    for vendor in VENDORS:
        connect(monkeypatch, shared_sandbox.base_url(vendor), vendor, f"WAN_{vendor.upper()}")
    return shared_sandbox


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def memory_storage() -> None:
    """``memory://`` as an object store: one without atomic moves, as S3 is."""
    attach(protocol="memory", fs=MemoryFileSystem())


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the product waits for, made short."""
    monkeypatch.setattr("airflow_provider_wan.operators.parameters.LEAST_INTERVAL", 0.01)
    monkeypatch.setattr("airflow_provider_wan.batch.settings.TIMES", QUICK_TIMES)
    monkeypatch.setattr("airflow_provider_wan.client.polling.window.LINGER_SECONDS", 0.5)
    monkeypatch.setattr("airflow_provider_wan.client.polling.window.SETTLE_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_wan.client.transport.flows.back_off", lambda *_: 0.01)
    monkeypatch.setattr("airflow_provider_wan.delivery.landing.back_off", lambda *_: 0.01)
    monkeypatch.setattr(Ledger, "times", SubmissionTimes(keep_pause=0.0))
    # A worker that died in a test is not waited for; how long a POST may be under way is told from it.
    monkeypatch.setattr("airflow_provider_wan.durable.times.TIMES", SubmissionTimes(standstill=timedelta(seconds=2)))


@pytest.fixture
def rounds(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Rounds]:
    """Make a batch: ``rounds(rows, **operator's parameters)``."""

    def make(rows: Any, **given: Any) -> Rounds:
        return Rounds(sandbox, tmp_path, rows, given)

    return make


MakeRounds = Callable[..., Rounds]
__all__ = ["Driven", "MakeRounds"]
