"""Processes that die at the worst moments: SIGKILL of a task's process, of the worker with it, and of its scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.local_airflow import LocalAirflow

from .runs import ONE_VIDEO, Cost, Run

CRASHES = ("defer", "resume", "end")
STARTED = {
    f"{point} {vendor}": ("case_crash", "crashes", {"crash_at": point, "conn": f"wan_{vendor}"})
    for point in CRASHES
    for vendor in ("dashscope", "powertokens")
}


@pytest.mark.parametrize("vendor", ["dashscope", "powertokens"])
@pytest.mark.parametrize("point", CRASHES)
def test_a_task_killed_after_its_record_is_adopted(started: Callable[[str], Run], point: str, vendor: str) -> None:
    """Between the record and the deferral, when the trigger has fired, and before the result is pushed."""
    run = started(f"{point} {vendor}")
    assert run.end() == "success"
    assert run.task()["try_number"] == 2
    adopted = ("Adopted task", "has succeeded already: its video is used")
    assert any(text in run.log(try_number=2) for text in adopted)
    assert run.cost() == ONE_VIDEO


def test_a_task_killed_before_the_answer_is_recovered(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """Between the POST and the record: the vendor has made the task, nobody knows its id."""
    sandbox.configure(answer_delay=20)
    runs: dict[str, Run] = {}
    # One after the other: DashScope's clock is asked first, and that answer is held back too.
    for vendor in ("quiet", "gccai", "powertokens"):
        run = runs[vendor] = Run(airflow, sandbox, "case_video", "is killed", conn=f"wan_{vendor}")
        run.wait_for_cost(lambda cost: cost.created == 1)
        run.kill_process()
        assert "handle" not in run.record()
    sandbox.configure(answer_delay=0)
    assert runs["quiet"].end() == "success"
    assert "which the lost submission had made, by time, model and prompt" in runs["quiet"].log(try_number=2)
    assert runs["gccai"].end() == "success"
    assert "the same idempotency key is sent again" in runs["gccai"].log(try_number=2)
    # Nothing can tell there, so a person is asked; the next attempt is the last.
    assert runs["powertokens"].end() == "failed"
    assert "WanSubmissionUnknown" in runs["powertokens"].log(try_number=2)
    assert [run.task()["try_number"] for run in runs.values()] == [2, 2, 2]
    assert [run.cost() for run in runs.values()] == [ONE_VIDEO] * 3


def test_a_task_killed_while_it_lands_the_video_lands_it_in_the_next_try(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    folder = airflow.home / "landed" / "crash"
    run = Run(airflow, sandbox, "case_video", "[sandbox endless-download]", store_to=f"file://{folder}/")
    sandbox.wait_for(lambda ledger: bool(ledger["requests"].get("dashscope", {}).get("download")), timeout=180)
    run.kill_process()
    assert run.end() == "success"
    assert run.task()["try_number"] == 2
    result = run.result()
    assert Path(result["uri"].removeprefix("file://")).stat().st_size == result["bytes"]
    assert run.cost() == ONE_VIDEO


def test_a_task_killed_while_it_waits_in_its_worker_is_adopted(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    run = Run(airflow, sandbox, "case_in_worker", "[sandbox run-forever]")
    run.wait_for_log("running")
    run.kill_process()
    run.wait("running", min_try=2)
    run.wait_for_log("Adopted task", try_number=2)
    run.change("finish")
    assert run.end() == "success"
    assert run.cost() == ONE_VIDEO


def test_a_scheduler_killed_with_its_workers_and_an_unanswered_submission_pays_once(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    sandbox.configure(answer_delay=20)
    run = Run(airflow, sandbox, "case_video", "loses its machine", conn="wan_gccai")
    run.wait_for_cost(lambda cost: cost.created == 1)
    airflow.kill("scheduler")
    sandbox.configure(answer_delay=0)
    airflow.repair()
    assert run.end() == "success"
    assert run.task()["try_number"] == 2
    assert run.cost() == Cost(created=1, billed=1)
