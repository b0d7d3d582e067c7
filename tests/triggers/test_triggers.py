"""The triggers: what crosses to the triggerer and back, each ending, and what a kill does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import Ending
from airflow_provider_wan.client.polling.window import WindowItem
from airflow_provider_wan.client.recovery.search import Sought
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers import wan as triggers
from airflow_provider_wan.triggers.killed import KillReason, kill_reason_of
from airflow_provider_wan.triggers.wan import WanBatchTrigger, WanPauseTrigger, WanSearchTrigger, WanTaskTrigger
from tests.driving import KEY, carried, first_event, made


def submitted(order: str = "", vendor: str = "dashscope") -> TaskHandle:
    prompt = f"A very private boat [sandbox {order}]" if order else "A very private boat"
    return WanHook(f"wan_{vendor}").submit(TextToVideoRequest(prompt=prompt, resolution="720P"))


def trigger_for(handle: TaskHandle, seconds: float = 20, **given: Any) -> WanTaskTrigger:
    """A trigger as it is after its way to a triggerer."""
    deadline = (utc_now() + timedelta(seconds=seconds)).isoformat()
    settings: dict[str, Any] = {"poll_interval": 0.1, "wan_conn_id": f"wan_{handle.vendor}", **given}
    made_here = WanTaskTrigger(handle=handle.to_dict(), deadline=deadline, **settings)
    classpath, kwargs = made_here.serialize()
    trigger: WanTaskTrigger = made(classpath, carried(kwargs))
    trigger.task_instance = SimpleNamespace(dag_id="films", task_id="make", run_id="manual__1", map_index=-1)
    return trigger


async def event_of(trigger: WanTaskTrigger) -> dict[str, Any]:
    payload = (await first_event(trigger)).payload
    assert json.loads(json.dumps(payload)) == payload
    assert list(payload) == ["status", "task", "message"]
    assert KEY not in repr(payload)
    assert "private" not in repr(payload)
    found: dict[str, Any] = carried(payload)
    assert Ending.from_event(found).to_event() == payload
    return found


# -- to the triggerer and back ----------------------------------------------------------------------------

KWARGS: dict[str, Any] = {
    "wan_conn_id": "wan_default",
    "handle": {
        "vendor": "dashscope",
        "task_id": "t-1",
        "mode": "text_to_video",
        "model": "wan2.7-t2v",
        "submitted_at": "2026-01-02T03:04:05Z",
        "request_id": "r-1",
    },
    "deadline": "2026-01-02T09:04:05+00:00",
    "poll_interval": 15.0,
    "cancel_on_kill": True,
    "cancel_on_timeout": False,
    "durable": True,
    "profile": "wan2.7-t2v/720P/5",
}


def test_serialised_form_of_the_task_trigger() -> None:
    classpath, kwargs = WanTaskTrigger(**KWARGS).serialize()
    assert classpath == "airflow_provider_wan.triggers.wan.WanTaskTrigger"
    assert kwargs == KWARGS
    assert json.loads(json.dumps(kwargs)) == kwargs
    assert carried(kwargs) == kwargs
    assert made(classpath, carried(kwargs)).serialize() == (classpath, kwargs)


def test_a_trigger_of_an_older_release_is_understood() -> None:
    first = ("wan_conn_id", "handle", "deadline", "poll_interval", "cancel_on_kill", "cancel_on_timeout")
    assert WanTaskTrigger(**{name: KWARGS[name] for name in first}).serialize()[1]["durable"] is True


def test_serialised_form_of_the_pause_trigger() -> None:
    kwargs: dict[str, Any] = {"moment": "2026-01-02T03:04:05+00:00", "since": "2026-01-02T03:03:05+00:00"}
    classpath, full = WanPauseTrigger(**kwargs).serialize()
    assert classpath == "airflow_provider_wan.triggers.wan.WanPauseTrigger"
    assert full == {**kwargs, "record": None}
    assert made(classpath, carried(full)).serialize() == (classpath, full)


async def test_the_pause_trigger_fires_at_its_moment() -> None:
    began, since = time.monotonic(), utc_now().isoformat()
    pause = WanPauseTrigger((utc_now() + timedelta(seconds=0.3)).isoformat(), since, {"a": 1})
    assert (await first_event(pause)).payload == {"since": since, "record": {"a": 1}}
    assert 0.25 < time.monotonic() - began < 2
    # Its moment may have passed while no triggerer ran.
    late = WanPauseTrigger((utc_now() - timedelta(hours=1)).isoformat(), since)
    assert (await asyncio.wait_for(first_event(late), 1)).payload["since"] == since


SEARCH: dict[str, Any] = {
    "wan_conn_id": "wan_default",
    "sought": {
        "mode": "text_to_video",
        "model": "wan2.7-t2v",
        "traits": ["0011223344556677", "", "720P", "16:9", 5],
        "intent_at": "2026-01-02T03:04:05+00:00",
        "until": "2026-01-02T03:04:06+00:00",
        "request_id": None,
        "not_ours": ["t-0"],
        "timing": [60.0, 20.0, 120.0, 600.0],
    },
    "deadline": "2026-01-02T09:04:05+00:00",
    "since": "2026-01-02T03:04:05+00:00",
    "record": None,
}


def test_serialised_form_of_the_search_trigger() -> None:
    classpath, kwargs = WanSearchTrigger(**SEARCH).serialize()
    assert classpath == "airflow_provider_wan.triggers.wan.WanSearchTrigger"
    assert kwargs == SEARCH
    assert Sought.of(kwargs["sought"]).to_dict() == kwargs["sought"]
    assert made(classpath, carried(kwargs)).serialize() == (classpath, kwargs)


# -- endings ----------------------------------------------------------------------------------------------


async def test_success(sandbox: Sandbox, vendor: str) -> None:
    handle = submitted(vendor=vendor)
    event = await event_of(trigger_for(handle))
    assert (event["status"], event["message"]) == ("success", "")
    assert event["task"]["task_id"] == handle.task_id
    assert event["task"]["video_url"].startswith(sandbox.url)


async def test_failure(sandbox: Sandbox, vendor: str) -> None:
    event = await event_of(trigger_for(submitted("fail=InternalError message=broken", vendor)))
    assert event["status"] == "failed"
    assert event["task"]["status"] == "failed"
    assert "broken" in event["message"] + str(event["task"].get("error_code"))


async def test_cancelled_by_somebody_else(sandbox: Sandbox) -> None:
    handle = submitted("hold")
    sandbox.change(handle.task_id, "cancel")
    assert (await event_of(trigger_for(handle)))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("order", "is_asked", "said"),
    [
        ("hold", True, "was cancelled while queued: it is not billed"),
        ("run-forever", True, "runs on and will be billed: DashScope cancels queued tasks only"),
        ("hold", False, "passed while the task was pending"),
    ],
)
async def test_deadline(sandbox: Sandbox, order: str, is_asked: bool, said: str) -> None:
    handle = submitted(order)
    event = await event_of(trigger_for(handle, 0.5, cancel_on_timeout=is_asked))
    assert event["status"] == "timeout"
    assert "The deadline" in event["message"]
    assert said in event["message"]
    assert len(sandbox.ledger()["cancels"]) == is_asked


async def test_deadline_where_nothing_can_be_cancelled(sandbox: Sandbox) -> None:
    event = await event_of(trigger_for(submitted("hold", "gccai"), 0.5))
    assert "runs on and will be billed: GCCAI cannot cancel tasks" in event["message"]


async def test_deadline_during_an_outage_says_that_nothing_is_known(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = partial(shared_poller, times=PollingTimes(last_look=0.5))
    monkeypatch.setattr("airflow_provider_wan.client.polling.poller.shared_poller", soon)
    handle = submitted("hold")
    sandbox.configure(outage=3600)
    event = await event_of(trigger_for(handle, 0.3))
    assert event["status"] == "timeout"
    assert "could not be cancelled" in event["message"]
    assert "may run on and be billed" in event["message"]


async def test_a_deadline_of_yesterday_still_takes_the_video(sandbox: Sandbox) -> None:
    """The triggerer was down over the deadline; the vendor was not."""
    handle = submitted()
    sandbox.wait_for(lambda books: len(books["billed"]) == 1)
    assert (await event_of(trigger_for(handle, -3600)))["status"] == "success"


async def test_a_task_that_the_account_does_not_have(sandbox: Sandbox) -> None:
    handle = submitted().model_copy(update={"task_id": "0f0e0d0c-0000-4000-8000-000000000000"})
    event = await event_of(trigger_for(handle))
    assert event["status"] == "error"
    assert "belongs to another account" in event["message"]


async def test_the_first_look_comes_an_interval_after_the_deferral(sandbox: Sandbox) -> None:
    """Airflow may lose a task whose trigger fires before the deferral is in its database."""
    handle = submitted()
    sandbox.wait_for(lambda books: len(books["billed"]) == 1)
    began = time.monotonic()
    await event_of(trigger_for(handle, poll_interval=0.5))
    assert time.monotonic() - began >= 0.45


async def test_a_triggerer_that_stops_cancels_nothing(sandbox: Sandbox) -> None:
    handle = submitted("hold")
    waiting = asyncio.create_task(event_of(trigger_for(handle)))
    await asyncio.to_thread(sandbox.wait_for, lambda books: "query" in books["requests"]["dashscope"])
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert sandbox.ledger()["cancels"] == []


async def test_triggers_of_one_account_share_a_poller(sandbox: Sandbox) -> None:
    handles = [submitted() for _ in range(5)]
    events = await asyncio.gather(*(event_of(trigger_for(handle)) for handle in handles))
    assert [event["task"]["task_id"] for event in events] == [handle.task_id for handle in handles]
    assert {event["status"] for event in events} == {"success"}


# -- a secrets backend that is away -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["task", "batch"])
async def test_a_connection_that_cannot_be_looked_up_at_first_ends_no_wait(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Eight triggers start while the secrets backend is down; Airflow says that the connection does not exist."""
    monkeypatch.setattr("airflow_provider_wan.hooks.looking_up.persistently.__defaults__", (None, 0.02))
    handle = submitted()
    reads = 0
    monkeypatch.setenv("AIRFLOW_CONN_WAN_LATE", os.environ["AIRFLOW_CONN_WAN_DASHSCOPE"])
    real = WanHook.aget_account

    async def read(self: WanHook, is_fresh: bool = False) -> Any:
        nonlocal reads
        reads += 1
        if reads <= 3:
            raise AirflowNotFoundException("The conn_id `wan_late` isn't defined")
        return await real(self, is_fresh)

    monkeypatch.setattr(WanHook, "aget_account", read)
    deadline = utc_now() + timedelta(seconds=30)

    def made_anew() -> Any:
        if kind == "task":
            return trigger_for(handle, wan_conn_id="wan_late")
        return WanBatchTrigger("wan_late", [WindowItem("a", handle, deadline).to_list()], 1, poll_interval=0.1)

    events = [event.payload for event in await asyncio.gather(*(first_event(made_anew()) for _ in range(8)))]
    found = [event if kind == "task" else event["endings"]["a"] for event in events]
    assert [event["status"] for event in found] == ["success"] * 8
    assert reads >= 4


# -- a kill -----------------------------------------------------------------------------------------------


def task_is(monkeypatch: pytest.MonkeyPatch, state: str | Exception | None) -> list[dict[str, Any]]:
    """Let Airflow answer with ``state``; return what was asked."""
    asked: list[dict[str, Any]] = []

    def answer(**given: Any) -> dict[str, Any]:
        asked.append(given)
        if isinstance(state, Exception):
            raise state
        return {"manual__1": {"make": state}}

    runner = "airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states"
    monkeypatch.setattr(runner, answer)
    return asked


async def killed(trigger: WanTaskTrigger, again_after: float | None = None) -> None:
    """Kill as Airflow 3.3.2 does: ``on_kill`` is itself cancelled soon after; then wait for what goes on."""
    killing = asyncio.create_task(trigger.on_kill())
    if again_after is not None:
        await asyncio.sleep(again_after)
        assert not killing.done()
        killing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killing
    await asyncio.gather(*triggers._background)


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
async def test_a_killed_task_is_cancelled(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    asked = task_is(monkeypatch, state)
    handle = submitted("hold")
    await killed(trigger_for(handle))
    assert sandbox.ledger()["cancels"] == [{"task_id": handle.task_id, "vendor": "dashscope", "accepted": True}]
    assert asked == [{"dag_id": "films", "task_ids": ["make"], "run_ids": ["manual__1"], "map_index": -1}]
    assert f"Task {handle.task_id} was cancelled while queued" in capsys.readouterr().out


async def test_the_cancel_outlives_a_second_kill(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    task_is(monkeypatch, "failed")
    handle = submitted("hold cancel-delay=0.5")
    await killed(trigger_for(handle), again_after=0.1)
    assert sandbox.ledger()["cancels"] == [{"task_id": handle.task_id, "vendor": "dashscope", "accepted": True}]


async def test_the_cancel_at_the_deadline_outlives_a_kill(sandbox: Sandbox) -> None:
    waiting = asyncio.create_task(event_of(trigger_for(submitted("hold cancel-delay=0.5"), 0.2)))
    while not triggers._background:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.02)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await asyncio.gather(*triggers._background)
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True]


async def test_a_running_task_is_told_to_be_billed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task_is(monkeypatch, "failed")
    await killed(trigger_for(submitted("run-forever")))
    said = capsys.readouterr().out
    assert "runs on and will be billed" in said
    assert "the next run of this task adopts it" in said


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        ("deferred", KillReason.MOVED),
        ("queued", KillReason.RESTARTED),
        ("scheduled", KillReason.RESTARTED),
        ("running", KillReason.RESTARTED),
        (None, KillReason.RESTARTED),
        ("failed", KillReason.ENDED),
        ("success", KillReason.ENDED),
        (RuntimeError("no database"), KillReason.UNREADABLE),
    ],
)
async def test_what_became_of_the_task(monkeypatch: pytest.MonkeyPatch, state: Any, fate: KillReason) -> None:
    task_is(monkeypatch, state)
    assert await kill_reason_of(trigger_for(TaskHandle.of(KWARGS["handle"])).task_instance) is fate


async def test_a_deleted_run_leaves_nobody_who_would_adopt(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Airflow answers with nothing: its rows of the run are gone, and with them what was recorded."""
    runner = "airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states"
    monkeypatch.setattr(runner, lambda **_: {})
    handle = submitted("hold")
    await killed(trigger_for(handle, survives_clear=True))
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True]
    assert "the run of the Airflow task was deleted" in capsys.readouterr().out


async def test_nothing_is_known_without_a_task() -> None:
    assert await kill_reason_of(None) is KillReason.UNREADABLE


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("deferred", "still deferred"),
        ("queued", "runs again"),
        (RuntimeError("no database"), "could not be looked up"),
    ],
)
async def test_a_task_that_may_still_be_wanted_is_left_alone(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Any, said: str
) -> None:
    monkeypatch.setattr("airflow_provider_wan.triggers.killed.airflow_version", lambda: (3, 3))
    task_is(monkeypatch, state)
    handle = submitted("hold")
    await killed(trigger_for(handle))
    assert sandbox.ledger()["cancels"] == []
    told = capsys.readouterr().out
    assert f"Task {handle.task_id} is left alone" in told
    assert said in told


async def test_a_cleared_task_that_nothing_adopts_is_cancelled(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_is(monkeypatch, "queued")
    await killed(trigger_for(submitted("hold"), durable=False))
    assert len(sandbox.ledger()["cancels"]) == 1


async def test_a_kill_may_be_told_to_leave_the_task(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = task_is(monkeypatch, "failed")
    await killed(trigger_for(submitted("hold"), cancel_on_kill=False))
    assert (sandbox.ledger()["cancels"], asked) == ([], [])


async def test_a_cancel_that_fails_is_told(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task_is(monkeypatch, "failed")
    monkeypatch.setattr(triggers, "CANCEL_SECONDS", 0.2)
    await killed(trigger_for(submitted("hold cancel-delay=2")))
    assert "could not be cancelled (no answer): it may run on and be billed" in capsys.readouterr().out


async def test_what_is_imported_is_kept_out_of_garbage_collections_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    triggers._freeze_imports.cache_clear()
    frozen = []
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(True))
    for handle in (submitted(), submitted()):
        await event_of(trigger_for(handle))
    assert frozen == [True]
