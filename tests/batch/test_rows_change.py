"""A person changes rows and clears the task: what has not changed is not paid again, and no video is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds, connect
from .rounds import CountingStore, Rounds, row


def contents(batch: Rounds) -> dict[str, str]:
    """By prompt, the SHA-256 of the file that the manifest names, read from the file itself."""
    import hashlib

    found = {}
    for line in batch.manifest:
        content = ObjectStoragePath(line["uri"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (line["bytes"], line["sha256"])
        found[line["prompt"]] = line["sha256"]
    return found


@pytest.fixture
def stored(rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path) -> Rounds:
    """Three rows without ids, made and stored under their numbers; their videos differ."""
    batch = rounds(
        [row("one", duration=2), row("two", duration=3), row("three", duration=4)], store_to=f"file://{tmp_path}/clips"
    )
    batch.run()
    assert len(set(contents(batch).values())) == 3
    return batch


def test_a_changed_row_is_paid_alone(stored: Rounds) -> None:
    before = contents(stored)
    rows = [*stored.rows[:2], row("three, at night", duration=5)]
    stored.cleared(rows).run()
    assert stored.billed == sorted(["one", "two", "three", "three, at night"])
    after = contents(stored)
    assert {name: after[name] for name in ("one", "two")} == {name: before[name] for name in ("one", "two")}


@pytest.mark.parametrize(
    "order", [[2, 1, 0], [1, 2, 0], [0, 2, 1], [1, 2], [0]], ids=lambda order: "".join(map(str, order))
)
def test_rows_that_move_or_go_take_their_videos_along(stored: Rounds, order: list[int]) -> None:
    before = contents(stored)
    rows = [stored.rows[place] for place in order]
    summary = stored.cleared(rows).run()
    assert summary["counts"] == {"succeeded": len(order)}
    assert len(stored.billed) == 3
    assert contents(stored) == {item["prompt"]: before[item["prompt"]] for item in rows}
    assert [line["uri"].rsplit("/")[-1] for line in stored.manifest] == [f"{n + 1}.mp4" for n in range(len(order))]


def test_a_row_put_in_front_does_not_land_on_the_others(stored: Rounds) -> None:
    before = contents(stored)
    stored.cleared([row("zero", duration=5), *stored.rows]).run()
    assert stored.billed == sorted(["zero", "one", "two", "three"])
    after = contents(stored)
    assert {name: after[name] for name in before} == before


def test_a_folder_that_changes_gets_copies(stored: Rounds, tmp_path: Path) -> None:
    before = contents(stored)
    stored.cleared(store_to="memory://elsewhere/{index}-{id}.mp4").run()
    assert contents(stored) == before
    assert all(line["uri"].startswith("memory://elsewhere/") for line in stored.manifest)
    assert len(stored.billed) == 3
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 3


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_video_that_was_overwritten_is_not_taken_for_stored(
    stored: Rounds, is_alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stored.rows
    stored.cleared([row("another", duration=5), *first[1:]]).run()
    if not is_alive:
        for task in stored.sandbox.tasks():
            stored.sandbox.change(task["task_id"], "expire")
    batch = stored.cleared(first)
    if is_alive:
        batch.run()
        assert len(contents(batch)) == 3
        assert len(batch.billed) == 4
    else:
        error = batch.fails()
        assert "although it lives until" in str(error)
        assert batch.statuses == {"1": "not_stored", "2": "succeeded", "3": "succeeded"}
        assert batch.billed.count("one") == 1
        monkeypatch.setattr("airflow_provider_wan.batch.records.utc_now", lambda: utc_now() + timedelta(days=2))
        batch.cleared().run()
        assert batch.billed.count("one") == 2


def test_a_crash_while_videos_move_loses_none(stored: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_wan.batch import targets as targets

    before, bring = contents(stored), targets._bring
    steps = 0

    def dies(*given: Any, **named: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == limit:
            raise KeyboardInterrupt
        bring(*given, **named)

    monkeypatch.setattr(targets, "_bring", dies)
    rows = stored.rows
    for limit in range(1, 7):
        steps = 0
        rows = [rows[1], rows[2], rows[0]]
        with pytest.raises(KeyboardInterrupt):
            stored.cleared(rows).run()
        limit = 0
        stored.retried().run()
        assert contents(stored) == before
    assert len(stored.billed) == 3


def test_the_queued_task_of_a_changed_row_is_cancelled(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("stays"), row("goes [sandbox hold]")])
    batch.first_round()
    batch.cleared([batch.rows[0], row("comes")]).run()
    assert batch.billed == ["comes", "stays"]
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True]


def test_a_running_task_of_a_removed_row_is_adopted_when_the_row_comes_back(
    rounds: MakeRounds, sandbox: Sandbox
) -> None:
    rows = [row("stays"), row("goes and comes [sandbox seconds=1]")]
    batch = rounds(rows)
    batch.first_round()
    sandbox.wait_for(lambda books: any("goes" in t["prompt"] and t["status"] == "RUNNING" for t in books["created"]))
    batch.cleared(rows[:1]).run()
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [False]
    batch.cleared(rows).run()
    assert len(batch.created) == 2
    assert len(sandbox.ledger()["cancels"]) == 1


def test_equal_rows_are_as_many_videos(rounds: MakeRounds) -> None:
    batch = rounds([row("twin"), row("twin"), row("single")])
    summary = batch.run()
    assert batch.billed == ["single", "twin", "twin"]
    assert len({item["video_url"] for item in summary["items"]}) == 3
    batch.cleared([row("single"), row("twin"), row("twin"), row("twin")]).run()
    assert batch.billed == ["single", "twin", "twin", "twin"]


@pytest.mark.parametrize("becomes", ["other rows", "no rows", "nonsense", "nothing"])
def test_a_file_that_changes_while_the_batch_runs_is_the_next_attempts_matter(
    rounds: MakeRounds, tmp_path: Path, becomes: str
) -> None:
    shots = tmp_path / "shots.jsonl"
    shots.write_text("\n".join(json.dumps(item) for item in (row("stays", id="s"), row("late", id="l"))))
    batch = rounds(f"file://{shots}", max_in_flight=1)
    event = batch.first_event()
    if becomes == "nothing":
        shots.unlink()
    else:
        shots.write_text({"other rows": json.dumps(row("comes", id="c")), "no rows": "", "nonsense": "{"}[becomes])
    assert batch.goes_on(event)["counts"] == {"succeeded": 2}
    assert batch.billed == ["late", "stays"]
    assert batch.sandbox.ledger()["cancels"] == []
    shots.write_text(json.dumps(row("comes", id="c")))
    batch.cleared().run()
    assert batch.billed == ["comes", "late", "stays"]


def test_many_rows_are_kept_in_values_that_the_store_takes() -> None:
    from random import Random

    from airflow_provider_wan.batch.ledger import BatchLedger
    from airflow_provider_wan.batch.snapshot import Snapshot, keep_rows, kept_rows

    words = Random(7)
    rows = [{"prompt": "".join(words.choices("abcdefghij", k=400)), "id": str(n)} for n in range(2000)]
    store = CountingStore()
    ledger = BatchLedger(store)
    assert keep_rows(ledger, Snapshot(rows, {"strict": True}, {7: "why"}))
    ledger.keep_head()
    written = store.calls["set"]
    assert keep_rows(ledger, Snapshot(rows, {"strict": True}, {7: "why"}))
    assert store.calls["set"] == written < 20
    again = BatchLedger(store)
    again.load()
    assert kept_rows(again) == Snapshot(rows, {"strict": True}, {7: "why"})
    assert not keep_rows(again, Snapshot([{"first_frame": "data:image/png;base64,AAAA"}], {}, {}))
    assert kept_rows(again) is None


def test_a_connection_that_moves_to_another_address_pays_nothing_again(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = rounds([row("a"), row("b"), row("c")], max_in_flight=2)
    event = batch.first_event()
    connect(monkeypatch, sandbox.url.replace("127.0.0.1", "localhost"), "dashscope")
    assert batch.goes_on(event)["counts"] == {"succeeded": 3}
    batch.cleared().run()
    assert batch.created == ["a", "b", "c"]


@pytest.mark.parametrize(("before", "after"), [({}, {"workspace_id": "ws-1"}), ({"workspace_id": "ws-1"}, {})])
def test_a_connection_that_begins_or_ends_to_name_its_workspace_pays_nothing_again(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, before: Any, after: Any
) -> None:
    connect(monkeypatch, sandbox.url, "dashscope", **before)
    batch = rounds([row("a"), row("b"), row("c")], max_in_flight=2)
    event = batch.first_event()
    connect(monkeypatch, sandbox.url, "dashscope", **after)
    assert batch.goes_on(event)["counts"] == {"succeeded": 3}
    batch.cleared().run()
    assert batch.created == ["a", "b", "c"]


def test_regenerate_pays_once_for_each_series_of_retries(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b")])
    batch.run()
    batch.cleared(regenerate="{{ 'true' }}").run()
    assert batch.billed == ["a", "a", "b", "b"]
    batch.retried().run()
    assert batch.billed == ["a", "a", "b", "b"]
    batch.cleared().run()
    assert batch.billed == ["a", "a", "a", "b", "b", "b"]


def test_regenerate_cancels_what_is_queued(rounds: MakeRounds) -> None:
    batch = rounds([row("a [sandbox hold]")])
    batch.first_round()
    batch.cleared([row("a [sandbox hold]")], regenerate=True).first_round()
    ledger = batch.sandbox.ledger()
    assert [entry["accepted"] for entry in ledger["cancels"]] == [True]
    assert [task["status"] for task in ledger["created"]] == ["CANCELED", "PENDING"]


def test_expired_videos_are_paid_anew_by_a_clear_but_never_by_a_retry(
    rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from airflow_provider_wan.batch import records as entries
    from airflow_provider_wan.client.tasks import utc_now

    batch = rounds([row("a"), row("b")])
    batch.run()
    monkeypatch.setattr(entries, "utc_now", lambda: utc_now() + timedelta(days=2))
    batch.retried().run()
    assert batch.billed == ["a", "b"]
    batch.cleared().run()
    assert batch.billed == ["a", "a", "b", "b"]
