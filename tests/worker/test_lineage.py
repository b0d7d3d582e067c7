"""What lineage tools are told: where a video came from and where it lies, and nothing secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.lineage import hook as compat
from airflow.providers.common.compat.sdk import HookLineageCollector

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanImageToVideoOperator, WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from airflow_provider_wan.worker import lineage
from airflow_provider_wan.worker.lineage import DatasetPlace, place_of
from tests.driving import Driven

QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P", "duration": 3}
SIGNED = "https://media.example.com/fox.png?X-Signature=abc"

PLACES = [
    ("s3://aws_default@bucket/clips/1.mp4", DatasetPlace("s3://bucket", "clips/1.mp4"), "s3://bucket/clips/1.mp4"),
    ("file:///data/1.mp4", DatasetPlace("file", "/data/1.mp4"), "file:///data/1.mp4"),
    ("/data/1.mp4", DatasetPlace("file", "/data/1.mp4"), "file:///data/1.mp4"),
    (SIGNED, DatasetPlace("https://media.example.com", "fox.png"), "https://media.example.com/fox.png"),
]


@pytest.mark.parametrize(("address", "place", "uri"), PLACES)
def test_an_address_has_no_connection_and_no_signature(address: str, place: DatasetPlace, uri: str) -> None:
    assert place_of(address) == place
    assert place.uri == uri


@pytest.mark.parametrize("address", ["fox.png", "data:image/png;base64,AAAA", "", "s3:///nothing", None])
def test_what_is_no_place_is_left_out(address: object) -> None:
    assert place_of(address) is None


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    """Airflow's own collector, as it is where a lineage reader is installed."""
    collector = HookLineageCollector()
    monkeypatch.setattr(compat, "get_hook_lineage_collector", lambda: collector)
    try:
        from airflow.sdk import lineage as of_paths
    except ImportError:  # Airflow before 3.2
        import airflow.lineage.hook as of_paths
    monkeypatch.setattr(of_paths, "get_hook_lineage_collector", lambda: collector)
    return collector


def told(collector: HookLineageCollector) -> tuple[set[str], set[str]]:
    found = collector.collected_assets
    return {item.asset.uri for item in found.inputs}, {item.asset.uri for item in found.outputs}


def test_hook_lineage_knows_the_input_and_the_landed_file(
    sandbox: Sandbox, collector: HookLineageCollector, tmp_path: Path
) -> None:
    target = f"file://{tmp_path}/clip.mp4"
    Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=SIGNED, store_to=target)).run()
    assert told(collector) == ({"https://media.example.com/fox.png"}, {target})


def test_a_batch_names_its_manifest_and_videos(
    sandbox: Sandbox, collector: HookLineageCollector, tmp_path: Path
) -> None:
    rows: Any = [{"prompt": "A boat", "id": "a"}, {"prompt": "A kite", "id": "b"}]
    options: dict[str, Any] = {
        "defaults": {"resolution": "720P", "duration": 2},
        "poll_interval": 0.1,
        "store_to": f"file://{tmp_path}/{{id}}.mp4",
        "manifest_path": f"file://{tmp_path}/manifest.jsonl",
    }
    Driven(lambda: WanVideoBatchOperator(task_id="make", requests=rows, **options)).run()
    _, outputs = told(collector)
    assert outputs == {f"file://{tmp_path}/{name}" for name in ("a.mp4", "b.mp4", "manifest.jsonl")}


def test_openlineage_gets_datasets_with_sizes_and_the_vendors_task(sandbox: Sandbox, tmp_path: Path) -> None:
    extractors = pytest.importorskip("airflow.providers.openlineage.extractors.base")
    target = f"file://{tmp_path}/clip.mp4"
    run = Driven(lambda: WanImageToVideoOperator(**QUICK, first_frame=SIGNED, store_to=target))
    result = run.run()
    found = extractors.DefaultExtractor(run.operator).extract_on_complete(run.instance)
    assert [(item.namespace, item.name) for item in found.inputs] == [("https://media.example.com", "fox.png")]
    (output,) = found.outputs
    assert (output.namespace, output.name) == ("file", f"{tmp_path}/clip.mp4")
    assert output.outputFacets["outputStatistics"].size == result["bytes"]
    assert found.run_facets["externalQuery"].externalQueryId == result["task_id"]
    assert found.run_facets["externalQuery"].source == "dashscope"
    assert "abc" not in str(found)


def test_openlineage_asks_the_transfer_too(sandbox: Sandbox, tmp_path: Path) -> None:
    extractors = pytest.importorskip("airflow.providers.openlineage.extractors.base")
    made = Driven(lambda: WanTextToVideoOperator(**QUICK, prompt="A boat")).run()
    target = f"file://{tmp_path}/"
    run = Driven(lambda: WanVideoToObjectStorageOperator(task_id="store", result=made, store_to=target))
    stored = run.run()
    found = extractors.DefaultExtractor(run.operator).extract_on_complete(run.instance)
    assert [item.name for item in found.outputs] == [stored["uri"].removeprefix("file://")]


def test_an_operator_that_has_not_run_has_no_lineage() -> None:
    pytest.importorskip("airflow.providers.openlineage.extractors.base")
    operator = WanTextToVideoOperator(task_id="make", prompt="A boat")
    found = operator.get_openlineage_facets_on_complete(None)
    assert (found.inputs, found.outputs) == ([], [])


def test_trouble_with_lineage_is_no_trouble_of_the_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("no collector")

    monkeypatch.setattr(lineage, "_collect", broken)
    target = f"file://{tmp_path}/clip.mp4"
    assert Driven(lambda: WanTextToVideoOperator(**QUICK, prompt="A boat", store_to=target)).run()["uri"] == target
