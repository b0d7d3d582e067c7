"""Where Airflow's tracing is on, a generation is a span in the trace of its task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.telemetry import traces
from tests.telemetry.measured_run import video

otel = pytest.importorskip("opentelemetry.trace")
sdk = pytest.importorskip("opentelemetry.sdk.trace")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The spans that end while the fixture lives; a provider cannot be replaced, so the module gets one of its own."""
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr(otel, "get_tracer", provider.get_tracer)
    with provider.get_tracer("airflow").start_as_current_span("worker.make"):
        yield exporter


def test_the_generation_is_a_span_below_the_airflow_task(sandbox: Sandbox, spans: Any) -> None:
    result = video().run()
    (span,) = spans.get_finished_spans()
    assert span.name == traces.SPAN
    assert span.parent is not None
    assert span.attributes["wan.task_id"] == result["task_id"]
    assert span.attributes["wan.model"] == "wan2.7-t2v"
    submitted = VideoTask.model_validate(result).submitted_at
    assert submitted is not None
    assert span.start_time == int(submitted.timestamp() * 1e9)
    assert span.end_time > span.start_time
    assert [event.name for event in span.events] == ["wan.started"]
    around: Any = otel.get_current_span()
    assert [event.name for event in around.events] == ["wan.submitted"]


def test_nothing_is_traced_where_nobody_listens(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "get_tracer", lambda *_: pytest.fail("a span was begun"))
    video().run()
