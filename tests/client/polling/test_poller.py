"""The shared poller over real HTTP: who shares it, who leaves it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
from datetime import timedelta

import psutil
import pytest

from airflow_provider_wan.client.polling import poller as polling
from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.schedule.schedule import Schedule
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.client.transport.client import AsyncWanClient
from airflow_provider_wan.client.vendors import VENDOR_NAMES

from .conftest import INTERVAL, Desk


def open_connections(desk: Desk) -> int:
    """How many connections this process holds to the sandbox, on the client's side."""
    port = int(desk.sandbox.url.rsplit(":", 1)[1])
    connections = psutil.Process(os.getpid()).net_connections("tcp")
    return sum(one.raddr != () and one.raddr.port == port and one.status == "ESTABLISHED" for one in connections)


def statuses(endings: list[Ending]) -> set[EndingStatus]:
    return {ending.status for ending in endings}


@pytest.mark.parametrize("vendor", VENDOR_NAMES)
async def test_tasks_of_every_vendor_are_waited_for(desk: Desk, vendor: str) -> None:
    handles = await desk.submit(8, vendor=vendor)
    endings = await desk.wait_for_all(handles)
    assert [ending.task.task_id for ending in endings] == [handle.task_id for handle in handles]
    assert statuses(endings) == {EndingStatus.SUCCESS}
    assert desk.requests("query", vendor)["200"] <= 8 * 6


async def test_list_makes_one_query_for_each_video(desk: Desk) -> None:
    endings = await desk.wait_for_all(await desk.submit(40))
    assert statuses(endings) == {EndingStatus.SUCCESS}
    assert desk.requests("query") == {"200": 40}
    assert desk.requests("list")["200"] <= 8


async def test_one_poller_for_each_account_and_loop(desk: Desk) -> None:
    account = desk.account()
    async with shared_poller(account) as one, shared_poller(account) as two, shared_poller(desk.account(key="k2")) as x:
        assert one is two
        assert one is not x
    async with shared_poller(account) as later:
        assert later is not one


def test_each_event_loop_has_its_own(desk: Desk) -> None:
    async def work() -> Ending:
        (handle,) = await desk.submit()
        return await desk.wait(handle)

    assert statuses([asyncio.run(work()) for _ in range(2)]) == {EndingStatus.SUCCESS}


async def test_two_waiters_of_a_task_share_its_answer(desk: Desk) -> None:
    (handle,) = await desk.submit()
    one, two = await asyncio.gather(desk.wait(handle), desk.wait(handle, interval=0.5))
    assert one.status is EndingStatus.SUCCESS
    assert one.task is two.task


async def test_waiter_that_comes_when_the_task_has_ended_is_told_too(desk: Desk) -> None:
    first, second = await desk.submit(2)
    holding = asyncio.create_task(desk.wait(second, interval=5.0))
    assert (await desk.wait(first)).status is EndingStatus.SUCCESS
    assert (await desk.wait(first)).status is EndingStatus.SUCCESS
    holding.cancel()
    await asyncio.wait([holding])


async def test_last_waiter_leaves_nothing_behind(desk: Desk) -> None:
    handles = await desk.submit(30)
    before = open_connections(desk)
    await desk.wait_for_all(handles)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert open_connections(desk) == before
    assert polling._pollers[asyncio.get_running_loop()] == []


async def test_cancelled_waiters_are_not_asked_for_and_others_go_on(desk: Desk, sent: list[tuple[float, str]]) -> None:
    gone = await desk.submit(3, "A boat [sandbox hold]", vendor="gccai")
    stay = await desk.submit(3, vendor="gccai")
    # The first of them starts the poller's loop.
    leaving = [asyncio.create_task(desk.wait(handle)) for handle in gone]
    staying = [asyncio.create_task(desk.wait(handle)) for handle in stay]
    await asyncio.sleep(INTERVAL)
    for task in leaving:
        task.cancel()
    await asyncio.wait(leaving)
    left_at = asyncio.get_running_loop().time()
    assert statuses(await asyncio.gather(*staying)) == {EndingStatus.SUCCESS}
    later = [target for at, target in sent if at > left_at]
    assert later
    assert not [target for target in later for handle in gone if handle.task_id in target]
    assert all(task.cancelled() for task in leaving)


async def test_waiter_cancelled_in_the_middle_of_a_request_leaves_nothing(desk: Desk) -> None:
    desk.sandbox.configure(answer_delay=0.2)
    (handle,) = await desk.submit()
    task = asyncio.create_task(desk.wait(handle, interval=0.1))
    await asyncio.to_thread(desk.sandbox.wait_for, lambda books: bool(books["requests"]["dashscope"].get("query")))
    task.cancel()
    # Twice, as Airflow does with triggers.
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        await asyncio.wait(rest, timeout=5)
    gc.collect()
    assert open_connections(desk) == 0


async def test_changes_are_told_in_the_context_of_their_own_waiter(desk: Desk) -> None:
    desk.sandbox.configure(pending_seconds=0.1, generation_seconds=(0.7, 0.7))
    whose = contextvars.ContextVar("whose", default="nobody")
    told: list[tuple[str, str]] = []

    async def wait(number: int) -> Ending:
        whose.set(handles[number].task_id)
        return await desk.wait(handles[number], on_change=lambda change: told.append((whose.get(), change)))

    handles = await desk.submit(6)
    await asyncio.gather(*map(wait, range(6)))
    assert all(task_id in change for task_id, change in told)
    for handle in handles:
        own = [change.rsplit(" ", 1)[1] for task_id, change in told if task_id == handle.task_id]
        assert own in (["running", "succeeded"], ["succeeded"])
    assert any("running" in change for _, change in told)


async def test_no_wait_ends_within_its_first_interval(desk: Desk) -> None:
    (handle,) = await desk.submit()
    await desk.wait(handle)
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended, timed_out = await asyncio.gather(desk.wait(handle, interval=0.5), desk.wait(handle, seconds=-5.0))
    assert ended.status is EndingStatus.SUCCESS
    assert loop.time() - began >= 0.5
    # A deadline that had passed before the wait began still gets its look.
    assert timed_out.status is EndingStatus.SUCCESS


async def test_deadline_brings_one_more_look(desk: Desk) -> None:
    desk.sandbox.configure(generation_seconds=(0.3, 0.3))
    (handle,) = await desk.submit()
    # The first look of its own would come after four intervals.
    ending = await desk.wait(handle, seconds=0.8, interval=0.7)
    assert ending.status is EndingStatus.SUCCESS


async def test_deadline_ends_the_wait_of_a_task_that_goes_on(desk: Desk, sent: list[tuple[float, str]]) -> None:
    (handle,) = await desk.submit(1, "[sandbox hold]")
    loop = asyncio.get_running_loop()
    began = loop.time()
    # Between the last look of its turn and the deadline there is time for that look's answer, also on a busy machine.
    ending = await desk.wait(handle, seconds=3.0, interval=2.0)
    assert ending.status is EndingStatus.TIMEOUT
    assert ending.task.task_id == handle.task_id
    assert loop.time() - began >= 3.0
    assert [target for at, target in sent if at - began >= 3.0 and handle.task_id in target]


async def test_bug_in_a_decision_strands_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    decide, calls = Schedule.next, 0

    def now_and_then(self: Schedule, now: float) -> object:
        nonlocal calls
        calls += 1
        if calls in (1, 3):
            raise KeyError("a bug")
        return decide(self, now)

    desk.times = PollingTimes(after_bug=0.05)
    monkeypatch.setattr(Schedule, "next", now_and_then)
    assert statuses(await desk.wait_for_all(await desk.submit(3))) == {EndingStatus.SUCCESS}


async def test_bug_in_reading_an_answer_strands_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = AsyncWanClient.get_task, 0

    async def now_and_then(self: AsyncWanClient, *given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("a bug")
        return await read(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(AsyncWanClient, "get_task", now_and_then)
    assert statuses(await desk.wait_for_all(await desk.submit(3))) == {EndingStatus.SUCCESS}


async def test_three_hundred_waiters_do_not_hold_up_the_loop(desk: Desk, record_property: object) -> None:
    handles = await desk.submit(300)
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before - 0.005)

    ticking = asyncio.create_task(tick())
    async with asyncio.timeout(60):
        endings = await desk.wait_for_all(handles, interval=0.5, account=desk.account(queries_per_second=200.0))
    ticking.cancel()
    assert statuses(endings) == {EndingStatus.SUCCESS}
    assert desk.requests("query") == {"200": 300}
    # The sandbox runs in a thread of this process, so the figure is an upper bound; it is reported, not asserted.
    record_property("longest_stall_ms", round(longest * 1000, 1))  # type: ignore[operator]


async def test_deadline_far_away_is_no_trouble(desk: Desk) -> None:
    (handle,) = await desk.submit()
    async with shared_poller(desk.account()) as poller:
        ending = await poller.wait(handle, utc_now() + timedelta(days=3000), INTERVAL)
    assert ending.status is EndingStatus.SUCCESS
