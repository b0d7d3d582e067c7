"""Connections are looked up once for all triggers that start together, who then go on a few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from airflow_provider_wan.hooks import looking_up
from airflow_provider_wan.hooks.looking_up import looked_up

CROWD = 10 * looking_up.AT_ONCE


class Connections:
    """Answers each look-up when ``answer`` is set."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.error: Exception | None = None

    async def read(self) -> str:
        self.reads += 1
        self.is_asked.set()
        await self.answer.wait()
        if self.error:
            raise self.error
        return f"account {self.reads}"


@pytest.fixture
def connections() -> Connections:
    return Connections()


async def waiting(connections: Connections, number: int) -> list[asyncio.Task[str]]:
    """That many look-ups, all of which wait for the answer."""
    tasks = [asyncio.create_task(looked_up("wan_default", connections.read)) for _ in range(number)]
    await connections.is_asked.wait()
    return tasks


async def test_one_look_up_serves_all(connections: Connections) -> None:
    tasks = await waiting(connections, CROWD)
    connections.answer.set()
    assert set(await asyncio.gather(*tasks)) == {"account 1"}
    assert await looked_up("wan_default", connections.read) == "account 1"
    assert await looked_up("wan_other", connections.read) == "account 2"


async def test_a_crowd_goes_on_a_few_at_a_time(connections: Connections) -> None:
    """A thousand that go on in one turn of the loop would hold up every other trigger."""
    turns: Counter[int] = Counter()
    turn = 0

    async def start() -> None:
        await looked_up("wan_default", connections.read)
        turns[turn] += 1

    crowd = asyncio.gather(*(start() for _ in range(CROWD)))
    connections.answer.set()
    while not crowd.done():
        turn += 1
        await asyncio.sleep(0)
    assert sum(turns.values()) == CROWD
    assert max(turns.values()) <= looking_up.AT_ONCE


async def test_who_began_the_look_up_may_leave(connections: Connections) -> None:
    first, *others = await waiting(connections, 3)
    first.cancel()
    connections.answer.set()
    assert await asyncio.gather(*others) == ["account 1", "account 1"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_reaches_all_and_is_not_kept(connections: Connections) -> None:
    connections.error = LookupError("no such connection")
    tasks = await waiting(connections, CROWD)
    connections.answer.set()
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(failure) for failure in failures} == {LookupError}
    connections.error = None
    assert await looked_up("wan_default", connections.read) == "account 2"


async def test_an_old_look_up_is_not_used(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    connections.answer.set()
    assert await looked_up("wan_default", connections.read) == "account 1"
    monkeypatch.setattr(looking_up, "LIFETIME", -1.0)
    assert await looked_up("wan_default", connections.read) == "account 2"
