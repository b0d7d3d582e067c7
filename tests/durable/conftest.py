"""One sandbox for all tests here; attempts on it that share a task state store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.requests import TextToVideoRequest, VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import (
    STATE_KEY,
    Attempt,
    ComeBack,
    Ledger,
    Obtained,
    PaidCall,
    Policies,
    SubmissionTimes,
    Timing,
)
from airflow_provider_wan.sandbox import Sandbox

from .store import FakeStore

KEY = "sk-durability-7c0e55aa1b"
VENDORS = ("dashscope", "gccai", "powertokens", "freepik", "openai")
QUICK = Timing(late=timedelta(0), look_again=0.02)
"""A list that shows a task at once, looked at often."""


@dataclass
class Attempts:
    """The attempts of one task instance: each has a new client, all have the same store."""

    sandbox: Sandbox
    vendor: str = "dashscope"
    request: VideoRequest = field(default_factory=lambda: TextToVideoRequest(prompt="a paper boat"))
    store: FakeStore | None = field(default_factory=FakeStore)
    settings: dict[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)

    def client(self) -> WanClient:
        account = {"timeout": 5.0, "queries_per_second": 1000.0} | self.account
        base_url = self.sandbox.base_url(self.vendor)
        return WanClient(Account(vendor=self.vendor, base_url=base_url, api_key=SecretStr(KEY), **account))

    def attempt(self, request: VideoRequest | None = None, **settings: Any) -> Attempt:
        given = {
            "ledger": Ledger(self.store),
            "policies": Policies(),
            "account_name": "wan_default",
            "series": "0",
            "timing": QUICK,
            "patience": Patience(tries=1, throttled=0.0),
            "give_up": timedelta(seconds=20),
        }
        given |= {"client": self.client(), "request": request or self.request} | self.settings | settings
        of_call = {one.name for one in fields(PaidCall)}
        call = PaidCall(**{name: value for name, value in given.items() if name in of_call})
        return Attempt(call, **{name: value for name, value in given.items() if name not in of_call})

    def obtain(self, request: VideoRequest | None = None, **settings: Any) -> Obtained:
        """One attempt, with its pauses made short; ends with a task."""
        attempt = self.attempt(request, **settings)
        for _ in range(400):
            found = attempt.obtain()
            if isinstance(found, Obtained):
                return found
            pause(found)
        raise AssertionError(f"never decided: {found.why}")

    @property
    def record(self) -> dict[str, Any] | None:
        assert self.store is not None
        value = self.store.get(STATE_KEY)
        assert value is None or isinstance(value, dict)
        return None if value and value.get("forgotten") else value

    def change_record(self, **changes: Any) -> None:
        """Rewrite the record, as if it were of another time or worker."""
        assert self.store is not None
        record = {name: value for name, value in ((self.record or {}) | changes).items() if value is not None}
        self.store.set(STATE_KEY, record)

    def over(self, handle: TaskHandle) -> None:
        """Wait until the vendor has ended the task."""
        over = {"SUCCEEDED", "FAILED", "CANCELED"}
        self.sandbox.wait_for(
            lambda books: any(t["task_id"] == handle.task_id and t["status"] in over for t in books["created"])
        )

    @property
    def created(self) -> int:
        return len(self.sandbox.ledger()["created"])

    @property
    def cancels(self) -> list[tuple[str, bool]]:
        return [(entry["task_id"], entry["accepted"]) for entry in self.sandbox.ledger()["cancels"]]

    def posts(self) -> int:
        """How many submissions reached the vendor, whatever became of them."""
        calls = self.sandbox.ledger()["requests"].get(self.vendor, {}).get("submit", {})
        return sum(calls.values())


def pause(come_back: ComeBack) -> None:
    import time

    assert come_back.why
    time.sleep(min(come_back.seconds, 0.05))


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.05, render="small", api_keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of the product are values; here they are short."""
    monkeypatch.setattr(Ledger, "times", SubmissionTimes(keep_pause=0.0))
    monkeypatch.setattr("airflow_provider_wan.client.transport.flows.back_off", lambda *_: 0.01)


@pytest.fixture
def attempts(sandbox: Sandbox) -> Callable[..., Attempts]:
    def make(vendor: str = "dashscope", prompt: str | None = None, **given: Any) -> Attempts:
        if prompt is not None:
            given["request"] = TextToVideoRequest(prompt=prompt)
        return Attempts(sandbox, vendor, **given)

    return make


MakeAttempts = Callable[..., Attempts]
