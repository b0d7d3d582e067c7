"""Four accounts at one sandbox: their keys and connections, and whose a task is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sandbox.settings import fingerprint
from airflow_provider_wan.worker import known

KEYS = {name: f"sk-accounts-{name}-3fb1" for name in "abcd"}
NAMES = [f"wan_{name}" for name in KEYS]


@pytest.fixture(scope="module")
def several() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.05, render="small", api_keys=list(KEYS.values())) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(several: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    """The accounts ``wan_a`` to ``wan_d`` at DashScope; nothing is known of them."""
    several.reset()
    for name in KEYS:
        connect(monkeypatch, several, name)
    monkeypatch.setattr(known, "local_root", lambda: str(tmp_path / "known"))
    known.PROCESS.clear()
    return several


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, name: str, **extra: Any) -> None:
    """Write the connection of one account anew; ``host`` is another server, the rest is its extra."""
    quick = {"vendor": "dashscope", "submits_per_second": 500, "queries_per_second": 500, "timeout": 5} | extra
    host = quick.pop("host", sandbox.url)
    connection = {"conn_type": "wan", "host": host, "password": KEYS[name], "extra": quick}
    monkeypatch.setenv(f"AIRFLOW_CONN_WAN_{name.upper()}", json.dumps(connection))


def by_account(sandbox: Sandbox, kind: str = "created") -> dict[str, int]:
    """How many tasks each account has, by its letter."""
    letters, books = {fingerprint(key): name for name, key in KEYS.items()}, sandbox.ledger()
    made = {task["task_id"]: letters[task["key_fingerprint"]] for task in books["created"]}
    return dict(Counter(made[task["task_id"]] for task in books[kind]))
