"""A clear: on which Airflow the former task is cancelled, and what a loop's state says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers import killed
from airflow_provider_wan.triggers.killed import KillReason, airflow_version, is_to_be_cancelled, kill_reason_of
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.triggers.wan import WanTaskTrigger
from tests.driving import carried, made

CASES = [
    # reason, durable, survives_clear, Airflow, cancelled
    (KillReason.ENDED, True, True, (3, 4), True),
    (KillReason.MOVED, True, False, (3, 4), False),
    (KillReason.UNREADABLE, True, False, (3, 4), False),
    (KillReason.IN_A_LOOP, True, False, (3, 4), False),
    (KillReason.RESTARTED, True, False, (3, 3), False),
    (KillReason.RESTARTED, True, False, (3, 4), True),
    (KillReason.RESTARTED, True, False, (3, 5), True),
    (KillReason.RESTARTED, True, True, (3, 4), False),
    (KillReason.RESTARTED, False, False, (3, 3), True),
]


@pytest.mark.parametrize(("reason", "durable", "survives_clear", "version", "is_cancelled"), CASES)
def test_what_a_clear_means_for_the_former_task(
    monkeypatch: pytest.MonkeyPatch,
    reason: KillReason,
    durable: bool,
    survives_clear: bool,
    version: Any,
    is_cancelled: bool,
) -> None:
    monkeypatch.setattr(killed, "airflow_version", lambda: version)
    assert is_to_be_cancelled(reason, durable=durable, survives_clear=survives_clear) is is_cancelled


def test_the_version_is_that_of_the_airflow_that_runs() -> None:
    from airflow import __version__

    assert __version__.startswith(".".join(map(str, airflow_version())))


@pytest.mark.parametrize("region", [{"region_id": "0193-aa"}, {"region_index": 2}], ids=["region", "index"])
async def test_an_ended_state_proves_nothing_in_a_loop(monkeypatch: pytest.MonkeyPatch, region: dict[str, Any]) -> None:
    instance = SimpleNamespace(dag_id="films", task_id="make", run_id="manual__1", map_index=-1, **region)
    monkeypatch.setattr(killed, "_states", lambda instance: ["success"])
    assert await kill_reason_of(instance) is KillReason.IN_A_LOOP


async def test_outside_of_loops_the_region_is_all_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    zero = "00000000-0000-0000-0000-000000000000"
    instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, region_id=zero, region_index=-1)
    monkeypatch.setattr(killed, "_states", lambda instance: ["failed"])
    assert await kill_reason_of(instance) is KillReason.ENDED


@pytest.mark.parametrize(
    ("version", "survives", "cancels"), [((3, 3), False, 0), ((3, 4), False, 1), ((3, 4), True, 0)]
)
async def test_a_cleared_task_that_is_queued_is_cancelled_where_its_record_may_be_gone(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, version: Any, survives: bool, cancels: int
) -> None:
    sandbox.configure(running_limit=0)
    handle = WanHook("wan_dashscope").submit(TextToVideoRequest(prompt="a boat"))
    monkeypatch.setattr(killed, "airflow_version", lambda: version)
    monkeypatch.setattr(killed, "_states", lambda instance: ["scheduled"])
    kwargs = {"survives_clear": True} if survives else {}
    first = WanTaskTrigger("wan_dashscope", handle.to_dict(), "2036-01-02T09:04:05+00:00", **kwargs)
    trigger = made(*[carried(part) if isinstance(part, dict) else part for part in first.serialize()])
    trigger.task_instance = SimpleNamespace(dag_id="films", task_id="make", run_id="manual__1", map_index=-1)
    await trigger.on_kill()
    assert len(sandbox.ledger()["cancels"]) == cancels
    assert sandbox.ledger()["billed"] == []


@pytest.mark.parametrize(
    ("version", "survives", "cancels"), [((3, 3), False, 0), ((3, 4), False, 1), ((3, 4), True, 0)]
)
async def test_a_cleared_task_whose_next_try_waits_already_has_not_moved(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, version: Any, survives: bool, cancels: int
) -> None:
    """Where triggers that move are dropped silently, nothing else is left: the next try may have paid anew."""
    sandbox.configure(running_limit=0)
    handle = WanHook("wan_dashscope").submit(TextToVideoRequest(prompt="a boat"))
    monkeypatch.setattr(killed, "airflow_version", lambda: version)
    monkeypatch.setattr(killed, "_states", lambda instance: ["deferred"])
    trigger = WanTaskTrigger("wan_dashscope", handle.to_dict(), "2036-01-02T09:04:05+00:00", survives_clear=survives)
    trigger.task_instance = SimpleNamespace(dag_id="films", task_id="make", run_id="manual__1", map_index=-1)
    await trigger.on_kill()
    assert len(sandbox.ledger()["cancels"]) == cancels


def test_an_owner_is_the_same_in_each_try_and_another_for_each_instance() -> None:
    def owner(**given: Any) -> str:
        return owner_of(SimpleNamespace(**{"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1} | given))

    assert owner(try_number=1, id="a") == owner(try_number=2, id="b")
    assert len({owner(), owner(map_index=1), owner(run_id="r2"), owner(task_id="t2"), owner(dag_id="d2")}) == 5
    assert owner_of(None) == ""


@pytest.mark.parametrize("profile", ["wan2.7-t2v/720P/5", ""], ids=["operator", "sensor"])
async def test_only_who_submitted_a_task_is_noted_as_its_owner(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    """What a sensor waits for may be the lost task of the operator before it."""
    from airflow_provider_wan.client.polling.finder import Finder
    from tests.driving import first_event

    noted: list[str] = []
    monkeypatch.setattr(Finder, "note_owner", lambda self, task_id, owner: noted.append(owner))
    handle = WanHook("wan_dashscope").submit(TextToVideoRequest(prompt="a boat"))
    deadline = "2036-01-02T09:04:05+00:00"
    trigger = WanTaskTrigger("wan_dashscope", handle.to_dict(), deadline, poll_interval=0.1, profile=profile)
    trigger.task_instance = SimpleNamespace(dag_id="films", task_id="make", run_id="manual__1", map_index=-1)
    await first_event(trigger)
    assert [bool(owner) for owner in noted] == [bool(profile)]
