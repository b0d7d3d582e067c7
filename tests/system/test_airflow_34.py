"""Clears on Airflow 3.4, which delete task state unless the person keeps it: the sandbox's books say what was paid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers.killed import CLEARS_DELETE_STATE, airflow_version

from .runs import ONE_VIDEO, Cost, Run

pytestmark = pytest.mark.skipif(airflow_version() < CLEARS_DELETE_STATE, reason="this Airflow's clears keep task state")

Started = Callable[[str], Run]

QUEUED, RUNNING, QUICK = "[sandbox hold]", "[sandbox run-forever]", "a boat"
PLACES = {"ledger": {"has_ledger": True}, "task state": {"has_ledger": False}}
WAYS = {"kept": True, "deleted": False}
"""What becomes of the task state, by the wish of the person who clears."""

CLEARED = {
    "queued": ("clear_video", QUEUED),
    "running": ("clear_video", RUNNING),
    "finished": ("clear_video", QUICK),
    "failed": ("clear_video", RUNNING),
    "batch": ("clear_batch", RUNNING),
    "batch without manifest": ("clear_batch_without_manifest", RUNNING),
}
each_way = [(place, way) for place in PLACES for way in WAYS]
FORGOTTEN = ("task state", "deleted")
CASES = {name: [FORGOTTEN] if name == "batch without manifest" else each_way for name in CLEARED}
STARTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    f"{name}, {place}, {way}": (*CLEARED[name], PLACES[place]) for name, ways in CASES.items() for place, way in ways
} | {f"loop, {place}": ("clear_loop", QUICK, given) for place, given in PLACES.items()}

in_each_way = pytest.mark.parametrize(("place", "way"), each_way)


@pytest.fixture(autouse=True, scope="module")
def roomy(runs_of_module: dict[str, Run], shared_sandbox: Sandbox) -> None:
    """As many run at the vendor as there are runs here."""
    shared_sandbox.configure(running_limit=200)


def is_forgotten(place: str, way: str) -> bool:
    return (place, way) == FORGOTTEN


def clear(run: Run, way: str) -> int:
    """Clear the task; return the number of its next try."""
    number = run.task()["try_number"] + 1
    run.clear(keep_task_state=WAYS[way])
    return int(number)


def finish_all(run: Run) -> None:
    for task in run.vendor_tasks():
        run.sandbox.change(task["task_id"], "finish")


def cleared_while_it_waits(run: Run, way: str) -> int:
    run.wait("deferred")
    run.wait_for_trigger()
    return clear(run, way)


@in_each_way
def test_a_task_that_waits_for_a_queued_one_is_paid_once(started: Started, place: str, way: str) -> None:
    """Where the trigger cannot know what the clear has kept, it cancels: what is queued is not billed."""
    run = started(f"queued, {place}, {way}")
    number = cleared_while_it_waits(run, way)
    if place == "ledger":
        run.wait("deferred", min_try=number)
        assert "Adopted task" in run.log()
    else:
        run.wait_for_cost(lambda cost: (cost.created, cost.cancelled) == (2, 1))
    run.change("release")
    assert run.end() == "success"
    assert run.cost() == (ONE_VIDEO if place == "ledger" else Cost(created=2, billed=1, cancelled=1))
    assert (AGAIN in run.log()) == is_forgotten(place, way)


@in_each_way
def test_a_task_that_waits_for_a_running_one_is_adopted_where_it_is_known(
    started: Started, place: str, way: str
) -> None:
    run = started(f"running, {place}, {way}")
    run.wait_for_cost(lambda cost: cost.created == 1)
    run.wait_until_it_runs()
    number = cleared_while_it_waits(run, way)
    run.wait("deferred", min_try=number)
    assert_told(run, place, way)
    finish_all(run)
    assert run.end() == "success"
    assert run.cost() == bill(1, place, way)


@in_each_way
def test_a_finished_task_is_paid_again_only_where_its_record_was_deleted(
    started: Started, place: str, way: str
) -> None:
    run = started(f"finished, {place}, {way}")
    assert run.end() == "success"
    former = run.result()["task_id"]
    number = clear(run, way)
    assert run.end() == "success"
    assert run.task()["try_number"] >= number
    assert (run.result()["task_id"] == former) != is_forgotten(place, way)
    assert (AGAIN in run.log()) == is_forgotten(place, way)
    assert run.cost() == bill(1, place, way)


@in_each_way
def test_a_failed_task_goes_on_where_its_record_is_there(started: Started, place: str, way: str) -> None:
    run = started(f"failed, {place}, {way}")
    run.wait("deferred")
    run.wait_for_trigger()
    run.wait_until_it_runs()
    run.mark_as("failed")
    run.wait_for_log("runs on and will be billed")
    assert run.end() == "failed"
    number = clear(run, way)
    run.wait("deferred", min_try=number)
    assert_told(run, place, way)
    finish_all(run)
    assert run.end() == "success"
    assert run.cost() == bill(1, place, way)


@pytest.mark.parametrize(
    ("name", "place", "way"),
    [(name, *one) for name in ("batch", "batch without manifest") for one in CASES[name]],
)
def test_a_batch_in_flight_is_paid_once_where_anything_is_known_of_it(
    started: Started, name: str, place: str, way: str
) -> None:
    run = started(f"{name}, {place}, {way}")
    run.wait_for_cost(lambda cost: cost.created == 3)
    run.wait_until_it_runs()
    number = cleared_while_it_waits(run, way)
    run.wait("deferred", min_try=number)
    finish_all(run)
    assert run.end() == "success"
    is_known = name == "batch" or not is_forgotten(place, way)
    assert run.cost() == (Cost(3, 3) if is_known else Cost(6, 6))
    assert run.result()["succeeded"] == 3


@pytest.mark.parametrize("place", PLACES)
def test_each_iteration_of_a_loop_is_a_video_of_its_own(started: Started, place: str) -> None:
    run = started(f"loop, {place}")
    assert run.end() == "success"
    prompts = sorted(task["prompt"] for task in run.vendor_tasks())
    assert len(set(prompts)) == 3
    assert run.cost() == Cost(3, 3)


def test_a_loop_that_is_cleared_pays_nothing_again_with_a_ledger(started: Started) -> None:
    run = started("loop, ledger")
    assert run.end() == "success"
    run.clear("takes.video")
    assert run.end() == "success"
    assert run.cost() == Cost(3, 3)


AGAIN = "may be paid again"


def assert_told(run: Run, place: str, way: str) -> None:
    log = run.log()
    assert ("Adopted task" in log) != is_forgotten(place, way)
    assert (AGAIN in log) == is_forgotten(place, way)


def bill(videos: int, place: str, way: str) -> Cost:
    """What is paid, where a running or finished task is known or forgotten."""
    times = 2 if is_forgotten(place, way) else 1
    return Cost(videos * times, videos * times)
