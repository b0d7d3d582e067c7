"""A clear that deletes the task state, as Airflow 3.4 does: what the manifest says is not paid again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds
from .rounds import CountingStore, Rounds, row


def emptied(batch: Rounds) -> Rounds:
    """A person clears the task, and Airflow deletes what it kept."""
    batch.store = CountingStore()
    return batch.cleared()


@pytest.mark.parametrize("is_stored", [True, False])
def test_no_finished_item_is_paid_again(rounds: MakeRounds, tmp_path: Path, is_stored: bool) -> None:
    given = {"store_to": f"file://{tmp_path}/clips"} if is_stored else {}
    batch = rounds([row("a"), row("b"), row("b"), row("bad [sandbox fail=DataInspectionFailed]")], **given)
    batch.fails()
    before = batch.manifest
    emptied(batch).fails()
    assert batch.billed == ["a", "b", "b"]
    kept = ("id", "status", "task_id", "uri", "sha256", "video_url", "url_expires_at", "submitted_at", "usage")
    assert [{name: line.get(name) for name in kept} for line in batch.manifest[:3]] == [
        {name: line.get(name) for name in kept} for line in before[:3]
    ]


def test_what_is_in_flight_is_adopted(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("a [sandbox hold]"), row("b")], max_in_flight=2)
    batch.first_round()
    (held,) = [task for task in sandbox.tasks() if task["held"]]
    sandbox.change(held["task_id"], "finish")
    emptied(batch).run()
    assert batch.billed == ["a [sandbox hold]", "b"]
    assert len(batch.created) == 2


def test_a_lost_submission_is_looked_for(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("a [sandbox drop-answer]"), row("b")])
    batch.first_round()
    emptied(batch).run()
    assert batch.billed == ["a [sandbox drop-answer]", "b"]
    assert len(batch.created) == 2


@pytest.mark.parametrize("name", ["default", "powertokens", "freepik"])
def test_one_that_was_given_up_in_doubt_is_still_in_doubt(rounds: MakeRounds, sandbox: Sandbox, name: str) -> None:
    lost = "a [sandbox hold drop-answer]"
    batch = rounds([row(lost), row("b")], wan_conn_id=f"wan_{name}", timeout=1)
    batch.fails()
    assert batch.statuses == {"1": "unknown", "2": "succeeded"}
    emptied(batch).fails()
    assert batch.created == [lost, "b"]


def test_a_changed_row_and_regenerate_pay_anew(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b")])
    batch.run()
    batch.rows = [row("a"), row("c")]
    emptied(batch).run()
    assert batch.billed == ["a", "b", "c"]
    batch.given["regenerate"] = True
    emptied(batch).run()
    assert batch.billed == ["a", "a", "b", "c", "c"]


def test_another_run_with_the_same_manifest_makes_its_own(rounds: MakeRounds) -> None:
    batch = rounds([row("a")])
    batch.run()
    batch.instance.run_id = "manual__2"
    emptied(batch).run()
    assert batch.billed == ["a", "a"]


def test_a_manifest_that_is_damaged_is_used_as_far_as_it_goes(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b")])
    batch.run()
    path = batch.folder / "manifest.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n[1]\nnonsense\n{second[:40]}\n{json.dumps({'key': 7})}")
    emptied(batch).run()
    assert batch.billed == ["a", "b", "b"]


def test_with_a_ledger_path_nothing_is_deleted(rounds: MakeRounds, tmp_path: Path) -> None:
    batch = rounds([row("a [sandbox hold]"), row("b")], ledger_path=f"file://{tmp_path}/ledger", manifest_path=None)
    batch.first_round()
    (held,) = [task for task in batch.sandbox.tasks() if task["held"]]
    batch.sandbox.change(held["task_id"], "finish")
    emptied(batch).run()
    assert batch.billed == ["a [sandbox hold]", "b"]
    assert len(batch.created) == 2
