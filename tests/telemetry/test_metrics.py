"""What Airflow's own statistics client sends, read off a UDP socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import pytest

from airflow_provider_wan.client import observers
from airflow_provider_wan.client.errors import WanTaskFailed
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.telemetry import metrics
from airflow_provider_wan.telemetry.metrics import Metric

# All scenarios are forked off one process.
pytestmark = pytest.mark.xdist_group("metrics")
DASHSCOPE = {"vendor": "dashscope", "model": "wan2.7-t2v"}


@dataclass
class Received:
    """Metrics of this provider by name: their values, and the tags of the last one."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, packet: str) -> None:
        for line in packet.splitlines():
            name, value = line.rsplit(":", 1)
            parts = name.removeprefix("airflow.").split(",")
            if parts[0].startswith("wan."):
                self.values[parts[0]].append(float(value.split("|")[0]))
                self.tags[parts[0]] = dict(part.split("=", 1) for part in parts[1:])

    def sum(self, name: str) -> float:
        return sum(self.values[name])


class Runner:
    """Runs scenarios in processes whose Airflow sends its metrics here, or none."""

    def __init__(self, is_on: bool) -> None:
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))
        self.sink.setblocking(False)
        metrics = {
            "AIRFLOW__METRICS__STATSD_ON": str(is_on),
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.sink.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }
        command = [sys.executable, "-m", "tests.telemetry.measured_run"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | metrics
        )

    def __call__(self, scenario: str) -> Received:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"scenario": scenario, "variables": dict(os.environ)}) + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == 0
        received = Received()
        while True:
            try:
                received.take(self.sink.recv(65536).decode())
            except BlockingIOError:
                return received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)
        self.sink.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(is_on=True) as runner:
        yield runner


@pytest.fixture
def run(sandbox: Sandbox, runner: Runner) -> Runner:
    return runner


def test_one_video_is_counted_once_with_its_cost_and_times(run: Runner) -> None:
    seen = run("video")
    assert seen.values[Metric.SUBMITTED] == [1]
    assert seen.values[Metric.BILLED_SECONDS] == [5]
    assert seen.values[Metric.COST] == [0.5]
    assert seen.tags[Metric.COST] == DASHSCOPE | {"currency": "USD"}
    assert seen.sum(Metric.QUERIES) >= 1
    assert seen.tags[Metric.QUERIES]["vendor"] == "dashscope"
    for timer in (Metric.QUEUE_TIME, Metric.RUN_TIME, Metric.DETECTION_TIME):
        assert len(seen.values[timer]) == 1
        assert seen.tags[timer] == DASHSCOPE
    assert 0 <= seen.sum(Metric.DETECTION_TIME) < 30_000
    assert not {Metric.ADOPTED, Metric.RECOVERED, Metric.THROTTLED} & seen.values.keys()


def test_a_second_attempt_adopts_and_costs_nothing(run: Runner) -> None:
    seen = run("retried")
    assert seen.values[Metric.SUBMITTED] == [1]
    assert seen.values[Metric.ADOPTED] == [1, 1]
    assert seen.values[Metric.COST] == [0.5]


def test_a_failure_is_counted_by_its_class(run: Runner) -> None:
    seen = run("refused")
    assert seen.values["wan.failed.WanModerationError"] == [1]
    assert seen.tags["wan.failed.WanModerationError"] == DASHSCOPE
    assert Metric.COST not in seen.values


def test_a_batch_counts_its_rows(run: Runner) -> None:
    seen = run("batch")
    assert seen.sum(Metric.SUBMITTED) == 3
    assert seen.sum(Metric.COST) == 1.0
    assert seen.sum("wan.failed.WanModerationError") == 1
    assert len(seen.values[Metric.DETECTION_TIME]) == 3


def test_a_lost_answer_that_is_found_is_recovered(run: Runner) -> None:
    seen = run("lost")
    assert seen.values[Metric.RECOVERED] == [1]
    assert Metric.SUBMITTED not in seen.values


def test_refusals_for_too_many_requests_are_counted_also_where_a_repeat_passes(run: Runner) -> None:
    seen = run("throttled")
    assert seen.values[Metric.THROTTLED] == [1]
    assert seen.tags[Metric.THROTTLED] == DASHSCOPE
    assert seen.values[Metric.SUBMITTED] == [1]


def test_nothing_is_sent_where_statistics_are_off(sandbox: Sandbox) -> None:
    with Runner(is_on=False) as run:
        assert run("video").values == {}
    assert len(sandbox.ledger()["billed"]) == 1


def test_where_statistics_are_off_nobody_observes_the_clients(sandbox: Sandbox) -> None:
    metrics.statistics.cache_clear()
    WanHook()
    assert metrics.statistics() is None
    assert observers.observers == []


def test_trouble_with_statistics_is_no_trouble_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise OSError("no such host")

    monkeypatch.setattr(metrics, "statistics", Broken)
    metrics.failed(WanTaskFailed("no"), "dashscope")
    metrics.OBSERVER.ended(VideoTask(task_id="t", vendor="dashscope", status=TaskStatus.SUCCEEDED))
