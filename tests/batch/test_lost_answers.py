"""Answers that are lost and workers that die: every item is billed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds
from .rounds import CountingStore, is_retryable, row


@pytest.mark.parametrize("name", ["dashscope", "gccai"])
def test_lost_answers_are_found_while_the_others_go_on(rounds: MakeRounds, sandbox: Sandbox, name: str) -> None:
    sandbox.configure(drop_answer_rate=0.4, drop_before_rate=0.1, generation_seconds=0.2)
    batch = rounds([row(f"{n:02d}") for n in range(20)], wan_conn_id=f"wan_{name}", max_in_flight=8)
    batch.run()
    assert batch.billed == [f"{n:02d}" for n in range(20)]
    assert batch.posts(name).get("dropped", 0) + batch.posts(name).get("dropped-before", 0) > 0


def test_equal_rows_whose_answers_are_lost_are_told_apart(rounds: MakeRounds, sandbox: Sandbox) -> None:
    """By what the list tells, they are one and the same: so the second waits until the first is found."""
    sandbox.configure(drop_next_answers=3, generation_seconds=0.2)
    batch = rounds([row("twin", seed=n) for n in range(5)])
    batch.run()
    assert batch.billed == ["twin"] * 5


@pytest.mark.parametrize("name", ["powertokens", "freepik"])
def test_where_nothing_can_be_looked_up_a_person_is_asked(rounds: MakeRounds, sandbox: Sandbox, name: str) -> None:
    lost = "b [sandbox drop-answer]"
    batch = rounds([row("a"), row(lost), row("c")], wan_conn_id=f"wan_{name}")
    error = batch.fails()
    assert not is_retryable(error)
    assert "on_unknown_submission" in str(error)
    assert batch.statuses == {"1": "succeeded", "2": "unknown", "3": "succeeded"}
    batch.cleared().fails()
    assert batch.billed == ["a", lost, "c"]
    batch.cleared(on_unknown_submission="resubmit").run()
    assert batch.billed == ["a", lost, lost, "c"]


class Dying(CountingStore):
    """Lets the worker die right after its n-th write."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.has_died = at, False

    def set(self, key: str, value: Any, **named: Any) -> None:
        super().set(key, value, **named)
        if not self.has_died and self.calls["set"] == self.at:
            self.has_died = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["dashscope", "gccai"])
def test_a_worker_that_dies_at_any_write_pays_once(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    sandbox.configure(generation_seconds=0.0)
    at = 0
    while True:
        at += 1
        prompts = [f"{at}-{n}" for n in range(2)]
        batch = rounds(
            [row(prompt) for prompt in prompts], wan_conn_id=f"wan_{name}", store_to=f"file://{tmp_path}/{at}"
        )
        batch.store = Dying(at)
        try:
            batch.run()
        except KeyboardInterrupt:
            batch.retried().run()
        assert [line["status"] for line in batch.manifest] == ["succeeded"] * 2
        assert [prompt for prompt in batch.billed if prompt in prompts] == prompts
        assert [prompt for prompt in batch.created if prompt in prompts] == prompts
        if not batch.store.has_died:
            assert at > 8
            return


@pytest.mark.parametrize("name", ["dashscope", "gccai", "powertokens", "freepik"])
def test_an_outage_costs_one_submission_and_not_all_that_follow(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("airflow_provider_wan.batch.submitting.PAUSE_SECONDS", 0.2)
    prompts = [f"{n:02d}" for n in range(10)]
    batch = rounds([row(prompt) for prompt in prompts], wan_conn_id=f"wan_{name}")
    sandbox.configure(outage=3, generation_seconds=0.2)
    batch.run()
    assert batch.billed == prompts
    assert batch.posts(name)["200"] == 10
    # The one that found out, or its repetitions with the same key; where neither helps, a free call found out.
    most = {"dashscope": 3, "gccai": 9, "powertokens": 0, "freepik": 0}[name]
    assert sum(batch.posts(name).values()) - 10 <= most
