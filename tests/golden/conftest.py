"""The sandbox at the address that stands in the golden files, and connections to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_wan.client.recovery.search import Timing
from airflow_provider_wan.sandbox import Sandbox

from .world import ADDRESS, KEY, VENDORS, World

CONNECTIONS = {
    "wan_default": {"vendor": "dashscope"},
    "wan_workspace": {"vendor": "dashscope", "workspace_id": "llm-golden"},
} | {f"wan_{vendor}": {"vendor": vendor} for vendor in VENDORS}


class SandboxThere(Sandbox):
    """Gives out addresses that begin as those in the golden files do."""

    @property
    def url(self) -> str:
        return ADDRESS

    @property
    def port(self) -> int:
        port = httpx.URL(super().url).port
        assert port is not None
        return port


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[SandboxThere]:
    with SandboxThere(generation_seconds=0.05, running_limit=1000, render="small", api_keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture(scope="session", autouse=True)
def memory_storage() -> None:
    """``memory://`` as an object store, in which the golden videos lie."""
    attach(protocol="memory", fs=MemoryFileSystem())


@pytest.fixture
def world(shared_sandbox: SandboxThere, monkeypatch: pytest.MonkeyPatch) -> World:
    """The sandbox with empty books; whatever is sent to the address of the golden files arrives at it.

    The host is part of a request's fingerprint, so it must be the golden one; nothing listens there.
    """
    shared_sandbox.reset()
    MemoryFileSystem.store.clear()
    send, asend = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def lead(request: httpx.Request) -> httpx.Request:
        if request.url.host in ("127.0.0.1", "localhost") and request.url.port == httpx.URL(ADDRESS).port:
            request.url = request.url.copy_with(port=shared_sandbox.port)
        return request

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return send(self, lead(request))

    async def ahandle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return await asend(self, lead(request))

    monkeypatch.setattr("airflow_provider_wan.client.recovery.search.TIMING", Timing(look_again=0.5))
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", ahandle)
    for name, extra in CONNECTIONS.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", _connection(extra))
    return World(shared_sandbox)


def _connection(extra: dict[str, Any]) -> str:
    quick = {"timeout": 5, "queries_per_second": 500, "submits_per_second": 500}
    return json.dumps({"conn_type": "wan", "host": ADDRESS, "password": KEY, "extra": extra | quick})
