"""SIGKILL at random moments of a 200-item run, again and again until it is done: every item is billed once.

``WAN_KILL_RUNS`` sets how many runs there are of each kind, ``WAN_KILL_SEED`` the first seed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import KEY

ITEMS = 200
MOST_KILLS = 6
RUNS = int(os.environ.get("WAN_KILL_RUNS", "1"))
FIRST_SEED = int(os.environ.get("WAN_KILL_SEED", "7"))
KINDS = [("gccai", 0.0, False), ("gccai", 0.1, False), ("dashscope", 0.0, False), ("dashscope", 0.1, False)]
KINDS += [("gccai", 0.1, True), ("dashscope", 0.1, True)]
ACCOUNT_KEYS = {f"wan_{name}": f"{KEY}-{name}" for name in "abcd"}
ROOT = Path(__file__).parents[2]


class Zygote:
    """Starts workers and tells when they end."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"},
        )
        self.heard("ready")

    def heard(self, word: str) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{") and word in (said := json.loads(line)):
                return said[word]
        raise AssertionError(f"the zygote ended before it said {word!r}")

    def attempt(self, order: dict[str, Any], kill_after: float | None) -> int:
        """Run one attempt, killed after so many seconds; return its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = self.heard("pid")
        killer = threading.Timer(kill_after, os.kill, (pid, signal.SIGKILL)) if kill_after is not None else None
        if killer:
            killer.start()
        status: int = self.heard("ended")
        if killer:
            killer.cancel()
        return status

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A sandbox in a process of its own."""
    command = [sys.executable, "-m", "airflow_provider_wan.sandbox", "--port", "0", "--render", "small"]
    command += ["--generation-seconds", "0.05:0.2", "--running-limit", "1000"]
    command += [part for key in (KEY, *ACCOUNT_KEYS.values()) for part in ("--api-key", key)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.split(" on ")[1].split(" ")[0]
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
@pytest.mark.parametrize(("vendor", "dropped", "has_ledger"), KINDS)
def test_every_item_is_billed_once_however_often_the_worker_is_killed(
    zygote: Zygote, server: str, tmp_path: Path, vendor: str, dropped: float, has_ledger: bool, seed: int
) -> None:
    httpx.post(f"{server}/sandbox/reset")
    httpx.post(f"{server}/sandbox/settings", json={"drop_answer_rate": dropped})
    rng = random.Random(f"{seed}{vendor}{dropped}")
    extra = {"vendor": vendor, "submits_per_second": 400, "queries_per_second": 400, "timeout": 5}
    order = {
        "folder": str(tmp_path),
        "rows": ITEMS,
        "max_in_flight": 90,
        "connections": {"wan_default": {"conn_type": "wan", "host": server, "password": KEY, "extra": extra}},
        "given": {"ledger_path": f"file://{tmp_path}/ledger"} if has_ledger else {},
    }
    kills = 0
    while True:
        status = zygote.attempt(order, rng.uniform(0.02, 0.8) if kills < MOST_KILLS else None)
        if status == 0:
            break
        assert status == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
        kills += 1
        seen = tmp_path / "manifest.jsonl"
        if seen.exists():
            assert len({json.loads(line)["id"] for line in seen.read_text().splitlines()}) == ITEMS
    assert kills >= 3
    expected = Counter(f"shot {number:03d}" for number in range(ITEMS))
    books = httpx.get(f"{server}/sandbox/ledger", timeout=30).json()
    assert Counter(task["prompt"] for task in books["created"]) == expected
    assert Counter(task["prompt"] for task in books["billed"]) == expected
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert Counter(line["prompt"] for line in lines) == expected
    assert {line["status"] for line in lines} == {"succeeded"}
    assert {task["task_id"] for task in books["billed"]} == {line["task_id"] for line in lines}
    assert all(Path(line["uri"].removeprefix("file://")).stat().st_size == line["bytes"] for line in lines)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
@pytest.mark.parametrize("vendor", ["gccai", "dashscope"])
def test_over_several_accounts_every_item_is_billed_once_although_list_and_accounts_change(
    zygote: Zygote, server: str, tmp_path: Path, vendor: str, seed: int
) -> None:
    httpx.post(f"{server}/sandbox/reset")
    rng = random.Random(f"{seed}{vendor}")
    extra = {"vendor": vendor, "submits_per_second": 400, "queries_per_second": 400, "timeout": 5}
    connections = {
        name: {"conn_type": "wan", "host": server, "password": key, "extra": extra}
        for name, key in ACCOUNT_KEYS.items()
    }
    kills = 0
    while True:
        listed = rng.sample(list(ACCOUNT_KEYS), rng.choice([2, 3, 4]))
        # One of those that are not listed may be in trouble as well: what runs there is waited for there.
        trouble = {ACCOUNT_KEYS[name]: rng.choice(["unpaid", "throttled", "down"]) for name in listed[1:2]}
        is_last = kills >= MOST_KILLS
        settings = {"drop_answer_rate": 0.05, "account_trouble": {} if is_last else trouble}
        httpx.post(f"{server}/sandbox/settings", json=settings)
        order = {
            "folder": str(tmp_path),
            "rows": ITEMS,
            "max_in_flight": 90,
            "connections": connections,
            "given": {"wan_conn_id": listed, "route": rng.choice(["spread", "failover"])},
        }
        status = zygote.attempt(order, None if is_last else rng.uniform(0.02, 0.8))
        if status == 0:
            break
        assert status == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
        kills += 1
    assert kills >= 3
    expected = Counter(f"shot {number:03d}" for number in range(ITEMS))
    books = httpx.get(f"{server}/sandbox/ledger", timeout=30).json()
    assert Counter(task["prompt"] for task in books["created"]) == expected
    assert Counter(task["prompt"] for task in books["billed"]) == expected
    assert len({task["key_fingerprint"] for task in books["created"]}) > 1
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"succeeded"}
    assert {task["task_id"] for task in books["billed"]} == {line["task_id"] for line in lines}
