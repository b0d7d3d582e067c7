"""One sandbox for all tests here, connections to it for each vendor, one Airflow database when a test needs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk import DAG

from airflow_provider_wan.sandbox import Sandbox
from tests.driving import KEY, VENDORS


def connection_json(url: str, vendor: str, key: str = KEY, **extra: object) -> str:
    """A ``wan`` connection in the JSON form of AIRFLOW_CONN_ variables."""
    return json.dumps({"conn_type": "wan", "host": url, "password": key, "extra": {"vendor": vendor, **extra}})


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.1, render="small", api_keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox with empty books, behind the connections ``wan_default`` (DashScope) and ``wan_<vendor>``."""
    shared_sandbox.reset()
    monkeypatch.setenv("AIRFLOW_CONN_WAN_DEFAULT", connection_json(shared_sandbox.url, "dashscope"))
    for vendor in VENDORS:
        monkeypatch.setenv(
            f"AIRFLOW_CONN_WAN_{vendor.upper()}", connection_json(shared_sandbox.base_url(vendor), vendor)
        )
    return shared_sandbox


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


HERE = Path(__file__).resolve().parent
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
DAG_FOLDERS = {"examples": HERE.parent / "dags_examples", "rooms": HERE / "package" / "dags"}


@pytest.fixture(scope="session")
def dags() -> dict[str, DAG]:
    """All DAGs of the examples and of the tests here, to look at."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1 has it elsewhere
        from airflow.models.dagbag import DagBag

    found: dict[str, DAG] = {}
    for folder in DAG_FOLDERS.values():
        bag = DagBag(folder)
        assert bag.import_errors == {}
        found |= bag.dags
    return found


@pytest.fixture(scope="session")
def airflow_database() -> Path:
    """Airflow's database, made once: what ``dag.test()`` needs."""
    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("dag.test() before Airflow 3.3 may queue a deferred task for ever; its operators are driven here")
    bundles = [
        {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(path)}} for name, path in DAG_FOLDERS.items()
    ]
    os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(bundles)
    from airflow.utils.db import initdb

    initdb()
    return Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"


@pytest.fixture
def runnable(dags: dict[str, DAG], airflow_database: Path) -> dict[str, DAG]:
    """The same DAGs, to run by ``dag.test()``."""
    return dags
