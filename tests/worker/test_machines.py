"""Paths that only one machine has are named before anything is paid, where tasks run on several."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.worker.machines import is_local, warn_of_local_paths
from tests.worker.test_operator_runs import driven

log = logging.getLogger("tests.machines")


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")


@pytest.mark.parametrize("path", ["file:///data/x", "/data/x", "clips/x.mp4", ObjectStoragePath("file:///data/x")])
def test_local_ones(path: Any) -> None:
    assert is_local(path)


@pytest.mark.parametrize("path", ["s3://aws_default@bucket/x", None, "", [{"prompt": "fox"}], 7])
def test_others(path: Any) -> None:
    assert not is_local(path)


@pytest.mark.usefixtures("several")
def test_each_is_named_with_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    given = {"ledger_path": "/data/ledger", "store_to": "s3://b/x", "requests": "file:///data/rows.csv"}
    warn_of_local_paths(given, log)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("ledger_path='/data/ledger' is on the machine of this worker, and CeleryExecutor")
    assert "pays again" in said[0]
    assert "does not find the rows" in said[1]


@pytest.mark.parametrize("executor", ["LocalExecutor", "airflow.executors.local_executor.LocalExecutor"])
def test_one_machine_needs_no_warning(
    executor: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    warn_of_local_paths({"store_to": "/data/x"}, log)
    assert not caplog.records


@pytest.mark.usefixtures("several")
def test_a_run_says_so_once_before_it_submits(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[Any, int]] = []

    def note(given: Any, _: Any) -> None:
        said.append((given, len(sandbox.ledger()["created"])))

    monkeypatch.setattr("airflow_provider_wan.worker.video.warn_of_local_paths", note)
    place = f"file://{tmp_path}/clip.mp4"
    driven(store_to=place).run()
    assert said == [({"ledger_path": None, "store_to": place}, 0)]
