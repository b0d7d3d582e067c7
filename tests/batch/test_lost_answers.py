"""Answers that are lost and workers that die: every item is billed once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wan.client.polling.window import searches_of
from airflow_provider_wan.client.recovery.search import Clue, Sought
from airflow_provider_wan.client.recovery.traits import traits_asked
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.triggers.wan import WanSearchTrigger
from tests.driving import carried, first_event, made

from .conftest import QUICK, QUICK_TIMES, MakeRounds
from .rounds import CountingStore, Rounds, is_retryable, row


@pytest.mark.parametrize("name", ["dashscope", "gccai"])
def test_lost_answers_are_found_while_the_others_go_on(rounds: MakeRounds, sandbox: Sandbox, name: str) -> None:
    sandbox.configure(drop_answer_rate=0.4, drop_before_rate=0.1, generation_seconds=0.2)
    batch = rounds([row(f"{n:02d}") for n in range(20)], wan_conn_id=f"wan_{name}", max_in_flight=8)
    batch.run()
    assert batch.billed == [f"{n:02d}" for n in range(20)]
    assert batch.posts(name).get("dropped", 0) + batch.posts(name).get("dropped-before", 0) > 0


def test_equal_rows_whose_answers_are_lost_are_told_apart(rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path) -> None:
    """By what the list tells, they are one and the same: so the second waits until the first is found."""
    sandbox.configure(drop_next_answers=3, generation_seconds=0.2)
    batch = rounds([row("twin", seed=n) for n in range(5)], ledger_path=f"file://{tmp_path}/ledger")
    batch.run()
    assert batch.billed == ["twin"] * 5


def test_where_others_are_not_known_what_the_list_does_not_show_is_left_to_the_policy(rounds: MakeRounds) -> None:
    """Somebody else may run the same prompt with another seed at this moment."""
    lost = "b [sandbox drop-answer]"
    batch = rounds([row("a", seed=1), row(lost, seed=2)])
    error = batch.fails()
    assert "seed" in str(error)
    assert batch.statuses == {"1": "succeeded", "2": "unknown"}
    assert len(batch.created) == 2
    batch.cleared(on_unknown_submission="resubmit").run()
    assert batch.billed == ["a", lost, lost]


def in_one_loop(batch: Rounds, other: WanSearchTrigger, instance: Any) -> dict[str, Any]:
    """What a search finds in a triggerer that runs a batch's trigger."""
    classpath, kwargs = batch.first_round().trigger.serialize()
    waiting = made(classpath, carried(kwargs))
    waiting.task_instance = instance

    async def both() -> dict[str, Any]:
        wait = asyncio.create_task(first_event(waiting))
        found = await first_event(other)
        wait.cancel()
        payload: dict[str, Any] = found.payload
        return payload

    return asyncio.run(both())


@pytest.mark.parametrize("owner", ["another", "the same"])
def test_the_tasks_of_a_batch_are_no_candidates_for_others(rounds: MakeRounds, sandbox: Sandbox, owner: str) -> None:
    """A lone task with the same prompt loses its answer while the batch waits for its own."""
    sandbox.configure(generation_seconds=0.3)
    batch = rounds([row("the same")])
    ours = SimpleNamespace(dag_id="films", task_id="shots", run_id="manual__1", map_index=-1)
    theirs = SimpleNamespace(dag_id="films", task_id="lone", run_id="manual__1", map_index=-1)
    request = TextToVideoRequest(prompt="the same", resolution="720P", duration=2)
    sought = Sought(
        mode=request.mode,
        model="wan2.7-t2v",
        traits=traits_asked(request),
        intent_at=utc_now() - timedelta(seconds=1),
        until=utc_now() + timedelta(seconds=1),
        timing=QUICK,
        owner=owner_of(theirs if owner == "another" else ours),
    )
    deadline = utc_now() + timedelta(seconds=20)
    search = WanSearchTrigger("wan_default", sought.to_dict(), deadline.isoformat(), utc_now().isoformat())
    search.task_instance = theirs
    clue = Clue.of(in_one_loop(batch, search, ours)["clue"])
    assert len(clue.rows) == (0 if owner == "another" else 1)
    assert batch.created == ["the same"]


def test_a_batch_looks_in_the_name_of_its_task_instance(rounds: MakeRounds, sandbox: Sandbox) -> None:
    """So that the triggerer leaves out what other task instances wait for."""
    batch = rounds([row("a [sandbox hold drop-answer]")])
    _, kwargs = batch.first_round().trigger.serialize()
    searches = searches_of(kwargs["searches"])
    assert [one.sought.owner for one in searches] == [owner_of(batch.instance)]


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


def test_one_in_doubt_holds_nobody_up_and_wakes_no_worker(rounds: MakeRounds, sandbox: Sandbox) -> None:
    """What the list shows of a task that runs is not enough: until it ends, it may be the lost one or not."""
    slow = "slow [sandbox hold drop-answer]"
    batch = rounds([row(slow), *(row(f"{n:02d}") for n in range(6))], max_in_flight=1)
    events, deferred = [], batch.first_round()
    while (done := len([prompt for prompt in batch.billed if prompt != slow])) < 6:
        events.append(batch.trigger_of(deferred))
        assert not events[-1]["clues"], f"{done} of the others are done while the lost one is not"
        deferred = batch.next_round(events[-1])
    assert len(events) <= 7
    assert batch.statuses["1"] == "waiting"
    steps = len(batch.driven.steps) if batch.driven else 0
    (lost,) = [task for task in sandbox.tasks() if task["held"]]
    sandbox.change(lost["task_id"], "finish")
    batch.goes_on(batch.trigger_of(deferred))
    assert batch.driven is not None
    # Then the search alone wakes a worker, with what it found, and the last ending another one.
    assert len(batch.driven.steps) - steps <= 3
    assert batch.billed == sorted([slow, *(f"{n:02d}" for n in range(6))])
    assert len(batch.created) == 7


def test_a_batch_that_is_not_deferred_looks_beside_its_waits_too(rounds: MakeRounds) -> None:
    lost = "lost [sandbox seconds=0.5 drop-answer]"
    batch = rounds([row(lost), row("a"), row("b")], max_in_flight=1, deferrable=False)
    assert batch.run()["counts"] == {"succeeded": 3}
    assert batch.billed == ["a", "b", lost]
    assert len(batch.created) == 3


@pytest.mark.parametrize("is_made", [True, False])
def test_a_batch_that_has_stopped_still_finds_what_it_may_have_paid(
    rounds: MakeRounds, sandbox: Sandbox, is_made: bool
) -> None:
    """No money: that forbids to submit, not to look for the submission whose answer was lost before."""
    lost = "lost [sandbox seconds=0.4 drop-answer]" if is_made else "lost [sandbox drop-before]"
    broke = "b [sandbox reject=400:Arrearage]"
    batch = rounds([row(lost), row("c [sandbox seconds=0.4]"), row(broke), row("d")])
    error = batch.fails()
    assert "Submitting was stopped" in str(error)
    assert batch.statuses == {
        "1": "succeeded" if is_made else "waiting",
        "2": "succeeded",
        "3": "waiting",
        "4": "waiting",
    }
    assert batch.billed == ["c [sandbox seconds=0.4]", *([lost] if is_made else [])]
    assert len(batch.created) == len(batch.billed)


def test_searches_travel_with_the_trigger_and_what_they_share_stands_once(rounds: MakeRounds) -> None:
    rows = [row(f"{n} [sandbox hold drop-answer]") for n in range(3)] + [row(f"{n} [sandbox hold]") for n in range(5)]
    trigger = rounds(rows).first_round().trigger
    assert trigger is not None
    kwargs = json.dumps(trigger.serialize()[1])
    (searches,) = [json.loads(kwargs)["searches"]]
    assert [sorted(item[1]["not_ours"]) for item in searches["items"]] == [[], [], []]
    assert len(searches["not_ours"]) == 5
    assert "sandbox hold" not in kwargs


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
    monkeypatch.setattr("airflow_provider_wan.batch.settings.TIMES", replace(QUICK_TIMES, pause=0.2))
    prompts = [f"{n:02d}" for n in range(10)]
    batch = rounds([row(prompt) for prompt in prompts], wan_conn_id=f"wan_{name}")
    sandbox.configure(outage=3, generation_seconds=0.2)
    batch.run()
    assert batch.billed == prompts
    assert batch.posts(name)["200"] == 10
    # The one that found out, or its repetitions with the same key; where neither helps, a free call found out.
    most = {"dashscope": 3, "gccai": 9, "powertokens": 0, "freepik": 0}[name]
    assert sum(batch.posts(name).values()) - 10 <= most
