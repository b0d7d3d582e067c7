"""Requests are recognised: a digest that changed would make, and bill, every recorded task anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from .driving import Attempt, Deferral
from .files import aged, golden, names_in, renamed
from .world import World

MODES = {
    f"{vendor}-{mode}": entry for vendor in names_in("modes") for mode, entry in golden(f"modes/{vendor}.json").items()
}
CASES: dict[str, dict[str, Any]] = {**golden("requests.json"), **MODES}


def recorded(name: str) -> dict[str, Any]:
    """A golden request as if it had been submitted a minute ago."""
    entry = CASES[name]
    return dict(aged(entry, entry["state"]["wan_submission"]["intent_at"], timedelta(minutes=1)))


@pytest.mark.parametrize("name", CASES)
def test_the_recorded_request_is_known_again(world: World, name: str) -> None:
    world.runs_long()
    entry = recorded(name)
    handle = world.submitted(entry)
    old = entry["state"]["wan_submission"]["handle"]
    entry = renamed(entry, {old["task_id"]: handle["task_id"]})
    attempt = Attempt.on(entry, wait_for_completion=False, on_changed_request="fail")
    found = attempt.step()
    assert found.keys() >= entry["handle"].keys()
    same = ("vendor", "mode", "model")
    assert {key: found[key] for key in same} == {key: entry["handle"][key] for key in same}
    assert found["task_id"] == handle["task_id"]
    assert attempt.record["adopted"] is True
    assert len(world.created) == 1


@pytest.mark.parametrize("name", MODES)
def test_a_task_of_each_mode_goes_on_from_its_deferral(world: World, name: str) -> None:
    entry = recorded(name)
    handle = world.submitted(entry)
    old = entry["state"]["wan_submission"]["handle"]
    entry = renamed(entry, {old["task_id"]: handle["task_id"]})
    deferral = Deferral.of(entry["deferral"])
    result = Attempt.on(entry).go_on(deferral)
    written = CASES[name]["result"]
    assert result.keys() >= written.keys()
    same = ("vendor", "mode", "model", "status", "prompt", "resolution", "ratio", "duration", "seed")
    assert {key: result[key] for key in same} == {key: written[key] for key in same}
    assert result["task_id"] == handle["task_id"]
    assert len(world.created) == 1
