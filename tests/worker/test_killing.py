"""A worker that is killed ends in time, whatever the vendor does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_wan.client.polling.cancelling import cancel_within
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers import killed
from airflow_provider_wan.worker import killing
from airflow_provider_wan.worker.killing import ASK_SECONDS, KILL_SECONDS
from tests.airflow_fixtures import connection_json
from tests.driving import Driven

HANDLE = TaskHandle.of(
    {
        "vendor": "dashscope",
        "task_id": "t-1",
        "mode": "text_to_video",
        "model": "wan2.7-t2v",
        "submitted_at": "2026-01-01T00:00:00Z",
    }
)


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_vendor_that_does_not_answer_holds_nobody(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's own time-out of 600 s would outlast the test, and the worker."""
    monkeypatch.setenv("AIRFLOW_CONN_WAN_DEFAULT", connection_json(silent, "dashscope", timeout=600))
    assert ASK_SECONDS + KILL_SECONDS <= 3.0, "Airflow kills a worker five seconds after it was told to stop"
    assert "may run on and be billed" in cancel_within(0.3, WanHook().account, HANDLE).message


def test_what_is_queued_is_cancelled(sandbox: Sandbox) -> None:
    from airflow_provider_wan.operators.wan import WanTextToVideoOperator

    run = Driven(lambda: WanTextToVideoOperator(task_id="make", prompt="x [sandbox hold]", wait_for_completion=False))
    assert "is not billed" in cancel_within(KILL_SECONDS, WanHook().account, TaskHandle.of(run.run())).message
    assert sandbox.ledger()["billed"] == []


class Waiting(Exception):
    """The worker waits for its task, and is killed now."""


def kill_while_waiting(monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """Run an operator in the worker up to its wait, and kill the worker there."""
    from airflow_provider_wan.operators.wan import WanTextToVideoOperator

    def wait(*_: Any) -> None:
        raise Waiting

    monkeypatch.setattr(WanHook, "wait_for_ending", wait)
    given = {"prompt": "x [sandbox hold]", "deferrable": False} | given
    run = Driven(lambda: WanTextToVideoOperator(task_id="make", **given))
    with pytest.raises(Waiting):
        run.run()
    assert run.operator is not None
    run.operator.on_kill()


@pytest.mark.parametrize(
    ("version", "state", "given", "is_cancelled"),
    [
        ((3, 3), "running", {}, False),
        ((3, 3), "restarting", {}, False),
        ((3, 3), "restarting", {"durable": False}, True),
        ((3, 3), "failed", {}, True),
        ((3, 3), "failed", {"cancel_on_kill": False}, False),
        ((3, 3), "success", {}, True),
        ((3, 3), None, {}, False),
        ((3, 3), None, {"durable": False}, True),
        ((3, 4), "restarting", {}, True),
        ((3, 4), "restarting", {"ledger_path": "ledger"}, False),
    ],
)
def test_a_killed_worker_asks_first_what_became_of_its_task(
    sandbox: Sandbox,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    state: str | None,
    given: dict[str, Any],
    is_cancelled: bool,
) -> None:
    """One that is drained, or whose task was cleared, has a successor that adopts."""

    def states(_: Any) -> list[str]:
        if state is None:
            raise RuntimeError("no supervisor")
        return [state]

    monkeypatch.setattr(killed, "_states", states)
    monkeypatch.setattr(killed, "airflow_version", lambda: version)
    if "ledger_path" in given:
        given = given | {"ledger_path": f"file://{tmp_path}/ledger"}
    kill_while_waiting(monkeypatch, **given)
    assert [task["status"] for task in sandbox.ledger()["created"]] == ["CANCELED" if is_cancelled else "PENDING"]


def test_neither_airflow_nor_the_vendor_holds_a_killed_worker(
    sandbox: Sandbox, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are silent for good; the account's time-out alone would be ten minutes."""
    asked, never = threading.Event(), threading.Event()

    def states(_: Any) -> list[str]:
        asked.set()
        never.wait()
        return []

    monkeypatch.setattr(killed, "_states", states)
    monkeypatch.setattr(killing, "ASK_SECONDS", 0.2)
    monkeypatch.setattr("airflow_provider_wan.worker.video.KILL_SECONDS", 0.2)
    account = WanHook.account

    def later_silent(self: WanHook) -> Any:
        from dataclasses import replace

        return replace(account.__get__(self), base_url=silent, timeout=600) if asked.is_set() else account.__get__(self)

    monkeypatch.setattr(WanHook, "account", property(later_silent))
    kill_while_waiting(monkeypatch)
    never.set()
    assert asked.is_set()
    assert [task["status"] for task in sandbox.ledger()["created"]] == ["PENDING"]
