"""Tasks that were deferred when the version changed: class paths, kwargs, events and methods as they were stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from .driving import Attempt, Deferral, import_string
from .files import aged, golden, renamed
from .world import World

DEFERRALS: dict[str, dict[str, Any]] = golden("deferrals.json")
WAITS = [name for name, entry in DEFERRALS.items() if entry["deferral"]["classpath"].endswith(".WanTaskTrigger")]
PAUSES = [name for name, entry in DEFERRALS.items() if entry["deferral"]["classpath"].endswith(".WanPauseTrigger")]
LOST = {f"{vendor}_lost": golden(f"submissions/{vendor}.json")["lost"] for vendor in ("dashscope", "gccai")} | {
    name: entry for name, entry in DEFERRALS.items() if "_lost_without_" in name
}
CHANGES = {
    "moderation": ("fail", {"code": "DataInspectionFailed"}),
    "failed": ("fail", {"code": "InternalError"}),
    "cancelled": ("cancel", {}),
    "unknown_task": ("expire", {}),
}
"""What was done to the task at the vendor; the others were let succeed."""


def deferred(name: str, entry: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a golden deferral as if the task had been deferred a minute ago."""
    entry = entry or DEFERRALS[name]
    kwargs = entry["deferral"]["kwargs"]
    moment = kwargs["since"] if "since" in kwargs else kwargs["handle"]["submitted_at"]
    return dict(aged(entry, moment, timedelta(minutes=1)))


def with_task(world: World, entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Make the task anew that was waited for."""
    old = entry["deferral"]["kwargs"]["handle"]
    hook = import_string("airflow_provider_wan.hooks.wan.WanHook")(entry["deferral"]["kwargs"]["wan_conn_id"])
    request = import_string("airflow_provider_wan.client.TextToVideoRequest")
    fields = entry.get("returned") or {
        name: entry["arguments"].get(name) for name in ("prompt", "resolution", "ratio") if name in entry["arguments"]
    }
    handle = hook.submit(request(**({"prompt": "A boat", "ratio": "16:9", "resolution": "720P"} | fields)))
    hook.close()
    return renamed(entry, {old["task_id"]: handle.task_id}), handle.task_id


def attempt_on(entry: dict[str, Any]) -> Attempt:
    attempt = Attempt.on(entry)
    if "state" not in entry:
        attempt.store = None
    if "returned" in entry:

        def never() -> None:
            raise AssertionError("the decorated function is not called again after the wait")

        make = import_string(entry["operator"])
        attempt.make = lambda: make(never, task_id="make", **entry["arguments"])().operator
    return attempt


def outcome_of(entry: dict[str, Any], event: dict[str, Any]) -> Any:
    """Call the method that was stored, with an event; return the result, or the error."""
    attempt = attempt_on(entry)
    try:
        return attempt.step(entry["deferral"]["method"], event)
    except AssertionError:
        raise
    except Exception as error:
        return error


def shown(error: Exception) -> str:
    """An error by its classes: Airflow's, where it is final, and the provider's."""
    kinds = type(error).__name__, str(error).split(":")[0]
    return ": ".join(kinds) if isinstance(error, AirflowFailException) else kinds[0]


def check_outcome(entry: dict[str, Any], outcome: Any) -> None:
    """The same result, and perhaps more, or the same kind of error as 0.1.0's."""
    if entry.get("error"):
        assert entry["error"].startswith(f"{shown(outcome)}:")
        return
    written = {name: value for name, value in entry["result"].items() if name in SAME}
    assert outcome.keys() >= entry["result"].keys()
    assert outcome.items() >= written.items()


SAME = ("task_id", "vendor", "mode", "model", "status", "prompt", "resolution", "ratio", "duration", "seed", "uri")
"""The keys of a result that do not hang on moments and addresses."""


# -- a trigger is made by its class path ------------------------------------------------------------------


def ends_at_once(name: str) -> bool:
    """Whether the wait ends by itself within seconds: gateways are doubted for two minutes before they are believed."""
    return not name.endswith("unknown_task") or "dashscope" in name


@pytest.mark.parametrize("name", [name for name in WAITS if ends_at_once(name)])
def test_a_wait_goes_on_from_its_stored_trigger(world: World, name: str) -> None:
    world.runs_long()
    entry, task_id = with_task(world, deferred(name))
    if "timeout" in name:
        entry["deferral"]["kwargs"]["deadline"] = datetime.now(UTC).isoformat()
    else:
        change, given = next((found for end, found in CHANGES.items() if name.endswith(end)), ("finish", {}))
        world.end(task_id, change, **given)
    event = Deferral.of(entry["deferral"]).fire()
    written = DEFERRALS[name].get("event") or {"status": "success", "task": {}}
    assert event["status"] == written["status"]
    assert event.keys() >= written.keys()
    assert event["task"].keys() >= written["task"].keys()
    check_outcome(entry, outcome_of(entry, event))
    assert len(world.created) == 1


@pytest.mark.parametrize("name", WAITS)
def test_an_event_that_was_stored_is_understood(world: World, name: str) -> None:
    entry = deferred(name)
    if name == "stored_by_the_operator":
        # The video is fetched from where it is now.
        entry, _task_id = with_task(world, entry)
        world.all_over()
        hook = import_string("airflow_provider_wan.hooks.wan.WanHook")("wan_default")
        entry["event"]["task"]["video_url"] = hook.get_task(entry["deferral"]["kwargs"]["handle"]).video_url
        hook.close()
    paid = world.created
    check_outcome(entry, outcome_of(entry, entry["event"]))
    assert world.created == paid


@pytest.mark.parametrize("name", PAUSES)
def test_a_throttled_submission_is_sent_after_its_pause(world: World, name: str) -> None:
    entry = deferred(name)
    deferral = Deferral.of(entry["deferral"])
    deferral.kwargs["moment"] = deferral.kwargs["since"]
    result = attempt_on(entry).go_on(deferral)
    assert result["status"] == "succeeded"
    assert len(world.created) == 1


@pytest.mark.parametrize("name", LOST)
def test_a_lost_submission_is_followed_up_from_its_stored_trigger(world: World, name: str) -> None:
    """It is found where the vendor has a list, and made with the same key where it takes keys."""
    found = []
    if "dashscope" in name:
        entry = aged(LOST[name], LOST[name]["deferral"]["kwargs"]["sought"]["intent_at"], timedelta(seconds=1))
        found = [world.submitted(entry)["task_id"]]
        world.all_over()
    else:
        entry = deferred(name, LOST[name])
    deferral = Deferral.of(entry["deferral"])
    if "moment" in deferral.kwargs:
        deferral.kwargs["moment"] = deferral.kwargs["since"]
    attempt = attempt_on(entry)
    result = attempt.go_on(deferral)
    assert result["status"] == "succeeded"
    assert found in ([], [result["task_id"]])
    assert len(world.created) == 1


@pytest.mark.parametrize("name", [name for name in LOST if "dashscope" in name])
def test_a_clue_that_was_stored_is_taken(world: World, name: str) -> None:
    entry = aged(LOST[name], LOST[name]["deferral"]["kwargs"]["sought"]["intent_at"], timedelta(minutes=1))
    handle = world.submitted(entry)
    world.all_over()
    entry = renamed(entry, {entry["event"]["clue"]["rows"][0]["task_id"]: handle["task_id"]})
    attempt = attempt_on(entry)
    result = attempt.go_on(attempt.step(entry["deferral"]["method"], entry["event"]))
    assert result["task_id"] == handle["task_id"]
    assert len(world.created) == 1


def test_the_link_that_was_stored_is_found_by_its_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY", "False")
    entry = golden("modes/dashscope.json")["text_to_video"]
    link = import_string("airflow_provider_wan.links.wan.WanVideoLink")()
    assert list(entry["links"]) == [link.xcom_key]
    attempt = Attempt.on(entry)
    attempt.step(entry["deferral"]["method"], entry["event"])
    assert attempt.instance.xcoms[link.xcom_key] == entry["event"]["task"]["video_url"]
