"""The sandbox as a process of its own, so that its CPU and its pauses are not the contender's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any, Self

import httpx
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.client.transport.client import AsyncWanClient

KEY = "sk-bench-4dd1f0c97a"
REAL_LIMITS = {"query_qps": 20, "submit_qps": 5, "answer_delay": 0.15}
"""Per account and endpoint, as DashScope documents them; 150 ms is a usual answer across a continent."""

NO_LIMITS = {"query_qps": 0, "submit_qps": 0, "answer_delay": 0}


def connection(url: str, vendor: str, **extra: Any) -> str:
    """A ``wan`` connection to the sandbox, as the value of an AIRFLOW_CONN_ variable."""
    return json.dumps({"conn_type": "wan", "host": url, "password": KEY, "extra": {"vendor": vendor, **extra}})


class SandboxProcess:
    """A sandbox on a free port; a context manager.

    :param settings: those of the sandbox's ``Settings``.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = {"render": "small", **settings}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        flags = [f"--set={name}={json.dumps(value)}" for name, value in self._settings.items()]
        # Loopback answers must not go through a proxy that the shell may name.
        env = os.environ | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        argv = [sys.executable, "-m", "airflow_provider_wan.sandbox", "--port", "0", *flags]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split("http", 1)[-1].split(" ")[0]
        self.url = f"http{self.url}"
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def configure(self, **settings: Any) -> None:
        self._http.post("/sandbox/settings", json=settings).raise_for_status()

    def ledger(self) -> dict[str, Any]:
        return dict(self._http.get("/sandbox/ledger").json())

    def tasks(self) -> list[dict[str, Any]]:
        return list(self._http.get("/sandbox/tasks").json()["tasks"])

    def create(self, vendor: str, number: int) -> list[TaskHandle]:
        """Make tasks as fast as the machine can, then put the vendor's limits in force."""
        self.configure(**NO_LIMITS, queue_limit=2 * number)
        handles = asyncio.run(self._create(vendor, number))
        self.configure(**REAL_LIMITS)
        return handles

    async def _create(self, vendor: str, number: int) -> list[TaskHandle]:
        account = Account(
            vendor=vendor,
            base_url=self.url,
            api_key=SecretStr(KEY),
            queries_per_second=1e4,
            submits_per_second=1e4,
            timeout=60,
        )
        turn = asyncio.Semaphore(12)
        async with AsyncWanClient(account) as client:

            async def one(index: int) -> TaskHandle:
                async with turn:
                    request = TextToVideoRequest(prompt=f"Take {index}", resolution="720P", duration=5)
                    return await client.submit(request)

            return await asyncio.gather(*(one(index) for index in range(number)))
