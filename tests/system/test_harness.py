"""The harness under the system tests does what it says, shown with DAGs that have no Wan in them."""

from __future__ import annotations

import os
import signal

from tools.airflow_rest import wait_until
from tools.local_airflow import LocalAirflow
from tools.process_family import alive

from .harness import explain


def test_a_deferred_task_resumes_and_mapped_values_arrive(airflow: LocalAirflow) -> None:
    run_id = airflow.rest.trigger("harness_deferred")
    airflow.rest.wait_for_task("harness_deferred", run_id, "wait", {"deferred"})
    assert airflow.rest.wait_for_run("harness_deferred", run_id) == "success"
    assert airflow.rest.xcom("harness_deferred", run_id, "answer", map_index=1) == 3


def test_a_killed_task_process_is_a_failed_try(airflow: LocalAirflow) -> None:
    run_id = airflow.rest.trigger("harness_running")
    airflow.rest.wait_for_task("harness_running", run_id, "hold", {"running"})
    pid = airflow.wait_for_task_pid("harness_running", run_id, "hold")
    # A worker is busy for a moment longer than the task that it ran before.
    wait_until(lambda: len(airflow.busy_worker_pids()) == 1, 120, "one worker is busy")
    os.kill(pid, signal.SIGKILL)
    assert airflow.rest.wait_for_run("harness_running", run_id) == "success"
    assert airflow.rest.xcom("harness_running", run_id, "hold") == 2


def test_a_second_triggerer_takes_over_from_a_frozen_one(airflow: LocalAirflow) -> None:
    airflow.freeze("triggerer")
    run_id = airflow.rest.trigger("harness_deferred")
    airflow.rest.wait_for_task("harness_deferred", run_id, "wait", {"deferred"})
    airflow.start_component("triggerer", alias="triggerer-2")
    assert airflow.rest.wait_for_run("harness_deferred", run_id) == "success"


def test_a_killed_scheduler_takes_its_workers_with_it_and_can_be_replaced(airflow: LocalAirflow) -> None:
    workers = airflow.worker_pids()
    airflow.kill("scheduler")
    assert workers
    assert not any(alive(pid) for pid in workers)
    airflow.repair()
    run_id = airflow.rest.trigger("harness_deferred")
    assert airflow.rest.wait_for_run("harness_deferred", run_id) == "success"


def test_a_failed_test_would_show_the_error_of_the_task(airflow: LocalAirflow) -> None:
    run_id = airflow.rest.trigger("harness_failing")
    assert airflow.rest.wait_for_run("harness_failing", run_id) == "failed"
    assert "ValueError: the reason to be shown" in explain(airflow, [("harness_failing", run_id)])


def test_a_secret_is_found_wherever_it_was_written(airflow: LocalAirflow) -> None:
    secret = f"needle-{os.getpid()}"
    assert airflow.places_of(secret) == []
    run_id = airflow.rest.trigger("harness_failing", conf={"note": secret})
    airflow.rest.wait_for_run("harness_failing", run_id)
    (airflow.home / "note.txt").write_text(f"somewhere in a line: {secret}.")
    places = airflow.places_of(secret)
    assert "dag_run.conf" in places
    assert str(airflow.home / "note.txt") in places
