"""Whole runs: every vendor, every mode, with and without a store, in the triggerer and in the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds
from .rounds import Rounds, row

IMAGE, CLIP = "https://x.example.com/a.png", "https://x.example.com/a.mp4"
MIXED = [
    row("a heron lands", id="t"),
    row("it flies off", id="i", mode="image_to_video", first_frame=IMAGE),
    row("image1 walks", id="r", mode="reference_to_video", reference_images=[IMAGE]),
    row("make it night", id="e", mode="video_edit", video=CLIP),
]

TAKEN = {"freepik": "ti", "powertokens": "tir", "openai": "ti"}
"""The modes that a vendor has."""


def shots(count: int, **more: Any) -> list[dict[str, Any]]:
    return [row(f"shot {number:03d}", **more) for number in range(count)]


def pays_once(batch: Rounds, count: int) -> None:
    assert len(batch.billed) == len(set(batch.billed)) == count
    assert len(batch.created) == count


@pytest.mark.parametrize("deferrable", [True, False])
def test_mixed_modes_at_every_vendor(rounds: MakeRounds, vendor: str, deferrable: bool, tmp_path: Any) -> None:
    rows = [item for item in MIXED if item["id"] in TAKEN.get(vendor, "tire")]
    given = {"wan_conn_id": f"wan_{vendor}", "store_to": f"file://{tmp_path}/clips", "deferrable": deferrable}
    batch = rounds(rows, **given)
    summary = batch.run()
    assert summary["counts"] == {"succeeded": len(rows)}
    assert len(batch.billed) == len(rows)
    for line in batch.manifest:
        path = ObjectStoragePath(line["uri"])
        assert line["status"] == "succeeded"
        assert path.stat().st_size == line["bytes"]
        assert path.name == f"{line['id']}.mp4"


def test_the_window_is_kept_and_refilled(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds(shots(25), max_in_flight=6)
    batch.run()
    pays_once(batch, 25)
    assert batch.driven is not None
    assert max(len(step.kwargs["window"]) for step in batch.driven.steps) <= 6
    assert [line["id"] for line in batch.manifest] == [str(number) for number in range(1, 26)]


@pytest.mark.parametrize("durable", [True, False])
def test_without_a_store_the_book_travels_with_the_trigger(rounds: MakeRounds, durable: bool, tmp_path: Any) -> None:
    batch = rounds(shots(9), max_in_flight=4, durable=durable, store_to=f"file://{tmp_path}/clips")
    if durable:
        batch.store = None
    summary = batch.run()
    pays_once(batch, 9)
    assert summary["counts"] == {"succeeded": 9}
    assert all("uri" in item for item in summary["items"])
    assert batch.driven is not None
    assert all(not step.kwargs["durable"] and step.event["carry"] for step in batch.driven.steps)


def test_nothing_secret_and_no_prompt_goes_to_the_triggerer_or_the_store(rounds: MakeRounds) -> None:
    batch = rounds(shots(3, negative_prompt="blurry"))
    batch.run()
    assert batch.driven is not None
    assert batch.store is not None
    texts = [str(step.kwargs) + str(step.event) for step in batch.driven.steps] + list(batch.store.rows.values())
    for text in texts:
        assert "sk-rooms" not in text
        assert "shot 0" not in text
        assert "blurry" not in text


def test_a_finished_batch_costs_nothing_when_it_runs_again(rounds: MakeRounds, tmp_path: Any) -> None:
    batch = rounds(shots(4), store_to=f"file://{tmp_path}/clips")
    first = batch.run()
    requests = batch.sandbox.ledger()["requests"]
    assert batch.cleared().run() == first
    assert batch.sandbox.ledger()["requests"] == requests


def test_progress_is_in_the_task_state(rounds: MakeRounds) -> None:
    batch = rounds(shots(3))
    batch.run()
    assert batch.store is not None
    progress = batch.store.get("wan_progress")
    costs = [{"amount": 0.6, "currency": "USD", "basis": "usage", "videos": 3}]
    assert progress == {"total": 3, "succeeded": 3, "costs": costs}


def test_a_manifest_that_cannot_be_written_is_known_before_anything_is_paid(rounds: MakeRounds, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    batch = rounds(shots(2), manifest_path=f"file://{tmp_path}/file/manifest.jsonl")
    assert "manifest" in str(batch.fails())
    assert batch.posts() == {}


def test_the_parts_of_an_event_that_do_not_fit_come_with_the_next(
    rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wan.client.polling.window.MOST_ENDINGS", 3)
    batch = rounds(shots(10))
    batch.run()
    pays_once(batch, 10)
    assert batch.driven is not None
    assert [len(step.event["endings"]) for step in batch.driven.steps] == [3, 3, 3, 1]


def test_an_event_that_comes_twice_or_is_not_understood_does_no_harm(rounds: MakeRounds) -> None:
    batch = rounds(shots(2))
    attempt = batch.attempt()
    event = attempt.trigger(attempt.deferred())
    attempt.call("execute_round", event=event)
    again = attempt.call("execute_round", event=event)
    assert again["counts"] == {"succeeded": 2}
    with pytest.raises(Exception, match="not understood"):
        attempt.call("execute_round", event={"endings": {"x": {"status": "dancing"}}})
    pays_once(batch, 2)


@pytest.mark.parametrize(
    ("name", "value"), [("max_in_flight", "0"), ("max_in_flight", "many"), ("poll_interval", "x"), ("timeout", "soon")]
)
def test_rendered_values_that_make_no_sense_are_refused_by_name(rounds: MakeRounds, name: str, value: str) -> None:
    batch = rounds(shots(1), **{name: value})
    assert name in str(batch.fails())
    assert batch.posts() == {}


def test_outlets_get_the_counts_and_an_alias_becomes_each_stored_video(rounds: MakeRounds, tmp_path: Path) -> None:
    from airflow.sdk import Asset, AssetAlias

    class Event:
        def __init__(self) -> None:
            self.extra: dict[str, Any] = {}
            self.added: dict[str, Any] = {}

        def add(self, asset: Asset, extra: dict[str, Any]) -> None:
            self.added[asset.uri] = extra

    class Events(dict[str, Event]):
        """By name: before Airflow 3.2 an asset with extras cannot be a key."""

        def __getitem__(self, outlet: Any) -> Event:
            return self.setdefault(f"{type(outlet).__name__} {outlet.name}", Event())

    folder, alias = Asset("s3://bucket/clips"), AssetAlias("clips")
    batch = rounds([row("a"), row("b", seed=4)], store_to=f"file://{tmp_path}/clips", outlets=[folder, alias])
    events: Any = Events()
    attempt = batch.attempt()
    attempt.context["outlet_events"] = events
    attempt.run()
    assert events[folder].extra["succeeded"] == 2
    assert events[folder].extra["cost"] == {"amount": 0.4, "currency": "USD", "basis": "usage"}
    assert [extra["cost"]["amount"] for extra in events[alias].added.values()] == [0.2, 0.2]
    assert sorted(uri.rsplit("/")[-1] for uri in events[alias].added) == ["1.mp4", "2.mp4"]
    assert [extra.get("seed") for _, extra in sorted(events[alias].added.items())] == [None, 4]
    assert "prompt" not in str(events[alias].added)


def test_the_manifest_has_usage_and_times(rounds: MakeRounds) -> None:
    batch = rounds([row("a")])
    batch.run()
    (line,) = batch.manifest
    assert line["usage"]
    assert line["started_at"] <= line["finished_at"]
