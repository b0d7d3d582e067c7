"""One real Airflow and one sandbox for all system tests, mended between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import QUICK, VENDORS, explain, wan_connection

from airflow_provider_wan.sandbox import Sandbox
from tools.local_airflow import LocalAirflow
from tools.own_folder import own_folder

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, generation_seconds=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def shared_airflow(shared_sandbox: Sandbox) -> Iterator[LocalAirflow]:
    connections = {"wan_default": "dashscope"} | {f"wan_{vendor}": vendor for vendor in VENDORS}
    env = QUICK | {
        f"AIRFLOW_CONN_{conn_id.upper()}": wan_connection(shared_sandbox.url, vendor)
        for conn_id, vendor in connections.items()
    }
    folders = [CHECKOUT / "dags_examples", HERE / "dags"]
    with own_folder(CHECKOUT / ".run", "system-tests") as home:
        env["AIRFLOW_VAR_WAN_STORE"] = f"file://{home}/store"
        with LocalAirflow(home, folders, env=env) as airflow:
            yield airflow


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """The sandbox behind every `wan_*` connection, with an empty ledger and its first settings."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def airflow(shared_airflow: LocalAirflow) -> Iterator[LocalAirflow]:
    """The running Airflow; whatever the test kills, freezes or adds is mended after it."""
    before = len(shared_airflow.rest.triggered)
    yield shared_airflow
    shared_airflow.repair()
    for dag_id, run_id in shared_airflow.rest.triggered[before:]:
        if shared_airflow.rest.run(dag_id, run_id)["state"] not in ("success", "failed"):
            shared_airflow.rest.set_run_state(dag_id, run_id, "failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    airflow = getattr(item, "funcargs", {}).get("airflow")
    if report.when == "call" and report.failed and airflow is not None:
        started = item.stash.get(RUNS_BEFORE, 0)
        report.sections.append(("Airflow", explain(airflow, airflow.rest.triggered[started:])))
    return report


RUNS_BEFORE = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if airflow := getattr(item, "funcargs", {}).get("airflow"):
        item.stash[RUNS_BEFORE] = len(airflow.rest.triggered)
    return (yield)
