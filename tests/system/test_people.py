"""What a person does in the UI: clear, mark as failed, mark as success; and what it costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.airflow_rest import wait_until
from tools.local_airflow import LocalAirflow

from .harness import API_KEYS
from .runs import ONE_VIDEO, Cost, Run

Started = Callable[[str], Run]

HOLD = "[sandbox hold]"
SLOW_TO_CANCEL = "[sandbox hold cancel-delay=3]"
STARTED = {
    "cleared when finished": ("case_video", "a finished one", {}),
    "regenerated": ("case_video", "once more", {}),
    "cleared when deferred": ("case_video", HOLD, {}),
    "cancelled after its adoption": ("case_video", HOLD, {}),
    "mapped": ("case_mapped", "the same prompt for each", {}),
    "held at a vendor without cancels": ("case_video", HOLD, {"conn": "wan_gccai"}),
    "marked failed in queue": ("case_video", SLOW_TO_CANCEL, {}),
    "marked success in queue": ("case_video", SLOW_TO_CANCEL, {}),
    "marked failed running": ("case_video", "[sandbox run-forever]", {}),
    "run deleted": ("case_video", HOLD, {}),
    # A killed worker has two seconds for it.
    "marked failed in worker": ("case_in_worker", "[sandbox hold cancel-delay=1]", {}),
}


def test_trigger_kwargs_hold_no_prompt_and_no_key_and_the_link_shows_while_deferred(
    airflow: LocalAirflow, started: Started
) -> None:
    run = started("cleared when deferred")
    run.wait("deferred")
    task_id = run.vendor_tasks()[0]["task_id"]
    assert "trigger.kwargs" in airflow.database.columns_containing(task_id)
    for text in (run.mark, *API_KEYS.values()):
        assert "trigger.kwargs" not in airflow.database.columns_containing(text)
    assert run.record()["handle"]["task_id"] == task_id
    assert run.link() == run.page()


def test_a_cleared_finished_task_gives_the_same_result_unpaid(started: Started) -> None:
    run = started("cleared when finished")
    assert run.end() == "success"
    result = run.result()
    run.clear()
    assert run.end() == "success"
    assert run.task()["try_number"] == 2
    # Only the vendor's id of the last look at it is another one.
    assert run.result() | {"request_id": result["request_id"]} == result
    assert "nothing is paid again" in run.log()
    assert run.cost() == ONE_VIDEO


def test_regenerate_submits_once_more(started: Started) -> None:
    run = started("regenerated")
    assert run.end() == "success"
    former = run.result()["task_id"]
    run.clear(wish="regenerate")
    assert run.end() == "success"
    assert run.result()["task_id"] != former
    assert run.cost() == Cost(created=2, billed=2)


@pytest.mark.parametrize("name", ["cleared when deferred", "held at a vendor without cancels"])
def test_a_task_cleared_while_deferred_is_adopted(started: Started, name: str) -> None:
    """Or, when the kill of the former try reached it first, submitted once more: it is paid once in any case."""
    run = started(name)
    run.wait("deferred")
    run.clear()
    run.wait("deferred", min_try=2)
    assert "Adopted task" in run.log(try_number=2)
    run.change("release")
    assert run.end() == "success"
    cost = run.cost()
    assert cost.billed == 1
    assert cost.created == 1 + cost.cancelled


def test_an_adopted_task_that_comes_back_cancelled_is_submitted_once_more(started: Started) -> None:
    """As when the kill of the former try reaches it after the new one has adopted it."""
    run = started("cancelled after its adoption")
    run.wait("deferred")
    run.clear()
    run.wait("deferred", min_try=2)
    run.change("cancel")
    run.wait_for_cost(lambda cost: cost.created == 2)
    run.change("release")
    assert run.end() == "success"
    assert run.task()["try_number"] == 2
    assert "came back cancelled" in run.log()
    assert run.result()["task_id"] == run.vendor_tasks()[1]["task_id"]
    assert run.cost() == Cost(created=2, billed=1)


def test_each_mapped_task_has_its_own_record(airflow: LocalAirflow, started: Started) -> None:
    run = started("mapped")
    assert run.end() == "success"
    before = [airflow.rest.xcom(run.dag_id, run.run_id, "video", "task_id", index) for index in range(3)]
    assert len(set(before)) == 3
    run.clear()
    assert run.end() == "success"
    assert [airflow.rest.xcom(run.dag_id, run.run_id, "video", "task_id", index) for index in range(3)] == before
    assert run.cost() == Cost(created=3, billed=3)


@pytest.mark.parametrize(
    ("name", "state"), [("marked failed in queue", "failed"), ("marked success in queue", "success")]
)
def test_marking_a_deferred_task_cancels_the_queued_one_even_when_the_vendor_is_slow(
    airflow: LocalAirflow, started: Started, name: str, state: str
) -> None:
    run = started(name)
    run.wait("deferred")
    run.wait_for_trigger()
    run.mark_as(state)
    run.wait_for_cost(lambda cost: cost.cancelled > 0)
    # The vendor's answer comes after Airflow has closed the task's log; that it was asked stands there.
    run.wait_for_log("Cancelling task")
    said = f"{run.vendor_tasks()[0]['task_id']} was cancelled while queued: it is not billed"
    wait_until(lambda: said in airflow.component_log("triggerer", 10_000), 120, said)
    assert run.task()["state"] == state
    assert run.cost() == Cost(created=1, billed=0, cancelled=1)


def test_a_deleted_run_cancels_its_queued_task(airflow: LocalAirflow, started: Started) -> None:
    """Nobody will ever adopt it."""
    run = started("run deleted")
    run.wait("deferred")
    run.wait_for_trigger()
    airflow.rest.delete_run(run.dag_id, run.run_id)
    assert run.wait_for_cost(lambda cost: cost.cancelled > 0) == Cost(created=1, billed=0, cancelled=1)


def test_a_running_one_is_said_to_be_billed_and_the_next_run_adopts_it(started: Started) -> None:
    run = started("marked failed running")
    run.wait("deferred")
    run.wait_for_trigger()
    run.mark_as("failed")
    run.wait_for_log("runs on and will be billed")
    assert run.end() == "failed"
    run.clear()
    run.wait("deferred", min_try=2)
    assert "Adopted task" in run.log(try_number=2)
    run.change("finish")
    assert run.end() == "success"
    assert run.cost() == ONE_VIDEO


def test_marking_a_task_that_waits_in_its_worker_cancels_the_queued_one(started: Started) -> None:
    run = started("marked failed in worker")
    run.wait("running")
    run.wait_for_log("Submitted task")
    run.mark_as("failed")
    assert run.wait_for_cost(lambda cost: cost.cancelled > 0) == Cost(created=1, billed=0, cancelled=1)
