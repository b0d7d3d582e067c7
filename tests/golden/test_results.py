"""Results and handles that stand in XCom, taken by what comes after the operators."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from .driving import Attempt, import_string
from .files import aged, golden, names_in, renamed
from .world import World

VENDORS = names_in("modes")
SENSOR = "airflow_provider_wan.sensors.wan.WanTaskSensor"
TRANSFER = "airflow_provider_wan.transfers.wan_to_object_storage.WanVideoToObjectStorageOperator"
HOOK = "airflow_provider_wan.hooks.wan.WanHook"

every_vendor = pytest.mark.parametrize("vendor", VENDORS)


def conn_of(vendor: str) -> str:
    return "wan_default" if vendor == "dashscope" else f"wan_{vendor}"


def made(world: World, vendor: str, what: str) -> dict[str, Any]:
    """A golden handle or result of a task that has succeeded."""
    entry = golden(f"modes/{vendor}.json")["text_to_video"]
    task_id = world.submitted(entry)["task_id"]
    world.all_over()
    return dict(renamed(entry[what], {entry[what]["task_id"]: task_id}))


@every_vendor
def test_a_sensor_takes_a_handle_and_its_json(world: World, vendor: str) -> None:
    handle = made(world, vendor, "handle")
    for given in (handle, json.dumps(handle)):
        result = Attempt(SENSOR, {"handle": given, "wan_conn_id": conn_of(vendor)}).step()
        assert (result["task_id"], result["status"]) == (handle["task_id"], "succeeded")


@every_vendor
@pytest.mark.parametrize("what", ["handle", "result"])
def test_a_transfer_takes_a_handle_and_a_result(world: World, vendor: str, what: str) -> None:
    given = made(world, vendor, what)
    if what == "result":
        given["video_url"] = "https://media.example.com/expired.mp4"
    attempt = Attempt(TRANSFER, {"result": given, "store_to": "memory://golden/new/", "wan_conn_id": conn_of(vendor)})
    result = attempt.step()
    assert ObjectStoragePath(result["uri"]).stat().st_size == result["bytes"]
    assert result.keys() >= golden("transfer.json")["result"]["returned"].keys()


@pytest.mark.parametrize("name", ["result", "handle"])
def test_a_transfer_finds_what_it_has_stored(world: World, name: str) -> None:
    """The vendor has forgotten the task, or knows it still: nothing is downloaded again."""
    entry = golden("transfer.json")[name]
    landed = entry["state"]["wan_landed"]
    if name == "handle":
        submitted = golden("modes/dashscope.json")["text_to_video"]
        old = entry["arguments"]["result"]["task_id"]
        entry = renamed(entry, {old: world.submitted(submitted)["task_id"]})
        landed = entry["state"]["wan_landed"]
        world.all_over()
    world.put(landed["uri"], landed["bytes"])
    result = Attempt.on(entry).step()
    assert {key: result[key] for key in landed} == landed
    assert world.sandbox.ledger()["requests"].get("files", {}) == {}
    assert ObjectStoragePath(landed["uri"]).read_bytes() == b"\0" * landed["bytes"]


@every_vendor
def test_the_hook_takes_a_handle(world: World, vendor: str) -> None:
    hook = import_string(HOOK)(conn_of(vendor))
    handle = made(world, vendor, "handle")
    task = hook.get_task(handle)
    assert (task.task_id, task.status) == (handle["task_id"], "succeeded")
    assert hook.wait(handle, timeout=10, poll_interval=0.1).video_url
    hook.close()


@pytest.mark.parametrize("name", golden("xcom_models.json"))
def test_models_that_a_task_returned_are_read_by_their_class_paths(name: str) -> None:
    written = golden("xcom_models.json")[name]
    model = import_string(written["__classname__"])
    assert model is import_string(f"airflow_provider_wan.client.{name}")
    found = model.model_validate(written["__data__"]).model_dump(mode="json")
    assert found.items() >= written["__data__"].items()


def test_a_result_of_the_operators_is_a_task() -> None:
    result = aged(golden("modes/dashscope.json")["text_to_video"]["result"], "2026-11-24T10:00:00Z", timedelta(hours=1))
    task = import_string("airflow_provider_wan.client.VideoTask").model_validate(result)
    assert (task.task_id, task.status, task.video_url) == (result["task_id"], "succeeded", result["video_url"])
