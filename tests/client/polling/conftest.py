from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.polling.poller import Refresh, shared_poller
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import Ending
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.client.transport.client import AsyncWanClient
from airflow_provider_wan.sandbox import Sandbox

KEY, NEW_KEY = "sk-test-old", "sk-test-new"
INTERVAL = 0.15


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=(0.2, 0.5), render="small", running_limit=1000, queue_limit=1000) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    shared_sandbox.reset()
    return shared_sandbox


class Desk:
    """Submits and waits as the triggers of one account do."""

    times = PollingTimes(doubt=0.0, refused=0.0)

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def account(self, vendor: str = "dashscope", key: str = KEY, **details: Any) -> Account:
        return Account(
            vendor=vendor,
            base_url=self.sandbox.base_url(vendor),
            api_key=SecretStr(key),
            **{"queries_per_second": 100.0, **details},
        )

    async def submit(
        self, count: int = 1, prompt: str = "A paper boat", vendor: str = "dashscope", key: str = KEY
    ) -> list[TaskHandle]:
        async with AsyncWanClient(self.account(vendor, key)) as client:
            requests = [TextToVideoRequest(prompt=f"{prompt} {number}", duration=5) for number in range(count)]
            return await asyncio.gather(*map(client.submit, requests))

    async def wait(
        self,
        handle: TaskHandle,
        *,
        seconds: float = 30.0,
        interval: float = INTERVAL,
        account: Account | None = None,
        refresh: Refresh | None = None,
        on_change: Callable[[str], None] | None = None,
    ) -> Ending:
        async with shared_poller(account or self.account(handle.vendor), refresh, self.times) as poller:
            deadline = utc_now() + timedelta(seconds=seconds)
            return await poller.wait(handle, deadline, interval, on_change=on_change)

    async def wait_for_all(self, handles: list[TaskHandle], **given: Any) -> list[Ending]:
        return await asyncio.gather(*(self.wait(handle, **given) for handle in handles))

    def requests(self, call: str, vendor: str = "dashscope") -> dict[str, int]:
        return dict(self.sandbox.ledger()["requests"].get(vendor, {}).get(call, {}))


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    return Desk(sandbox)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """The moments (of the loop's clock) and targets of the requests that are sent."""
    sent: list[tuple[float, str]] = []
    send = AsyncWanClient.send

    async def recorded(self: AsyncWanClient, call: Any) -> Any:
        sent.append((asyncio.get_running_loop().time(), call.target))
        return await send(self, call)

    monkeypatch.setattr(AsyncWanClient, "send", recorded)
    return sent
