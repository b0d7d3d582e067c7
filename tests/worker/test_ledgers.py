"""Where an operator records its submissions, over whole runs: retries, clears, kept and deleted state, iterations."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wan.durable import STATE_KEY, Ledger
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from tests.driving import Driven, Instance, Store

PROMPT = "a paper boat"


def run_of(store: Store | None, **given: Any) -> Driven:
    given = {"poll_interval": 0.1, "wan_conn_id": "wan_dashscope", "timeout": 30, "prompt": PROMPT} | given
    return Driven(lambda: WanTextToVideoOperator(task_id="make", **given), store, Instance())


def next_try(run: Driven, *, is_cleared: bool, store: Store | None) -> Driven:
    """The same task instance again: after a failure, or after a clear."""
    instance = Instance(try_number=run.instance.try_number + 1, max_tries=run.instance.max_tries + is_cleared)
    return Driven(run.make, store, instance)


@pytest.fixture
def airflow_3_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a clear deletes task state."""
    monkeypatch.setattr("airflow_provider_wan.worker.ledgers.airflow_version", lambda: (3, 4))


@pytest.mark.parametrize("has_state", [True, False], ids=["airflow-3.3", "airflow-3.1"])
def test_a_ledger_path_survives_every_clear(sandbox: Sandbox, tmp_path: Path, has_state: bool) -> None:
    run = run_of(Store() if has_state else None, ledger_path=f"file://{tmp_path}/{{{{ ti.dag_id }}}}")
    first = run.run()
    again = next_try(run, is_cleared=True, store=Store() if has_state else None).run()
    assert again["task_id"] == first["task_id"]
    assert len(sandbox.ledger()["created"]) == 1
    record = json.loads(next((tmp_path / "films").rglob("wan_submission.0001.json")).read_text())
    assert record["handle"]["task_id"] == first["task_id"]
    assert not run.store or STATE_KEY not in run.store.rows


def test_a_ledger_path_lets_a_deferred_task_be_left_alone_by_its_trigger(sandbox: Sandbox, tmp_path: Path) -> None:
    for path, survives in ((f"file://{tmp_path}", True), (None, False)):
        deferred = run_of(Store(), ledger_path=path).deferred()
        kwargs = deferred.trigger.serialize()[1]
        assert kwargs.get("survives_clear", False) is survives
        assert kwargs["durable"] is True


@pytest.mark.usefixtures("airflow_3_4")
def test_a_clear_that_deleted_the_record_is_said(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(Store())
    run.run()
    assert run.store is not None
    next_try(run, is_cleared=True, store=run.store).run()
    assert "may be paid again" not in capsys.readouterr().out
    assert len(sandbox.ledger()["created"]) == 1
    run.store.rows.clear()
    next_try(run, is_cleared=True, store=run.store).run()
    said = capsys.readouterr().out
    assert "may be paid again" in said
    assert "ledger_path" in said
    assert len(sandbox.ledger()["created"]) == 2


@pytest.mark.usefixtures("airflow_3_4")
def test_a_retry_whose_first_try_came_to_nothing_is_no_clear(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(Store(), prompt="x [sandbox reject=400:InvalidParameter times=1]")
    with pytest.raises(Exception, match="InvalidParameter"):
        run.run()
    next_try(run, is_cleared=False, store=run.store).run()
    assert "may be paid again" not in capsys.readouterr().out
    assert len(sandbox.ledger()["created"]) == 1


def test_the_event_mends_a_record_that_lacks_its_task(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state store was away for a moment after the POST."""
    run = run_of(Store())
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "keep", lambda self, record: False)
        deferred = run.deferred()
    assert run.store is not None
    assert "handle" not in run.store.get(STATE_KEY)
    run.call("execute_complete", event=run.trigger(deferred))
    assert run.store.get(STATE_KEY)["handle"]["task_id"] == deferred.trigger.serialize()[1]["handle"]["task_id"]


class IndexedTaskInstance(Instance):
    """What Airflow gives to each of many tasks that it runs in one process."""


def test_one_of_many_tasks_in_a_process_waits_in_the_worker(sandbox: Sandbox, tmp_path: Path) -> None:
    results = []
    for index in range(2):
        run = run_of(None, ledger_path=f"file://{tmp_path}")
        run.instance = IndexedTaskInstance()
        run.instance.index = index  # type: ignore[attr-defined]
        try:
            results.append(run.call("execute"))
        except TaskDeferred:
            pytest.fail("a deferral here fails the whole task after the paid call")
    assert len({result["task_id"] for result in results}) == 2


def test_each_iteration_of_a_loop_is_a_submission_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    made = []
    for index in range(3):
        run = run_of(None, ledger_path=f"file://{tmp_path}")
        run.context = {"loop": SimpleNamespace(index=index)}
        made.append(run.run()["task_id"])
    assert len(set(made)) == 3
    assert sorted(path.name for path in next(tmp_path.rglob("-1")).iterdir()) == ["loop-0", "loop-1", "loop-2"]
