"""Each example DAG, as it stands, on real Airflow processes against the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.airflow_rest import wait_until
from tools.local_airflow import LocalAirflow

from .harness import API_KEYS

FOLDER = Path(__file__).resolve().parents[2] / "dags_examples"

# How many generations a vendor bills for one run of each example.
BILLED = {
    "wan_batch": 5,
    "wan_campaign": 4,
    "wan_chain": 3,
    "wan_costs": 1,
    "wan_decorator": 1,
    "wan_demo": 8,
    "wan_image_to_video": 1,
    "wan_picture": 2,
    "wan_product_pictures": 3,
    "wan_reference_to_video": 1,
    "wan_sensor": 1,
    "wan_store": 1,
    "wan_text_to_video": 1,
    "wan_video_edit": 1,
}
# What two of them order, ``wan_demo`` and ``wan_text_to_video``.
BOAT = "A paper boat sails down a rainy street at dusk, neon signs mirrored in the puddles"
# Examples that nobody triggers: an asset that another one updates does.
WOKEN_BY = {"wan_publish": "wan_store", "wan_bookkeeping": "wan_costs"}
# The example that waits for a person's answer.
ASKED = "wan_approval"


def test_every_example_is_imported_and_has_its_row_here(airflow: LocalAirflow) -> None:
    files = {path.name for path in FOLDER.glob("*.py")}

    def examples() -> dict[str, str]:
        dags = airflow.rest.get("/dags", limit=100)["dags"]
        return {dag["dag_id"]: Path(dag["fileloc"]).name for dag in dags if Path(dag["fileloc"]).parent == FOLDER}

    wait_until(lambda: files <= {*examples().values(), *_failed(airflow)}, 60, f"{files} are looked at")
    assert airflow.rest.import_errors() == {}
    assert set(examples()) == {*BILLED, *WOKEN_BY, ASKED}


@pytest.fixture(scope="module")
def runs(shared_airflow: LocalAirflow, shared_sandbox: Sandbox) -> dict[str, str]:
    """One run of each example, all triggered together: they wait side by side."""
    shared_sandbox.reset()
    return {dag_id: shared_airflow.rest.trigger(dag_id) for dag_id in BILLED}


@pytest.mark.parametrize("dag_id", BILLED)
def test_example_succeeds(airflow: LocalAirflow, runs: dict[str, str], dag_id: str) -> None:
    assert airflow.rest.wait_for_run(dag_id, runs[dag_id], timeout=300) == "success"


def test_each_generation_of_the_examples_is_billed_once(
    airflow: LocalAirflow, shared_sandbox: Sandbox, runs: dict[str, str]
) -> None:
    """What each example is billed for on its own is in ``tests/package/test_example_dags.py``."""
    for dag_id, run_id in runs.items():
        airflow.rest.wait_for_run(dag_id, run_id, timeout=300)
    ledger = shared_sandbox.ledger()
    assert len(ledger["created"]) == len(ledger["billed"]) == sum(BILLED.values())
    assert {group["prompt"]: len(group["task_ids"]) for group in ledger["duplicates"]} == {BOAT: 2}
    assert airflow.places_of(API_KEYS["dashscope"]) == []


@pytest.mark.parametrize(("dag_id", "source"), WOKEN_BY.items())
def test_example_is_woken_by_the_asset_of_another(
    airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, source: str
) -> None:
    airflow.rest.unpause(dag_id)
    before = len(airflow.rest.runs(dag_id))
    run_id = airflow.rest.trigger(source)
    assert airflow.rest.wait_for_run(source, run_id) == "success"
    woken = wait_until(lambda: airflow.rest.runs(dag_id)[before:], 30, f"{dag_id} is woken")
    airflow.rest.triggered.append((dag_id, woken[0]["dag_run_id"]))
    assert airflow.rest.wait_for_run(dag_id, woken[0]["dag_run_id"]) == "success"


@pytest.mark.parametrize(("option", "state", "billed"), [("Approve", "success", 1), ("Reject", "skipped", 0)])
def test_example_pays_only_what_a_person_approves(
    airflow: LocalAirflow, sandbox: Sandbox, option: str, state: str, billed: int
) -> None:
    run_id = airflow.rest.trigger(ASKED)
    airflow.rest.wait_for_task(ASKED, run_id, "approve", {"awaiting_input"})
    # Airflow fails a task that goes on before the scheduler has heard that it paused; no person is as quick.
    heard = f"TaskInstance Finished: dag_id={ASKED}, task_id=approve, run_id={run_id},"
    wait_until(lambda: heard in airflow.component_log("scheduler", 10_000), 60, heard)
    assert sandbox.ledger()["created"] == []
    question = airflow.rest.answer(ASKED, run_id, "approve", option)
    assert "Estimated cost: 0.50 USD" in question["body"]
    assert airflow.rest.wait_for_run(ASKED, run_id) == "success"
    assert airflow.rest.task(ASKED, run_id, "video")["state"] == state
    ledger = sandbox.ledger()
    assert len(ledger["created"]) == len(ledger["billed"]) == billed


def _failed(airflow: LocalAirflow) -> set[str]:
    return {Path(name).name for name in airflow.rest.import_errors()}
