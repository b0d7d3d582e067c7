"""A triggerer that dies or stalls with tasks in flight: nothing is submitted again, nothing is cancelled."""

from __future__ import annotations

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.airflow_rest import wait_until
from tools.local_airflow import LocalAirflow

from .harness import VENDORS
from .runs import ONE_VIDEO, Run


@pytest.fixture
def held(airflow: LocalAirflow, sandbox: Sandbox) -> list[Run]:
    """One deferred task at each vendor, whose generation does not begin before it is released."""
    runs = [Run(airflow, sandbox, "case_video", "[sandbox hold]", conn=f"wan_{vendor}") for vendor in VENDORS]
    for run in runs:
        run.wait("deferred")
        run.wait_for_trigger()
    return runs


def _all_succeed_paid_once(runs: list[Run], sandbox: Sandbox) -> None:
    for run in runs:
        run.change("release")
    assert [run.end() for run in runs] == ["success"] * len(runs)
    assert [run.task()["try_number"] for run in runs] == [1] * len(runs)
    assert [run.cost() for run in runs] == [ONE_VIDEO] * len(runs)
    assert sandbox.ledger()["cancels"] == []


def test_a_killed_triggerer_loses_nothing(airflow: LocalAirflow, sandbox: Sandbox, held: list[Run]) -> None:
    airflow.kill("triggerer")
    airflow.start_component("triggerer")
    airflow.wait_until_healthy()
    _all_succeed_paid_once(held, sandbox)


def test_a_triggerer_that_was_frozen_and_replaced_cancels_nothing(
    airflow: LocalAirflow, sandbox: Sandbox, held: list[Run]
) -> None:
    former = {run.wait_for_trigger() for run in held}
    airflow.freeze("triggerer")
    airflow.start_component("triggerer", alias="triggerer-2")
    for run in held:
        wait_until(lambda run=run: run.wait_for_trigger() not in former, 180, "the second triggerer took over")
    airflow.thaw("triggerer")
    # It notices that its triggers have moved, and kills its own copies of them.
    for run in held:
        run.wait_for_log("is left alone")
    _all_succeed_paid_once(held, sandbox)
