"""A worker that was taken for dead and comes back, and one that is drained, cancel nothing that a successor adopts."""

from __future__ import annotations

import pytest

from tools.airflow_rest import wait_until

from .lab import Lab

COUNT = 3
DAGS = {"lab_in_worker": "Adopted task", "lab_batch_in_worker": f"{COUNT} are running (adopted"}
"""What each says when it goes on with what a former attempt has submitted."""


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_thawed_worker_cancels_nothing(lab: Lab, dag_id: str) -> None:
    """Its tasks wait in it, queued at the vendor, when it stands still until others have taken them over."""
    run_id = _held_in_workers(lab, dag_id)
    frozen = lab.airflow.running("worker")
    for name in frozen:
        lab.airflow.freeze(name)
    lab.airflow.start_component("worker", lab.airflow.another("worker"))
    _wait_for_tries(lab, dag_id, run_id)
    for name in frozen:
        lab.airflow.thaw(name)
    for name in frozen:
        wait_until(lambda name=name: not lab.airflow.task_pids(name), 120, f"{name} has ended its tasks")  # type: ignore[misc]
    _finish(lab, dag_id, run_id)


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_drained_worker_cancels_nothing(lab: Lab, dag_id: str) -> None:
    """Each of its processes gets a SIGTERM, as when its machine is taken away."""
    run_id = _held_in_workers(lab, dag_id)
    drained = lab.airflow.running("worker")
    lab.airflow.start_component("worker", lab.airflow.another("worker"))
    for name in drained:
        lab.airflow.drain(name)
    _wait_for_tries(lab, dag_id, run_id)
    _finish(lab, dag_id, run_id)


def _held_in_workers(lab: Lab, dag_id: str) -> str:
    run_id = lab.start(dag_id, COUNT, "hold")
    lab.wait_for_created(COUNT)
    wait_until(lambda: lab.queries() >= COUNT, 120, "the tasks are waited for")
    return run_id


def _wait_for_tries(lab: Lab, dag_id: str, run_id: str) -> None:
    """Wait until each task is in the hands of its second try."""
    wait_until(lambda: lab.logged(dag_id, run_id, DAGS[dag_id], try_number=2), 180, "the tasks are adopted", every=1)


def _finish(lab: Lab, dag_id: str, run_id: str) -> None:
    assert lab.cancels() == []
    for task_id in lab.created():
        lab.sandbox.change(task_id, "finish")
    assert lab.end(dag_id, run_id, 240) == "success"
    assert len(lab.created()) == len(lab.billed()) == COUNT
    assert lab.cancels() == []
