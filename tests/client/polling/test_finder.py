"""Lost submissions are looked for together: each page and each task is read once, whoever wants to know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanSubmissionUnknown
from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.recovery import search as searching
from airflow_provider_wan.client.recovery.search import Catalogue, Clue, Reading, Sought, Timing, judge
from airflow_provider_wan.client.recovery.traits import Traits, traits_asked
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.transport.client import AsyncWanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.base import TaskPage

from .conftest import Desk

QUICK = Timing(late=timedelta(0), look_again=0.1)


def request(prompt: str) -> TextToVideoRequest:
    return TextToVideoRequest(prompt=prompt, duration=5)


async def lost(desk: Desk, prompt: str, timing: Timing = QUICK) -> Sought:
    """Submit a request whose answer is lost, by the orders in its prompt; return what is to be looked for."""
    before = utc_now()
    async with AsyncWanClient(desk.account()) as client:
        with pytest.raises(WanSubmissionUnknown):
            await client.submit(request(prompt), patience=Patience(tries=1))
    return Sought(Mode.TEXT_TO_VIDEO, "wan2.7-t2v", traits_asked(request(prompt)), before, utc_now(), timing=timing)


async def find(desk: Desk, sought: Sought, seconds: float = 30.0, tell: Callable[[str], None] = lambda _: None) -> Clue:
    async with shared_poller(desk.account()) as poller:
        return await poller.find(sought, utc_now() + timedelta(seconds=seconds), tell)


def prompts(desk: Desk, clue: Clue) -> list[str]:
    made = {task["task_id"]: task["prompt"] for task in desk.sandbox.ledger()["created"]}
    return [made[row.task_id] for row in clue.rows]


def over(desk: Desk) -> None:
    desk.sandbox.wait_for(lambda books: all(task["status"] == "SUCCEEDED" for task in books["created"]))


async def test_many_searches_read_each_task_once(desk: Desk) -> None:
    await desk.submit(20, prompt="a sibling")
    made = [await lost(desk, f"mine {number} [sandbox drop-answer]") for number in range(15)]
    none = [await lost(desk, f"nothing {number} [sandbox drop-before]") for number in range(15)]
    clues = await asyncio.gather(*(find(desk, sought) for sought in made + none))
    assert [prompts(desk, clue) for clue in clues[:15]] == [[f"mine {n} [sandbox drop-answer]"] for n in range(15)]
    assert all(clue.rows == () and not clue.why for clue in clues[15:])
    assert desk.requests("query") == {"200": 35}
    # Between the first look and the last task's end there are a few looks, not one for each search.
    assert desk.requests("list")["200"] <= 15


async def test_what_the_poller_saw_finish_is_not_read_again(desk: Desk) -> None:
    handles = await desk.submit(10, prompt="a sibling")
    sought = await lost(desk, "mine [sandbox drop-answer]")
    async with shared_poller(desk.account()):
        await desk.wait_for_all(handles)
        before = desk.requests("query")["200"]
        assert prompts(desk, await find(desk, sought)) == ["mine [sandbox drop-answer]"]
    assert desk.requests("query")["200"] == before + 1


async def test_candidates_that_run_are_waited_for_and_told(desk: Desk) -> None:
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0.8]")
    told: list[str] = []
    clue = await find(desk, sought, tell=told.append)
    assert prompts(desk, clue) == ["mine [sandbox drop-answer seconds=0.8]"]
    assert [line for line in told if "1 task(s) of wan2.7-t2v" in line and "still running" in line]
    assert len([line for line in told if "still running" in line]) == 1, "not with every look"


async def test_a_task_that_the_list_shows_late_is_found(desk: Desk) -> None:
    desk.sandbox.configure(list_lag_seconds=0.8)
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]", Timing(timedelta(seconds=1.5), 0.1))
    told: list[str] = []
    assert prompts(desk, await find(desk, sought, tell=told.append)) == ["mine [sandbox drop-answer seconds=0]"]
    assert any("late" in line for line in told)


async def test_nothing_is_proven_before_a_late_task_would_have_shown(desk: Desk) -> None:
    sought = await lost(desk, "x [sandbox drop-before]", Timing(timedelta(seconds=1), 0.1))
    clue = await find(desk, sought)
    assert clue.rows == ()
    assert clue.read_at >= sought.until + timedelta(seconds=1)


async def test_a_broken_answer_that_named_its_exchange_is_enough(desk: Desk) -> None:
    before = utc_now()
    prompt = "x [sandbox error-after-create=500 run-forever]"
    async with AsyncWanClient(desk.account()) as client:
        with pytest.raises(WanSubmissionUnknown) as caught:
            await client.submit(request(prompt), patience=Patience(tries=1))
    sought = Sought(
        Mode.TEXT_TO_VIDEO,
        "wan2.7-t2v",
        traits_asked(request(prompt)),
        before,
        utc_now(),
        request_id=caught.value.request_id,
        timing=QUICK,
    )
    clue = await find(desk, sought)
    assert clue.is_named
    assert prompts(desk, clue) == [prompt]


@pytest.mark.parametrize(
    "trouble",
    [{"error_rates": {"list": {500: 1}}}, {"malformed_rate": {"list": 1}}, {"outage": 60}],
    ids=["500", "malformed", "outage"],
)
async def test_a_list_in_trouble_is_never_an_empty_list(desk: Desk, trouble: dict[str, Any]) -> None:
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]")
    desk.sandbox.configure(**trouble)
    told: list[str] = []
    heard = asyncio.Event()

    def tell(why: str) -> None:
        told.append(why)
        heard.set()

    search = asyncio.create_task(find(desk, sought, tell=tell))
    await asyncio.wait_for(heard.wait(), 10)
    assert "cannot be read now" in told[0]
    assert not search.done()
    desk.sandbox.configure(error_rates={}, malformed_rate={}, outage=0)
    assert prompts(desk, await search) == ["mine [sandbox drop-answer seconds=0]"]


async def test_a_candidate_that_cannot_be_read_is_not_ruled_out(desk: Desk) -> None:
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]")
    over(desk)
    desk.sandbox.configure(fail_next=[{"call": "query", "status": 404, "times": 5}])
    assert prompts(desk, await find(desk, sought)) == ["mine [sandbox drop-answer seconds=0]"]


async def test_one_page_in_trouble_does_not_cost_the_others(desk: Desk) -> None:
    await desk.submit(6, prompt="[sandbox seconds=0]")
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]")
    over(desk)
    desk.sandbox.configure(page_size_max=1, fail_next=[{"call": "list", "status": 500, "times": 2}])
    told: list[str] = []
    clue = await find(desk, sought, tell=told.append)
    assert prompts(desk, clue) == ["mine [sandbox drop-answer seconds=0]"]
    assert told == []


async def test_the_time_that_is_over_is_no_proof(desk: Desk) -> None:
    sought = await lost(desk, "mine [sandbox drop-answer run-forever]")
    clue = await find(desk, sought, seconds=0.4)
    assert clue.rows == ()
    assert "still running" in clue.why


def test_a_list_that_is_too_long_for_one_is_not_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_PAGES", 2)
    now = utc_now()
    old, new = (
        Sought(Mode.TEXT_TO_VIDEO, "m", Traits("p"), moment, moment + timedelta(seconds=1), timing=QUICK)
        for moment in (now - timedelta(hours=2), now - timedelta(hours=1))
    )
    reading = Reading([old, new])
    for number in reading.pages():
        made = now - timedelta(minutes=45 * number)
        row = VideoTask(task_id=f"t{number}", vendor="v", model="m", status=TaskStatus.SUCCEEDED, submitted_at=made)
        reading.take(TaskPage([row], number + 1, served_at=now))
    assert [row.task_id for row in reading.rows] == ["t1", "t2"]
    for_old, for_new = (judge(sought, reading, Catalogue()) for sought in (old, new))
    assert isinstance(for_old, Clue)
    assert "too long" in for_old.why
    assert isinstance(for_new, Clue)
    assert not for_new.why, "this list proves it"


async def test_nothing_is_asked_for_those_who_have_left(desk: Desk) -> None:
    await desk.submit(30, prompt="[sandbox seconds=0]")
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]")
    over(desk)
    async with shared_poller(desk.account(queries_per_second=20.0)) as poller:
        search = asyncio.create_task(poller.find(sought, utc_now() + timedelta(seconds=30)))
        await asyncio.to_thread(desk.sandbox.wait_for, lambda books: books["requests"]["dashscope"].get("query"))
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)
        loop = poller._loop
        assert loop is not None
        async with asyncio.timeout(5):
            await loop
        assert desk.requests("query")["200"] < 20
        # Whoever comes then is served.
        clue = await poller.find(sought, utc_now() + timedelta(seconds=30))
    assert prompts(desk, clue) == ["mine [sandbox drop-answer seconds=0]"]


async def test_waiters_are_served_while_much_is_read(desk: Desk) -> None:
    """Guests share the budget; they do not take it."""
    await desk.submit(60, prompt="[sandbox seconds=0]")
    sought = await lost(desk, "mine [sandbox drop-answer seconds=0]")
    over(desk)
    account = desk.account(queries_per_second=15.0)
    handles = await desk.submit(5, prompt="[sandbox seconds=0.3]")
    async with shared_poller(account) as poller:
        search = asyncio.create_task(poller.find(sought, utc_now() + timedelta(seconds=60)))
        await asyncio.gather(*(desk.wait(handle, account=account) for handle in handles))
        assert not search.done(), "61 tasks at 15 a second take four seconds, five finished ones are known before"
        assert prompts(desk, await search) == ["mine [sandbox drop-answer seconds=0]"]


def test_what_crosses_to_the_triggerer_and_back_is_plain() -> None:
    sought = Sought(
        Mode.VIDEO_EDIT,
        "wan2.7-videoedit",
        traits_asked(request("a very private boat")),
        utc_now(),
        utc_now() + timedelta(seconds=3),
        request_id="r-1",
        not_ours=frozenset({"b", "a"}),
        timing=Timing(timedelta(seconds=7), 3.0, timedelta(minutes=1), timedelta(minutes=9)),
    )
    plain = json.loads(json.dumps(sought.to_dict()))
    assert Sought.of(plain) == sought
    assert "private" not in repr(plain)
