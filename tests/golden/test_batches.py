"""Batches that go on from what 0.1.0 kept of them: ``wan_batch``, its chunks, events of triggers, manifests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath

from .driving import Attempt, Deferral, import_string
from .files import aged, golden, golden_lines, names_in, renamed
from .world import World

MINUTES = timedelta(minutes=10)
BATCHES = names_in("batches")
RUNNING = [name for name in BATCHES if name not in ("finished", "stopped") and not name.endswith("_done")]
WITH_STORE = [name for name in RUNNING if name != "carried"]
HOOK = "airflow_provider_wan.hooks.wan.WanHook"
REQUESTS = {
    "text_to_video": "airflow_provider_wan.client.TextToVideoRequest",
    "image_to_video": "airflow_provider_wan.client.ImageToVideoRequest",
}
Lines = list[dict[str, Any]]


def batch(name: str) -> tuple[dict[str, Any], Lines]:
    """Return a golden batch as if it had begun ten minutes ago, and its manifest."""
    entry = golden(f"batches/{name}.json")
    head = entry["state"]["wan_batch"] if "state" in entry else entry["next_deferral"]["kwargs"]["carry"]["head"]
    return aged(entry, head["began_at"], MINUTES), golden_lines(f"batches/{name}.manifest.jsonl")


def with_tasks(world: World, entry: dict[str, Any], lines: Lines) -> dict[str, Any]:
    """Make the tasks anew that were running, and put the videos where they were stored."""
    hook = import_string(HOOK)(entry["arguments"].get("wan_conn_id", "wan_default"))
    rows = entry["arguments"]["requests"]
    names = {}
    for line in lines:
        if line["status"] == "submitted":
            row = {
                name: value for name, value in rows[line["index"] - 1].items() if name not in ("id", "mode", "store_to")
            }
            handle = hook.submit(import_string(REQUESTS[line["mode"]])(**row))
            names[line["task_id"]] = handle.task_id
        if "uri" in line:
            world.put(line["uri"], line["bytes"])
    hook.close()
    return dict(renamed(entry, names))


def prompts(lines: Lines, *statuses: str) -> list[str]:
    return sorted(line["prompt"] for line in lines if line["status"] in statuses)


def manifest_of(entry: dict[str, Any]) -> Lines:
    text = ObjectStoragePath(entry["arguments"]["manifest_path"]).read_text()
    return [json.loads(line) for line in text.splitlines()]


def ended(attempt: Attempt, found: Any = None) -> None:
    """Run to the end, whatever the verdict is."""
    try:
        attempt.go_on(attempt.step() if found is None else found)
    except AssertionError:
        raise
    except Exception as error:
        assert "videos were not made" in str(error)  # noqa: PT017 - some golden batches hold a row that failed


def check_end(world: World, entry: dict[str, Any], lines: Lines, paid: list[str]) -> None:
    """Nothing was paid but what was still to be paid, and all that could be made is there."""
    assert world.created == sorted(paid + prompts(lines, "submitted"))
    now = {line["id"]: line for line in manifest_of(entry)}
    for line in lines:
        if line["status"] in ("succeeded", "failed", "unknown"):
            kept = {name: value for name, value in line.items() if name not in ("submitted_at", "error_message")}
            assert now[line["id"]].items() >= kept.items()
            assert now[line["id"]].keys() >= line.keys()
        else:
            assert now[line["id"]]["status"] == "succeeded"
            assert now[line["id"]].keys() >= {"id", "index", "mode", "task_id", "model", "video_url", "prompt"}


def with_addresses(event: dict[str, Any], wan_conn_id: str) -> dict[str, Any]:
    """Return an event with the addresses that its videos have now."""
    hook = import_string(HOOK)(wan_conn_id)
    for ending in event["endings"].values():
        if ending["status"] == "success":
            task = hook.get_task({"model": "", "submitted_at": datetime.now(UTC).isoformat()} | ending["task"])
            ending["task"] |= {"video_url": task.video_url, "video_urls": task.video_urls}
    hook.close()
    return event


def check_summary(now: dict[str, Any], written: dict[str, Any]) -> None:
    assert now.items() >= {**written, "items": now["items"]}.items()
    for item, before in zip(now["items"], written["items"], strict=True):
        assert item.items() >= before.items()


def attempt_on(entry: dict[str, Any], **arguments: Any) -> Attempt:
    """The next attempt of the same series."""
    attempt = Attempt.on(entry, **arguments)
    attempt.instance.max_tries = entry.get("instance", {}).get("max_tries", 0)
    return attempt


@pytest.mark.parametrize("name", WITH_STORE)
def test_the_next_attempt_pays_only_what_was_still_to_be_paid(world: World, name: str) -> None:
    entry, lines = batch(name)
    entry = with_tasks(world, entry, lines)
    ended(attempt_on(entry))
    check_end(world, entry, lines, prompts(lines, "waiting"))


@pytest.mark.parametrize("name", [name for name in RUNNING if "next_deferral" in golden(f"batches/{name}.json")])
def test_a_deferred_batch_goes_on(world: World, name: str) -> None:
    """The trigger and the method are found by what stands in Airflow's database."""
    entry, lines = batch(name)
    entry = with_tasks(world, entry, lines)
    deferral = Deferral.of(entry["next_deferral"])
    assert deferral.method == "execute_round"
    ended(attempt_on(entry), deferral)
    check_end(world, entry, lines, prompts(lines, "waiting"))


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
def test_a_batch_takes_an_event_that_was_fired_before(world: World, vendor: str) -> None:
    """Two videos are stored, a failure that may pass is made anew, one that is final is not, and the rest follows."""
    entry, lines = batch(f"{vendor}_batch_begun")
    written = golden(f"batches/{vendor}_batch_under_way.json")["deferral"]
    entry = with_tasks(world, entry | {"deferral": written}, lines)
    world.all_over()
    event = with_addresses(entry["deferral"]["event"], entry["arguments"]["wan_conn_id"])
    attempt = attempt_on(entry)
    ended(attempt, attempt.step(entry["deferral"]["method"], event))
    assert world.created == sorted([*(line["prompt"] for line in lines), "five"])
    now = {line["id"]: line for line in manifest_of(entry)}
    assert {name for name, line in now.items() if line["status"] != "succeeded"} == {"c"}
    for line in now.values():
        if line["status"] == "succeeded":
            assert ObjectStoragePath(line["uri"]).stat().st_size == line["bytes"]


def test_a_batch_without_a_store_goes_on_with_what_its_event_carries(world: World) -> None:
    entry, lines = batch("carried")
    lines = [line | {"status": "submitted"} for line in lines if line["prompt"] == "two"]
    entry = with_tasks(world, entry, lines)
    attempt = attempt_on(entry)
    result = attempt.go_on(attempt.step(entry["deferral"]["method"], entry["deferral"]["event"]))
    assert world.created == ["three", "two"]
    assert result["counts"] == {"succeeded": 3}


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
def test_a_batch_that_was_done_is_not_paid_again(world: World, vendor: str) -> None:
    entry, lines = batch(f"{vendor}_batch_done")
    entry = with_tasks(world, entry, lines)
    with pytest.raises(AirflowFailException, match="1 of 10 videos were not made; the first: row c"):
        attempt_on(entry).step()
    assert world.created == []
    summary = golden(f"batches/{vendor}_batch_done.json")["xcoms"]["return_value"]
    again = attempt_on(entry)
    with pytest.raises(AirflowFailException):
        again.step()
    check_summary(again.instance.xcoms["return_value"], summary)
    check_end(world, entry, lines, [])


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
def test_a_clear_of_a_batch_that_was_done_pays_for_what_failed(world: World, vendor: str) -> None:
    entry, lines = batch(f"{vendor}_batch_done")
    attempt = attempt_on(with_tasks(world, entry, lines))
    attempt.instance.max_tries += 1
    assert attempt.run()["counts"] == {"succeeded": 10}
    assert world.created == ["three"]


def test_a_batch_that_succeeded_returns_the_same_summary(world: World) -> None:
    entry, _ = batch("finished")
    check_summary(attempt_on(entry).step(), golden("batches/finished.json")["result"])
    assert world.created == []


def test_a_batch_that_was_stopped_goes_on(world: World) -> None:
    entry, _ = batch("stopped")
    assert attempt_on(entry).run()["counts"] == {"succeeded": 3}
    assert world.created == ["three", "two"]


def test_rows_that_come_back_are_adopted(world: World) -> None:
    """Their tasks could not be cancelled when the rows were taken away."""
    entry, lines = batch("changed")
    records = [item["record"] for item in entry["state"]["wan_batch_0000"].values()]
    gone = [record["handle"]["task_id"] for record in records if record.get("abandoned")]
    back = [{"prompt": prompt, "resolution": "720P", "duration": 2} for prompt in ("two", "three")]
    entry["arguments"]["requests"] += back
    lines += [
        {"status": "submitted", "mode": "text_to_video", "index": index, "task_id": task_id}
        for index, task_id in enumerate(gone, 3)
    ]
    entry = with_tasks(world, entry, lines)
    assert attempt_on(entry).run()["counts"] == {"succeeded": 4}
    assert world.created == ["one", "three", "two", "two, better"]


def test_an_item_of_unknown_outcome_is_paid_anew_only_by_policy(world: World) -> None:
    entry, lines = batch("unknown")
    attempt = attempt_on(with_tasks(world, entry, lines), on_unknown_submission="resubmit")
    assert attempt.run()["counts"] == {"succeeded": 3}
    assert world.created == ["one", "three", "two"]
