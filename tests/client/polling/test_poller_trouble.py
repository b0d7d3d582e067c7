"""The shared poller when the vendor, the network or the key is in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanAuthError
from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import EndingStatus
from airflow_provider_wan.client.schedule import pace
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.transport.client import AsyncWanClient
from airflow_provider_wan.client.vendors import VENDOR_NAMES
from airflow_provider_wan.sandbox.settings import fingerprint
from tests.client.transport.loopback import closed_port

from .conftest import INTERVAL, KEY, NEW_KEY, Desk
from .test_poller import statuses


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.02)


@pytest.mark.parametrize(
    "faults",
    [
        {"error_rates": {"query": {500: 0.4}, "list": {500: 0.3}}},
        {"malformed_rate": {"query": 0.3, "list": 0.3}},
        {"outage": 0.6, "outage_kind": "reset"},
        {"outage": 0.6, "outage_kind": "503"},
        {"query_qps": 10.0, "retry_after_seconds": 0.2},
        {"list_lag_seconds": 0.7},
        {"page_size_max": 3},
        {"utc_offset_hours": -5.0},
    ],
    ids=lambda faults: "+".join(faults),
)
async def test_nothing_is_lost(desk: Desk, faults: dict[str, Any]) -> None:
    handles = await desk.submit(12)
    desk.sandbox.configure(**faults)
    assert statuses(await desk.wait_for_all(handles)) == {EndingStatus.SUCCESS}


@pytest.mark.parametrize("vendor", VENDOR_NAMES)
async def test_no_vendor_loses_anything_when_all_goes_wrong(desk: Desk, vendor: str) -> None:
    handles = await desk.submit(4, vendor=vendor)
    desk.sandbox.configure(
        error_rates={"query": {500: 0.3}}, malformed_rate={"query": 0.2}, outage=0.4, retry_after_seconds=0.2
    )
    assert statuses(await desk.wait_for_all(handles)) == {EndingStatus.SUCCESS}


async def test_a_vendor_that_is_asked_too_often_leaves_one_line(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    soon = {"Retry-After": "0.1"}
    refusal = {"call": "query", "status": 429, "code": "Throttling", "message": "too many queries", "headers": soon}
    desk.sandbox.configure(fail_next=[refusal] * 3)
    await desk.wait((await desk.submit(vendor="gccai"))[0])
    lines = [record.getMessage() for record in caplog.records if "less often" in record.getMessage()]
    assert len(lines) == 1
    assert desk.requests("query", "gccai")["429"] == 3


async def test_retry_after_slows_the_account(desk: Desk, sent: list[tuple[float, str]]) -> None:
    desk.sandbox.configure(
        retry_after_seconds=0.7,
        fail_next=[{"call": "query", "status": 429, "code": "Throttling", "headers": {"Retry-After": "0.7"}}],
    )
    handles = await desk.submit(4, vendor="gccai")
    sent.clear()
    await desk.wait_for_all(handles)
    moments = [at for at, _ in sent]
    # What was under way when it came is answered; after it, everybody is silent for that second.
    assert max(after - before for before, after in pairwise(moments)) >= 0.65
    assert desk.requests("query", "gccai")["429"] == 1


async def test_key_is_read_again_once_when_it_is_refused(desk: Desk) -> None:
    handles = await desk.submit(20, key=NEW_KEY)
    desk.sandbox.configure(api_keys=[NEW_KEY])
    asked = 0

    async def refresh() -> Account:
        nonlocal asked
        asked += 1
        # Long enough for the requests under way to be refused as well.
        await asyncio.sleep(0.1)
        return desk.account(key=NEW_KEY)

    endings = await desk.wait_for_all(handles, refresh=refresh)
    assert statuses(endings) == {EndingStatus.SUCCESS}
    assert asked == 1


async def test_waiters_with_the_new_key_join_the_poller_that_has_it(desk: Desk) -> None:
    handles = await desk.submit(3, key=NEW_KEY)
    desk.sandbox.configure(api_keys=[NEW_KEY])

    async def refresh() -> Account:
        return desk.account(key=NEW_KEY)

    async with shared_poller(desk.account(), refresh) as poller:
        assert statuses(await desk.wait_for_all(handles)) == {EndingStatus.SUCCESS}
        async with shared_poller(desk.account(key=NEW_KEY)) as other:
            assert other is poller


async def unreachable_secrets(desk: Desk) -> Account:
    raise LookupError("the secrets backend is down")


async def same_key(desk: Desk) -> Account:
    return desk.account()


async def useless_key(desk: Desk) -> Account:
    return desk.account(key="two lines\nof text")


async def other_vendor(desk: Desk) -> Account:
    return desk.account("gccai", key=NEW_KEY)


@pytest.mark.parametrize("read", [unreachable_secrets, same_key, useless_key, other_vendor])
async def test_key_that_stays_refused_ends_all_waits_with_the_reason(
    desk: Desk, read: Callable[[Desk], Awaitable[Account]]
) -> None:
    handles = await desk.submit(6, "[sandbox hold]")
    desk.sandbox.configure(api_keys=[fingerprint("sk-somebody-else")])
    asked = 0

    async def refresh() -> Account:
        nonlocal asked
        asked += 1
        return await read(desk)

    endings = await desk.wait_for_all(handles, refresh=refresh)
    assert statuses(endings) == {EndingStatus.ERROR}
    assert asked == 1
    assert all("key" in ending.message.lower() for ending in endings)
    assert sum(desk.requests("query").values()) + sum(desk.requests("list").values()) < 30


async def test_a_key_that_has_worked_may_be_refused_for_a_while(desk: Desk) -> None:
    desk.sandbox.configure(generation_seconds=(1.2, 1.2))
    handles = await desk.submit(20)
    waits = [asyncio.create_task(desk.wait(handle)) for handle in handles]
    await asyncio.sleep(3 * INTERVAL)
    desk.sandbox.configure(api_keys=[fingerprint("sk-somebody-else")])
    await asyncio.sleep(1.0)
    desk.sandbox.configure(api_keys=[])
    assert statuses(await asyncio.gather(*waits)) == {EndingStatus.SUCCESS}


async def test_a_connection_that_moved_to_another_host_is_read_again_after_long_trouble(desk: Desk) -> None:
    handles = await desk.submit(3)
    gone = Account("dashscope", closed_port(), SecretStr(KEY), queries_per_second=100.0)
    desk.times = PollingTimes(trouble=0.2)

    async def refresh() -> Account:
        return desk.account()

    assert statuses(await desk.wait_for_all(handles, account=gone, refresh=refresh)) == {EndingStatus.SUCCESS}


async def test_another_host_that_does_not_know_the_tasks_is_not_taken(desk: Desk) -> None:
    (handle,) = await desk.submit(1, "[sandbox hold]")
    desk.sandbox.change(handle.task_id, "expire")
    gone = Account("dashscope", closed_port(), SecretStr(KEY), queries_per_second=100.0)
    desk.times = PollingTimes(trouble=0.1, reread=0.1, last_look=0.1)
    asked = 0

    async def refresh() -> Account:
        nonlocal asked
        asked += 1
        return desk.account()

    # Taken over, it would end with "no such task".
    ending = await desk.wait(handle, account=gone, refresh=refresh, seconds=1.5)
    assert ending.status is EndingStatus.TIMEOUT
    assert asked > 1


async def test_one_task_that_may_not_be_seen_does_not_end_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.sandbox.configure(generation_seconds=(2.0, 2.0))
    handles = await desk.submit(4, vendor="gccai")
    secret, read = handles[0].task_id, AsyncWanClient.get_task

    async def refused(self: AsyncWanClient, handle: TaskHandle, *given: Any) -> VideoTask:
        if handle.task_id == secret:
            raise WanAuthError("not in your workspace")
        return await read(self, handle, *given)

    monkeypatch.setattr(AsyncWanClient, "get_task", refused)
    first, *others = await desk.wait_for_all(handles)
    assert first.status is EndingStatus.ERROR
    assert "workspace" in first.message
    assert statuses(others) == {EndingStatus.SUCCESS}


async def test_unknown_task_is_explained(desk: Desk) -> None:
    (handle,) = await desk.submit()
    ending = await desk.wait(handle.model_copy(update={"task_id": "00000000-0000-4000-8000-000000000000"}))
    assert ending.status is EndingStatus.ERROR
    assert "another account" in ending.message


async def test_expired_task_is_explained(desk: Desk) -> None:
    (handle,) = await desk.submit(1, "[sandbox hold]")
    desk.sandbox.change(handle.task_id, "expire")
    ending = await desk.wait(handle)
    assert ending.status is EndingStatus.ERROR
    assert "24 h" in ending.message


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
async def test_status_word_nobody_knows_is_borne_five_times(desk: Desk, vendor: str) -> None:
    (handle,) = await desk.submit(1, "[sandbox hold]", vendor=vendor)
    desk.sandbox.configure(unknown_status_word="HALF-DONE")
    ending = await desk.wait(handle)
    assert ending.status is EndingStatus.ERROR
    assert "HALF-DONE" in ending.message
    assert desk.requests("query", vendor) == {"200": 5}


async def test_failed_task_ends_its_own_wait_only(desk: Desk) -> None:
    handles = await desk.submit(3, "[sandbox hold]")
    good = await desk.submit(3)
    waits = [asyncio.create_task(desk.wait(handle)) for handle in handles + good]
    await asyncio.sleep(INTERVAL)
    for handle in handles:
        await asyncio.to_thread(desk.sandbox.change, handle.task_id, "fail", code="DataInspectionFailed", message="no")
    endings = await asyncio.gather(*waits)
    assert statuses(endings[:3]) == {EndingStatus.FAILED}
    assert {ending.task.error_code for ending in endings[:3]} == {"DataInspectionFailed"}
    assert statuses(endings[3:]) == {EndingStatus.SUCCESS}
