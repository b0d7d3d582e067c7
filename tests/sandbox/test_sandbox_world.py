"""Queues, clock, ledger: the sandbox without its sockets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from airflow_provider_wan.sandbox.front.limits import SlidingSecond
from airflow_provider_wan.sandbox.settings import Settings, fingerprint
from airflow_provider_wan.sandbox.world.clock import Clock, ManualClock
from airflow_provider_wan.sandbox.world.directives import BadDirective, Directives, Reject, parse, strip
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task
from airflow_provider_wan.sandbox.world.world import QueueFull, World


class Bench:
    """A world with a clock that moves only by ``advance``."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(1_000_000.0)
        self.world = World(Settings(**settings), self.clock)
        self._made = 0

    def make(self, prompt: str = "x", account: str = "a", model: str = "wan2.7-t2v") -> Task:
        self._made += 1
        order = Order("text_to_video", model, prompt, "720P", (1280, 720), 5.0)
        return self.world.create("dashscope", account, order, f"task-{self._made}", f"request-{self._made}")

    def after(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        return [task.status.value for task in self.world.all_tasks()]


def test_tasks_take_turns_in_the_order_of_submission() -> None:
    bench = Bench(generation_seconds=10, running_limit=2)
    tasks = [bench.make() for _ in range(5)]
    assert bench.after(0) == ["RUNNING"] * 2 + ["PENDING"] * 3
    assert bench.after(10) == ["SUCCEEDED"] * 2 + ["RUNNING"] * 2 + ["PENDING"]
    # Nobody looks for a long time; starts and ends are still dated as they would have been.
    assert bench.after(1000) == ["SUCCEEDED"] * 5
    started = [task.started for task in tasks]
    assert started == [1_000_000.0] * 2 + [1_000_010.0] * 2 + [1_000_020.0]
    assert tasks[4].ended == 1_000_030.0


def test_each_account_and_model_has_its_own_places() -> None:
    bench = Bench(generation_seconds=10, running_limit=1)
    bench.make(), bench.make(account="b"), bench.make(model="wan2.7-t2v-2026-04-25"), bench.make()
    assert bench.after(0) == ["RUNNING", "RUNNING", "RUNNING", "PENDING"]


def test_more_places_serve_the_waiting_from_now_on() -> None:
    bench = Bench(generation_seconds=10, running_limit=1)
    tasks = [bench.make() for _ in range(3)]
    bench.after(4)
    bench.world.settings.running_limit = 3
    assert bench.after(0) == ["RUNNING"] * 3
    assert [task.started for task in tasks[1:]] == [1_000_004.0] * 2


def test_waiting_time_before_a_free_place() -> None:
    bench = Bench(generation_seconds=2, pending_seconds=3)
    task = bench.make()
    assert bench.after(2.9) == ["PENDING"]
    assert bench.after(0.2) == ["RUNNING"]
    assert task.started == 1_000_003.0


def test_cancelled_failed_and_finished_tasks_free_their_places() -> None:
    bench = Bench(generation_seconds=100, running_limit=1)
    one, two, three, four = (bench.make() for _ in range(4))
    assert bench.world.cancel(two)
    assert not bench.world.cancel(one)
    bench.world.finish(one)
    assert bench.after(0) == ["SUCCEEDED", "CANCELED", "RUNNING", "PENDING"]
    bench.world.drop(three)
    assert four.status is Status.PENDING
    assert bench.after(99) == ["SUCCEEDED", "CANCELED", "CANCELED", "RUNNING"]
    assert bench.after(1) == ["SUCCEEDED", "CANCELED", "CANCELED", "SUCCEEDED"]


def test_held_task_takes_no_place_until_released() -> None:
    bench = Bench(generation_seconds=10, running_limit=1)
    held = bench.make("x [sandbox hold]")
    bench.make()
    assert bench.after(0) == ["PENDING", "RUNNING"]
    bench.world.release(held)
    assert bench.after(10) == ["RUNNING", "SUCCEEDED"]


def test_full_queue() -> None:
    bench = Bench(generation_seconds=10, running_limit=1, queue_limit=2)
    for _ in range(3):
        bench.make()
    with pytest.raises(QueueFull):
        bench.make()
    bench.clock.advance(10)
    bench.make()


def test_draws_are_repeated_by_the_seed() -> None:
    def lengths(seed: int) -> list[float]:
        bench = Bench(generation_seconds="2:6", running_limit=50, seed=seed)
        tasks = [bench.make() for _ in range(50)]
        bench.world.refresh_all()
        return [task.ends - (task.started or 0) for task in tasks]

    assert lengths(1) == lengths(1) != lengths(2)
    assert all(2 <= seconds <= 6 for seconds in lengths(3))
    assert max(lengths(3)) - min(lengths(3)) > 2


def test_only_what_succeeded_is_billed() -> None:
    bench = Bench(generation_seconds=1, running_limit=10)
    bench.make("good"), bench.make("bad [sandbox fail=InternalError]"), bench.make("good")
    bench.world.cancel(bench.make("never [sandbox hold]"))
    bench.clock.advance(2)
    report = bench.world.report()
    assert [entry["task_id"] for entry in report["billed"]] == ["task-1", "task-3"]
    assert report["billed_seconds"] == 10
    assert [(d["prompt"], d["created"], d["billed"]) for d in report["duplicates"]] == [("good", 2, 2)]
    assert [entry["status"] for entry in report["created"]] == ["SUCCEEDED", "FAILED", "SUCCEEDED", "CANCELED"]


def test_expired_tasks_are_gone() -> None:
    bench = Bench(generation_seconds=1, expire_after=60)
    task = bench.make()
    bench.clock.advance(59)
    assert bench.world.find("dashscope", "a", task.id) is task
    bench.clock.advance(1)
    assert bench.world.find("dashscope", "a", task.id) is None


def test_ten_thousand_tasks_are_cheap_to_ask_about() -> None:
    bench = Bench(generation_seconds="1:60", running_limit=1000, queue_limit=10_000)
    tasks = [bench.make() for _ in range(10_000)]
    bench.clock.advance(30)
    bench.world.refresh_all()

    def ask() -> None:
        for skip in (0, 5_000, 9_900):
            total, page = bench.world.page("dashscope", "a", skip=skip, take=100)
            assert (total, len(page)) == (10_000, 100)
        for task in tasks[::1000]:
            bench.world.find("dashscope", "a", task.id)

    # A page passes over all tasks, with hardly more than a comparison for each.
    assert instructions(ask) <= 3 * 10_000 * 10


def instructions(work: Callable[[], None]) -> int:
    """How many instructions of the interpreter something takes, loops in comprehensions included."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
    return count


def test_sliding_second_admits_no_more_than_the_limit_in_any_second() -> None:
    window = SlidingSecond()
    admitted = [at / 20 for at in range(100) if window.admit("a", 5, at / 20)]
    for begin in admitted:
        assert sum(begin <= at < begin + 1 for at in admitted) <= 5
    assert len(admitted) == 25
    assert window.admit("b", 0, 0.0)


@pytest.mark.parametrize(
    ("prompt", "directives"),
    [
        ("a boat", Directives()),
        ("[sandbox seconds=4] x", Directives(seconds=4)),
        ('x [sandbox fail=E message="so it is"]', Directives(fail="E", message="so it is")),
        ("x [sandbox reject=429:T times=2]", Directives(reject=Reject(429, "T", 2))),
        ("x [sandbox reject=500]", Directives(reject=Reject(500, None, None))),
        ("[sandbox hold] x [sandbox cancel-delay=3]", Directives(hold=True, cancel_delay=3)),
        ("x [sandbox truncate-download html-download=2]", Directives(truncate_download=1, html_download=2)),
    ],
)
def test_directives(prompt: str, directives: Directives) -> None:
    assert parse(prompt) == directives
    assert "[" not in strip(prompt)


@pytest.mark.parametrize("prompt", ["[sandbox seconds=soon]", "[sandbox reject=no]", "[sandbox nonsense]"])
def test_directives_that_cannot_be_read(prompt: str) -> None:
    with pytest.raises(BadDirective):
        parse(prompt)


def test_clock_does_not_go_back() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time()) < 1
    clock.advance(100)
    assert clock.now() - time.time() == pytest.approx(100, abs=1)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_keys_are_known_by_fingerprint_only() -> None:
    settings = Settings(api_keys=["sk-one", fingerprint("sk-two")])
    assert settings.api_keys == [fingerprint("sk-one"), fingerprint("sk-two")]
    assert "sk-one" not in settings.model_dump_json()
    assert "secret" not in Settings(webhook_secret="a-secret").model_dump_json().replace("webhook_secret", "")
