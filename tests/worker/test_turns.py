"""Workers that share a ledger keep to one account's pace together."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers.wan import WanPauseTrigger
from airflow_provider_wan.worker.ledgers import ObjectStore
from airflow_provider_wan.worker.turns import HELD_SECONDS, KEPT_SECONDS, next_turn
from tests.driving import KEY, Driven, Instance

NOW = 1_800_000_000.0
ACCOUNT = Account(vendor="dashscope", base_url="http://127.0.0.1:9", api_key=SecretStr(KEY), submits_per_second=4.0)


def store_at(folder: Path, name: str = "0") -> ObjectStore:
    return ObjectStore(f"file://{folder}/ledger", ["films", "run", "make", name])


def test_those_that_come_at_once_get_turns_of_their_own_without_many_gaps(tmp_path: Path) -> None:
    def take(number: int) -> float:
        return next_turn(store_at(tmp_path, str(number)), ACCOUNT, lambda: NOW, random.Random(number))

    with ThreadPoolExecutor(16) as pool:
        turns = sorted(pool.map(take, range(60)))
    assert len(set(turns)) == 60
    assert turns[0] >= NOW
    # Ideal: 15 s.
    assert turns[-1] - NOW <= 15.0 * 1.3


def test_a_gap_that_somebody_left_is_taken(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    number = int(NOW * 4)
    for taken in (number, number + 2):
        assert store.take_turn(f"dashscope-{ACCOUNT.key_fingerprint}", taken)
    assert next_turn(store, ACCOUNT, lambda: NOW) == (number + 1) / 4


def test_turns_that_have_passed_are_removed(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    next_turn(store, ACCOUNT, lambda: NOW)
    next_turn(store, ACCOUNT, lambda: NOW + KEPT_SECONDS + 10)
    assert len(store.turns(f"dashscope-{ACCOUNT.key_fingerprint}")) == 1


def test_accounts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    other = Account(vendor="dashscope", base_url="http://127.0.0.1:9", api_key=SecretStr("sk-another-key"))
    next_turn(store_at(tmp_path), ACCOUNT, lambda: NOW)
    assert next_turn(store_at(tmp_path), other, lambda: NOW) == NOW


def test_nothing_of_the_key_is_written(tmp_path: Path) -> None:
    next_turn(store_at(tmp_path), ACCOUNT, lambda: NOW)
    written = [f"{path} {path.read_text()}" for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not any(KEY in text for text in written)


# -- operators --------------------------------------------------------------------------------------------


def make(ledger: Path, number: int, **kwargs: Any) -> Driven:
    def operator() -> WanTextToVideoOperator:
        path = f"file://{ledger}"
        given: dict[str, Any] = {"prompt": f"fox {number}", "poll_interval": 1, "duration": 2} | kwargs
        return WanTextToVideoOperator(task_id="make", ledger_path=path, **given)

    return Driven(operator, instance=Instance(map_index=number))


@pytest.fixture
def paced(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An account of which the vendor takes five submissions a second, and we use four."""
    connection = {"conn_type": "wan", "host": sandbox.url, "password": KEY, "extra": {"submits_per_second": 4}}
    monkeypatch.setenv("AIRFLOW_CONN_WAN_DEFAULT", json.dumps(connection))
    sandbox.configure(submit_qps=5)
    return sandbox


def test_a_worker_whose_turn_is_far_is_freed_and_keeps_its_turn(paced: Sandbox, tmp_path: Path) -> None:
    store, number = ObjectStore(f"file://{tmp_path}", ["x"]), int(time.time() * 4)
    account = ACCOUNT.key_fingerprint
    for taken in range(number, number + 4 * int(HELD_SECONDS) * 4):
        store.take_turn(f"dashscope-{account}", taken)
    run = make(tmp_path, 1)
    with pytest.raises(TaskDeferred) as deferred:
        run.call("execute")
    trigger = deferred.value.trigger
    assert isinstance(trigger, WanPauseTrigger)
    assert trigger.turn is not None
    assert trigger.turn > time.time()
    assert deferred.value.method_name == "execute_again"
    assert paced.ledger()["created"] == []
    # Its turn has come: it takes no other one.
    before = store.turns(f"dashscope-{account}")
    with pytest.raises(TaskDeferred) as waiting:
        run.call("execute_again", event={"since": trigger.since, "record": None, "turn": time.time() + 1})
    assert waiting.value.method_name == "execute_complete"
    assert store.turns(f"dashscope-{account}") == before
    assert len(paced.ledger()["created"]) == 1


def test_a_worker_that_is_late_for_its_turn_takes_another(paced: Sandbox, tmp_path: Path) -> None:
    store, account = ObjectStore(f"file://{tmp_path}", ["x"]), f"dashscope-{ACCOUNT.key_fingerprint}"
    run = make(tmp_path, 1)
    with pytest.raises(TaskDeferred) as deferred:
        run.call("execute_again", event={"since": utc_now().isoformat(), "record": None, "turn": time.time() - 30})
    assert deferred.value.method_name == "execute_complete"
    assert len(store.turns(account)) == 1
    assert len(paced.ledger()["created"]) == 1


def test_a_worker_that_is_refused_all_the_same_is_freed_until_another_turn(paced: Sandbox, tmp_path: Path) -> None:
    run = make(tmp_path, 1, prompt="fox [sandbox reject=429:Throttling.RateQuota times=2]")
    began = utc_now()
    with pytest.raises(TaskDeferred) as deferred:
        run.call("execute")
    trigger = deferred.value.trigger
    assert isinstance(trigger, WanPauseTrigger)
    # It asked once, and comes back for a new turn long before the minute of one that is throttled alone.
    assert trigger.turn is None
    assert datetime.fromisoformat(trigger.moment) - began < timedelta(seconds=30)
    assert paced.ledger()["requests"]["dashscope"]["submit"] == {"429": 1}
    # The longer it goes on, the longer are the pauses.
    long_ago = (utc_now() - timedelta(seconds=45)).isoformat()
    with pytest.raises(TaskDeferred) as again:
        run.call("execute_again", event={"since": long_ago, "record": None})
    assert isinstance(again.value.trigger, WanPauseTrigger)
    assert datetime.fromisoformat(again.value.trigger.moment) - utc_now() > timedelta(seconds=30)


def test_without_a_shared_ledger_nobody_waits(paced: Sandbox) -> None:
    operator = WanTextToVideoOperator(task_id="make", prompt="fox", poll_interval=1, duration=2)
    run = Driven(lambda: operator)
    with pytest.raises(TaskDeferred) as deferred:
        run.call("execute")
    assert deferred.value.method_name == "execute_complete"


def test_sixteen_workers_at_once_are_hardly_ever_refused(paced: Sandbox, tmp_path: Path) -> None:
    def submit(number: int) -> str:
        try:
            make(tmp_path, number, deferrable=False, wait_for_completion=False).call("execute")
        except TaskDeferred as deferred:
            return str(deferred.method_name)
        return "submitted"

    with ThreadPoolExecutor(16) as pool:
        ways = Counter(pool.map(submit, range(16)))
    assert ways == {"submitted": 16}
    ledger = paced.ledger()
    assert len(ledger["created"]) == 16
    assert ledger["requests"]["dashscope"]["submit"].get("429", 0) <= 1
