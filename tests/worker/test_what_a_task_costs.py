"""What one generation asks of Airflow: each read and write of the record is a call, each task a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.lineage import hook as compat

from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from tests.driving import KEY, Driven, Store

QUICK: dict[str, Any] = {"task_id": "make", "prompt": "A boat", "resolution": "720P", "duration": 2}


class CountingStore(Store):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter[str]()

    def get(self, key: str, default: Any = None) -> Any:
        self.calls["get"] += 1
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self.calls["set"] += 1
        super().set(key, value, retention=retention)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_process_that_finishes_reads_and_writes_its_record_once(
    sandbox: Sandbox, tmp_path: Path, is_stored: bool
) -> None:
    store = CountingStore()
    place = f"file://{tmp_path}/clip.mp4" if is_stored else None
    run = Driven(lambda: WanTextToVideoOperator(**QUICK, poll_interval=0.1, store_to=place), store)
    event = run.trigger(run.deferred())
    store.calls.clear()
    run.call("execute_complete", event=event)
    assert store.calls == {"get": 1, "set": 1}


def test_where_nothing_is_stored_nobody_is_asked_for_a_lineage_collector(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(compat, "get_hook_lineage_collector", lambda: asked.append(True))
    result = Driven(lambda: WanTextToVideoOperator(**QUICK, poll_interval=0.1)).run()
    assert result["video_url"]
    assert asked == []


def test_after_preloading_a_task_imports_nothing_more_of_this_package(sandbox: Sandbox, tmp_path: Path) -> None:
    code = f"""
import sys
from unittest import mock
with mock.patch("logging.Logger.warning") as warned:
    import airflow_provider_wan.worker.preload
assert not warned.called, warned.call_args_list
from tests.driving import Driven
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
before = set(sys.modules)
make = lambda: WanTextToVideoOperator(**{QUICK!r}, poll_interval=0.1, store_to="file://{tmp_path}/clip.mp4")
deferred = (run := Driven(make)).deferred()
submitted = set(sys.modules)
event = run.trigger(deferred)
waited = set(sys.modules)
run.call("execute_complete", event=event)
new = (submitted - before) | (set(sys.modules) - waited)
# Airflow itself loads the plugins, in each task.
ours = [name for name in new if name.startswith("airflow_provider_wan") and ".plugins" not in name]
print("new:", sorted(ours))
"""
    connection = f'{{"conn_type": "wan", "host": "{sandbox.url}", "password": "{KEY}"}}'
    env = os.environ | {"AIRFLOW_CONN_WAN_DEFAULT": connection}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=root, capture_output=True, text=True, check=False)
    assert "new: []" in done.stdout, done.stdout + done.stderr
