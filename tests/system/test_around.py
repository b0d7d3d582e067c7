"""What stands around the operators: sensor, transfer, links, asset events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow_provider_wan.sandbox import Sandbox
from tools.local_airflow import LocalAirflow

from .runs import ONE_VIDEO, Cost, Run

STARTED = {
    "waited for": ("case_handed_over", "[sandbox hold]", {}),
    "given up": ("case_handed_over", "[sandbox hold]", {}),
    "failed": ("case_handed_over", "[sandbox fail=DataInspectionFailed]", {}),
}


def test_a_sensor_waits_deferred_and_shows_the_link_to_the_task(started: Callable[[str], Run]) -> None:
    run = started("waited for")
    run.wait("deferred", task_id="wait")
    handle = run.result("submit")
    assert set(handle) == {"vendor", "task_id", "mode", "model", "submitted_at", "request_id"}
    assert run.link("wait") == run.page("wait")
    run.change("release")
    run.wait("success", task_id="wait")
    assert run.link("wait") == run.page("wait")
    assert run.cost() == ONE_VIDEO


def test_a_sensor_that_is_given_up_never_cancels(started: Callable[[str], Run]) -> None:
    run = started("given up")
    run.wait("deferred", task_id="wait")
    run.mark_as("failed", task_id="wait")
    assert run.end() == "failed"
    run.change("release")
    assert run.wait_for_cost(lambda cost: cost.billed > 0) == ONE_VIDEO


def test_a_sensor_fails_at_once_when_its_task_fails_for_good(started: Callable[[str], Run]) -> None:
    run = started("failed")
    assert run.end() == "failed"
    assert "WanModerationError" in run.log("wait")
    assert run.cost() == Cost(created=1, billed=0)


def test_the_transfer_lands_a_result_once(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    """PowerTokens serves videos from its own API, with the key."""
    folder = airflow.home / "landed" / "transfer"
    run = Run(
        airflow, sandbox, "case_handed_over", "is handed over", conn="wan_powertokens", store_to=f"file://{folder}/"
    )
    assert run.end() == "success"
    result = run.result("store")
    assert Path(result["uri"].removeprefix("file://")).stat().st_size == result["bytes"]
    downloads = sandbox.ledger()["requests"]["powertokens"]["download"]
    run.clear("store")
    assert run.end() == "success"
    assert "The video is stored already" in run.log("store")
    assert run.result("store")["sha256"] == result["sha256"]
    assert sandbox.ledger()["requests"]["powertokens"]["download"] == downloads
    assert run.cost() == ONE_VIDEO


def test_asset_events_carry_the_small_fields_of_the_result(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    folder = airflow.home / "landed" / "asset"
    run = Run(airflow, sandbox, "case_video", "is announced", store_to=f"file://{folder}/")
    assert run.end() == "success"
    result = run.result()
    (event,) = airflow.rest.asset_events(source_dag_id="case_video", source_run_id=run.run_id)
    extra = event["extra"]
    names = ("task_id", "vendor", "model", "mode", "resolution", "ratio", "duration", "uri", "bytes", "sha256")
    assert {name: extra.get(name) for name in names} == {name: result[name] for name in names}
    assert "video_url" not in extra
    assert "prompt" not in extra
