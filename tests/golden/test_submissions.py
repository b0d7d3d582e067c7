"""Attempts that find a record of 0.1.0 under ``wan_submission`` in the task state store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from .driving import Attempt, Deferral
from .files import aged, golden, renamed
from .world import VENDORS, World

MINUTES = timedelta(minutes=10)
"""Old enough that no worker can be about to send the recorded submission."""

RECORDS: dict[str, dict[str, Any]] = {vendor: golden(f"submissions/{vendor}.json") for vendor in VENDORS}
WITH_TASK = ("handle", "adopted", "changed_handle", "changed_twice", "regenerated", "losses_handle")
FINISHED = ("finished", "adopted_finished", "recovered")
INTENTS = ("intent", "changed_intent", "losses_intent", "lost")

every_vendor = pytest.mark.parametrize("vendor", VENDORS)


def cases(states: tuple[str, ...], vendors: tuple[str, ...] = VENDORS) -> Any:
    """All golden records of some states."""
    found = [(vendor, state) for vendor in vendors for state in states if state in RECORDS[vendor]]
    return pytest.mark.parametrize(("vendor", "state"), [pytest.param(*case, id="-".join(case)) for case in found])


def record_of(entry: dict[str, Any]) -> dict[str, Any]:
    return dict(entry["state"]["wan_submission"])


def recorded(vendor: str, state: str, age: timedelta = MINUTES) -> dict[str, Any]:
    """A golden entry as if it had been written ``age`` ago."""
    entry = RECORDS[vendor][state]
    return dict(aged(entry, record_of(entry)["intent_at"], age))


def with_task(world: World, entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Make the recorded task anew at the vendor; return the entry with its id, and the id."""
    handle = world.submitted(entry)
    old = record_of(entry)["handle"]
    return renamed(entry, {old["task_id"]: handle["task_id"]}), handle["task_id"]


def attempt_on(entry: dict[str, Any], **arguments: Any) -> Attempt:
    """The next attempt of the same series."""
    attempt = Attempt.on(entry, **arguments)
    attempt.instance.max_tries = int(record_of(entry)["series"])
    return attempt


# -- a task is recorded -----------------------------------------------------------------------------------


@cases(WITH_TASK)
def test_a_recorded_task_that_runs_is_adopted(world: World, vendor: str, state: str) -> None:
    world.runs_long()
    entry, task_id = with_task(world, recorded(vendor, state))
    attempt = attempt_on(entry)
    found = attempt.step()
    assert isinstance(found, Deferral)
    assert found.kwargs["handle"]["task_id"] == task_id
    before, now = record_of(entry), attempt.record
    kept = ("fingerprint", "idempotency_key", "series", "losses", "former")
    assert {name: now[name] for name in kept} == {name: before[name] for name in kept}
    assert now["adopted"] is True
    world.end(task_id)
    result = attempt.go_on(found)
    assert (result["task_id"], result["status"]) == (task_id, "succeeded")
    assert attempt.record["finished"] is True
    assert len(world.created) == 1


@cases(FINISHED)
def test_a_finished_task_is_handed_on(world: World, vendor: str, state: str) -> None:
    entry, task_id = with_task(world, recorded(vendor, state))
    world.all_over()
    result = attempt_on(entry).step()
    assert (result["task_id"], result["status"]) == (task_id, "succeeded")
    written = RECORDS[vendor][state].get("result") or {}
    assert result.keys() >= written.keys()
    assert len(world.created) == 1


@every_vendor
def test_a_stored_video_is_found_although_the_vendor_has_forgotten_it(world: World, vendor: str) -> None:
    entry = recorded(vendor, "stored", timedelta(days=3))
    stored = record_of(entry)["stored"]
    world.put(stored["uri"], stored["bytes"])
    result = attempt_on(entry).step()
    assert {name: result[name] for name in stored} == stored
    assert result["status"] == "succeeded"
    assert result["task_id"] == record_of(entry)["handle"]["task_id"]
    assert world.created == []


@every_vendor
def test_a_stored_video_that_is_gone_is_made_anew(world: World, vendor: str) -> None:
    entry = recorded(vendor, "stored", timedelta(days=3))
    attempt = attempt_on(entry)
    result = attempt.run()
    assert world.created == [entry["arguments"]["prompt"]]
    assert record_of(entry)["handle"]["task_id"] in attempt.record["former"]
    assert result["uri"] == record_of(entry)["stored"]["uri"]


@every_vendor
def test_a_changed_request_leaves_the_recorded_task_behind(world: World, vendor: str) -> None:
    world.runs_long()
    entry, task_id = with_task(world, recorded(vendor, "changed_handle"))
    attempt = attempt_on(entry, prompt="A paper boat in the fog")
    attempt.step()
    assert world.created == sorted(["A paper boat in the fog", entry["arguments"]["prompt"]])
    assert attempt.record["former"] == [*record_of(entry)["former"], task_id]


@every_vendor
def test_a_changed_request_may_fail(world: World, vendor: str) -> None:
    entry = recorded(vendor, "handle")
    attempt = attempt_on(entry, prompt="A paper boat in the fog", on_changed_request="fail")
    with pytest.raises(AirflowFailException, match=record_of(entry)["handle"]["task_id"]):
        attempt.step()
    assert world.created == []
    assert attempt.record == record_of(entry)


@every_vendor
def test_an_abandoned_task_is_not_cancelled_again_and_may_be_wanted_again(world: World, vendor: str) -> None:
    world.runs_long()
    entry, task_id = with_task(world, recorded(vendor, "abandoned"))
    attempt_on(entry, prompt="A paper boat in the fog").step()
    assert world.cancels == []
    again = attempt_on(entry).step()
    assert again.kwargs["handle"]["task_id"] == task_id
    assert len(world.created) == 2


@every_vendor
def test_regenerate_pays_once_in_a_series(world: World, vendor: str) -> None:
    world.runs_long()
    entry, task_id = with_task(world, recorded(vendor, "regenerated"))
    attempt = attempt_on(entry)
    assert attempt.step().kwargs["handle"]["task_id"] == task_id
    attempt.instance.max_tries += 1
    assert attempt.step().kwargs["handle"]["task_id"] != task_id
    assert len(world.created) == 2


# -- only an intent is recorded ---------------------------------------------------------------------------


@cases(INTENTS, ("dashscope",))
def test_a_list_that_shows_no_task_lets_the_intent_be_submitted(world: World, vendor: str, state: str) -> None:
    entry = recorded(vendor, state)
    attempt = attempt_on(entry)
    result = attempt.run()
    assert result["status"] == "succeeded"
    assert world.created == [entry["arguments"]["prompt"]]
    assert attempt.record["losses"] == record_of(entry)["losses"] + 1
    assert [deferral.method for deferral in attempt.deferrals] == ["execute_again", "execute_complete"]


@cases(INTENTS, ("dashscope",))
def test_a_list_that_shows_the_task_lets_it_be_adopted(world: World, vendor: str, state: str) -> None:
    entry = recorded(vendor, state, timedelta(seconds=1))
    handle = world.submitted(entry)
    world.all_over()
    attempt = attempt_on(entry)
    result = attempt.run()
    assert result["task_id"] == handle["task_id"]
    assert attempt.record["adopted"] is True
    assert len(world.created) == 1


def test_a_task_is_known_by_the_request_id_of_its_broken_answer(world: World) -> None:
    """Another one with the same prompt would be as likely otherwise."""
    entry = recorded("dashscope", "lost_with_request_id")
    world.submitted(entry)
    handle = world.submitted(entry)
    world.submitted(entry)
    world.all_over()
    entry = renamed(entry, {record_of(entry)["lost_request_id"]: handle["request_id"]})
    assert attempt_on(entry).run()["task_id"] == handle["task_id"]
    assert len(world.created) == 3


@cases((*INTENTS, "lost_with_request_id"), ("gccai",))
def test_the_recorded_key_is_sent_again(world: World, vendor: str, state: str) -> None:
    """However often an answer is lost: the key leads to the task that was made with it."""
    entry = recorded(vendor, state)
    world.sandbox.configure(drop_next_answers=1)
    attempt = attempt_on(entry)
    result = attempt.run()
    assert result["status"] == "succeeded"
    assert attempt.record["idempotency_key"] == record_of(entry)["idempotency_key"]
    assert len(world.created) == 1


@cases((*INTENTS, "lost_with_request_id"), ("powertokens", "freepik"))
def test_where_nothing_can_be_looked_up_the_policy_decides(world: World, vendor: str, state: str) -> None:
    entry = recorded(vendor, state)
    attempt = attempt_on(entry)
    with pytest.raises(AirflowFailException, match="WanSubmissionUnknown"):
        attempt.step()
    assert world.created == []
    assert attempt.record == record_of(entry)
    assert attempt_on(entry, on_unknown_submission="resubmit").run()["status"] == "succeeded"
    assert world.created == [entry["arguments"]["prompt"]]
