"""A worker that is killed ends in time, whatever the vendor does."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from airflow_provider_wan.client.polling.cancelling import cancel_within
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.worker.video import KILL_SECONDS
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
    assert KILL_SECONDS == 3.0, "Airflow kills a worker five seconds after it was told to stop"
    assert "may run on and be billed" in cancel_within(0.3, WanHook().account, HANDLE).message


def test_what_is_queued_is_cancelled(sandbox: Sandbox) -> None:
    from airflow_provider_wan.operators.wan import WanTextToVideoOperator

    run = Driven(lambda: WanTextToVideoOperator(task_id="make", prompt="x [sandbox hold]", wait_for_completion=False))
    assert "is not billed" in cancel_within(KILL_SECONDS, WanHook().account, TaskHandle.of(run.run())).message
    assert sandbox.ledger()["billed"] == []
