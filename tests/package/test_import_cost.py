"""What a DAG file costs the DAG processor, in modules (milliseconds depend on the machine: see ``benchmarks``)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
