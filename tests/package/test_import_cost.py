"""What a DAG file costs the DAG processor, in modules (milliseconds depend on the machine: see ``benchmarks``)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_wan import durable

LIMIT = 40
PROBE = """
import json, sys
import airflow.sdk, httpx, pydantic
from airflow.sdk import DAG, BaseOperator, BaseOperatorLink, BaseSensorOperator
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
FOR_WORKERS = {
    "airflow_provider_wan.client.transport.client",
    "airflow_provider_wan.client.polling.poller",
    "airflow_provider_wan.delivery.landing",
    "airflow_provider_wan.durable.attempt",
    "airflow_provider_wan.hooks.wan",
    "airflow_provider_wan.worker.video",
    "airflow_provider_wan.triggers.wan",
}
"""What only a run needs."""


@pytest.mark.parametrize("room", ["operators.wan", "operators.batch", "sensors.wan"])
def test_importing_the_operators_costs_little(room: str) -> None:
    argv = [sys.executable, "-c", PROBE.format(module=f"airflow_provider_wan.{room}")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    loaded = json.loads(said.stdout.splitlines()[-1])
    assert f"airflow_provider_wan.{room}" in loaded
    assert set(loaded) & FOR_WORKERS == set()
    assert len(loaded) <= LIMIT, loaded


PLUGIN = """
import json, sys
import airflow.plugins_manager
from airflow.providers.common.compat.sdk import AirflowPlugin, conf
before = set(sys.modules)
from airflow_provider_wan.plugins.gallery import WanGalleryPlugin
assert WanGalleryPlugin().external_views
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_plugin_costs_other_processes_nothing_but_itself() -> None:
    """Scheduler, triggerer and DAG processor import it too; the app is for the API server alone."""
    said = subprocess.run([sys.executable, "-c", PLUGIN], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(json.loads(said.stdout.splitlines()[-1]))
    assert "airflow_provider_wan.plugins.gallery" in loaded
    assert loaded <= {
        "airflow_provider_wan",
        "airflow_provider_wan.links",
        "airflow_provider_wan.links.gallery",
        "airflow_provider_wan.plugins",
        "airflow_provider_wan.plugins.gallery",
    }


def test_a_task_that_only_finishes_loads_nothing_of_submitting_and_polling() -> None:
    """Each task is a process of its own: what it loads, every generation pays for twice."""
    code = (
        "import airflow_provider_wan.operators.wan, airflow_provider_wan.worker.video, sys;"
        "print([name for name in sys.modules if name.startswith('airflow_provider_wan.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for part in (
        "durable.attempt",
        "durable.paid_call",
        "client.polling.poller",
        "client.schedule",
        "triggers.wan",
        "worker.obtaining",
    ):
        assert f"'airflow_provider_wan.{part}'" not in found


def test_what_the_room_of_submissions_hands_out_is_there() -> None:
    for name in durable.__all__:
        assert getattr(durable, name) is not None
