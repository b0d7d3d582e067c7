"""The example DAGs about money: a person approves before it is spent, and a second DAG adds up what was."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_wan.sandbox import Sandbox
from tests.package.test_example_dags import quickened


class Person(threading.Thread):
    """Answers the question of one task as Airflow's API server does, once it is asked; keeps what it read."""

    def __init__(self, dag_id: str, choice: str) -> None:
        super().__init__(daemon=True)
        self._dag_id = dag_id
        self._choice = choice
        self._is_over = threading.Event()
        self.read = ""

    def __enter__(self) -> Person:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join(timeout=30)

    def run(self) -> None:
        while not self.read and not self._is_over.wait(0.2):
            self._look()

    def _look(self) -> None:
        from airflow._shared.timezones import timezone
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.trigger import handle_event_submit
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState
        from sqlalchemy import select

        with create_session() as session:
            asked = TaskInstance.dag_id == self._dag_id, TaskInstance.state == TaskInstanceState.AWAITING_INPUT
            instance = session.scalar(select(TaskInstance).where(*asked))
            detail = session.get(HITLDetail, instance.id) if instance else None
            if instance is None or detail is None:
                return
            self.read = f"{detail.subject}\n{detail.body}"
            detail.responded_at, detail.chosen_options = timezone.utcnow(), [self._choice]
            detail.responded_by = {"id": "1", "name": "producer"}
            event: Any = TriggerEvent(detail.as_resume_event_payload())
            handle_event_submit(event, task_instance=instance, session=session)


@pytest.mark.parametrize(("choice", "paid"), [("Approve", 1), ("Reject", 0)])
def test_a_person_decides_before_anything_is_paid(
    sandbox: Sandbox, runnable: dict[str, DAG], choice: str, paid: int
) -> None:
    with Person("wan_approval", choice) as person:
        run = quickened(runnable["wan_approval"]).test()
    assert "A lighthouse keeper" in person.read
    assert "Estimated cost: 0.50 USD (5 s of wan2.7-t2v 720P at 0.1 USD" in person.read
    states = {instance.task_id: str(instance.state) for instance in run.get_task_instances()}
    assert states == {"price": "success", "approve": "success", "video": "success" if paid else "skipped"}
    assert len(sandbox.ledger()["billed"]) == paid


def test_the_asset_of_a_stored_video_tells_its_cost_to_the_next_dag(
    sandbox: Sandbox, runnable: dict[str, DAG], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WAN_STORE", f"file://{tmp_path}")
    run = quickened(runnable["wan_costs"]).test()
    assert run.state == "success"

    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        asked = AssetEvent.source_dag_id == "wan_costs", AssetEvent.source_run_id == run.run_id
        events = [SimpleNamespace(extra=event.extra) for event in session.scalars(select(AssetEvent).where(*asked))]
    assert [event.extra["cost"] for event in events] == [{"amount": 0.4, "currency": "USD", "basis": "usage"}]
    next_dag = runnable["wan_bookkeeping"]
    assert {asset.name for asset in next_dag.timetable.asset_condition.objects} == {"wan_paid_clip"}
    book: Any = next_dag.get_task("book")
    assert book.python_callable({"wan_paid_clip": events}) == {"USD": 0.4}
