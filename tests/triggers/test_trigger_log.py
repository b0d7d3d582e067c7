"""What triggers write into their task logs: a write may block, and must not stop the triggerer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers import task_log
from airflow_provider_wan.triggers.task_log import TaskLogger
from airflow_provider_wan.triggers.wan import WanTaskTrigger

from .test_triggers import event_of, submitted, trigger_for

PATIENCE = 5.0
whose: ContextVar[str] = ContextVar("whose")


class Pipe:
    """A log whose writes return when ``is_read`` says that the other side has read."""

    def __init__(self, is_read: Callable[[], bool] = lambda: True) -> None:
        self.lines: list[str] = []
        self.stuck: list[str] = []
        self._is_read = is_read

    def info(self, line: str, /) -> None:
        if not self._is_read():
            self.stuck.append(line)
        self.lines.append(line)


@pytest.mark.parametrize("order", ["", "fail=InternalError message=broken"])
async def test_the_event_loop_goes_on_while_a_line_is_written(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """As Airflow's supervisor, who reads no log while it waits for the triggers' process to take a message."""
    loop = asyncio.get_running_loop()

    def is_read() -> bool:
        taken = threading.Event()
        loop.call_soon_threadsafe(taken.set)
        return taken.wait(PATIENCE)

    pipe = Pipe(is_read)
    monkeypatch.setattr(WanTaskTrigger, "_log", pipe)
    handle = submitted(order)
    event = await event_of(trigger_for(handle))
    assert pipe.stuck == []
    # All is written when the trigger fires: Airflow closes the log then.
    assert pipe.lines[-1].startswith(f"Task {handle.task_id}: {event['task']['status']}")


class Teller(TaskLogger):
    """As much of a trigger as tells something."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def logger(self) -> Pipe:
        return self._pipe


async def test_lines_that_wait_for_their_turn_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_log, "REST_SECONDS", 3600.0)
    crowd, own = Pipe(), Pipe()
    for number in range(1000):
        Teller(crowd)._say(f"line {number}")
    trigger = Teller(own)
    trigger._say("one")
    trigger._say("two")
    await asyncio.wait_for(trigger._write("three"), PATIENCE)
    assert own.lines == ["one", "two", "three"]
    assert crowd.lines == [f"line {number}" for number in range(task_log.AT_ONCE)]


async def test_everybody_has_a_turn_in_the_order_in_which_they_spoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_log, "REST_SECONDS", 0.0)
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def is_read() -> bool:
        if len(pipe.lines) == 98:
            loop.call_soon_threadsafe(heard.set)
        return True

    pipe = Pipe(is_read)
    for number in range(0, 99, 3):
        trigger = Teller(pipe)
        for place in range(3):
            trigger._say(f"{number + place}")
    await asyncio.wait_for(heard.wait(), PATIENCE)
    await trigger._all_written()
    assert pipe.lines == [f"{number}" for number in range(99)]


async def test_a_line_is_written_in_the_context_of_its_trigger() -> None:
    """By its context variables Airflow tells to whose log a line belongs."""
    found: list[tuple[str | None, str]] = []

    class Airflow(Pipe):
        def info(self, line: str, /) -> None:
            found.append((whose.get(None), line))

    async def run(name: str) -> None:
        whose.set(name)
        trigger = Teller(Airflow())
        trigger._say(f"said by {name}")
        await trigger._write(f"written by {name}")

    await asyncio.gather(*(run(name) for name in "abc"))
    assert sorted(found) == [(name, f"{how} by {name}") for name in "abc" for how in ("said", "written")]


async def test_a_log_that_cannot_be_written_ends_no_wait(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def info(self, line: str, /) -> None:
            raise BrokenPipeError(line)

    monkeypatch.setattr(WanTaskTrigger, "_log", Closed())
    assert (await event_of(trigger_for(submitted())))["status"] == "success"
