"""When a wait is first looked at: a person waits for one video, a night's work for a thousand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_wan.client.polling.watch import EndingStatus
from airflow_provider_wan.client.schedule.asks import Ask, Query
from airflow_provider_wan.client.schedule.schedule import Schedule
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask, utc_now

from .conftest import Desk

INTERVAL, START = 15.0, 1000.0


def handle(number: int = 0) -> TaskHandle:
    return TaskHandle(
        vendor="dashscope",
        task_id=f"t-{number}",
        mode=Mode.TEXT_TO_VIDEO,
        model="wan2.7-t2v",
        submitted_at=utc_now() - timedelta(seconds=number),
    )


def next_ask(schedule: Schedule, now: float) -> tuple[Ask, float]:
    """Return what is asked next, and when."""
    while isinstance(step := schedule.next(now), float):
        now += max(step, 0.001)
    return step, now


@pytest.mark.parametrize("has_list", [True, False], ids=["list", "no list"])
def test_a_lone_wait_is_looked_at_after_one_interval_and_then_every_interval(has_list: bool) -> None:
    """Whatever is known of how long such tasks run."""
    schedule = Schedule(10.0, has_list)
    schedule.add(handle(), INTERVAL, "wan2.7-t2v/720P/5", START)
    moments, now = [], START
    for _ in range(4):
        ask, now = next_ask(schedule, now)
        moments.append(now - START)
        running = VideoTask(task_id="t-0", vendor="dashscope", status=TaskStatus.RUNNING)
        schedule.answered(ask, running, now)
    assert moments == pytest.approx([INTERVAL, 2 * INTERVAL, 3 * INTERVAL, 4 * INTERVAL], abs=0.1)


def test_where_many_wait_first_looks_are_put_off_by_what_such_tasks_take() -> None:
    """But for a few, which tell whether such tasks are refused."""
    schedule = Schedule(10.0, False)
    for number in range(50):
        schedule.add(handle(number), INTERVAL, "wan2.7-t2v/720P/5", START)
    moments, now = [], START
    for _ in range(20):
        ask, now = next_ask(schedule, now)
        assert isinstance(ask, Query)
        moments.append(now - START)
        running = VideoTask(task_id=ask.handle.task_id, vendor="dashscope", status=TaskStatus.RUNNING)
        schedule.answered(ask, running, now)
    early = [moment for moment in moments if moment < 2 * INTERVAL]
    assert min(early) == pytest.approx(INTERVAL, abs=0.1)
    assert len(early) < 10
    assert moments[len(early)] >= 60.0 - INTERVAL / 2


async def test_a_lone_short_video_costs_one_query_where_it_ends_within_the_interval(desk: Desk) -> None:
    (submitted,) = await desk.submit()
    ending = await desk.wait(submitted, interval=1.0)
    assert ending.status is EndingStatus.SUCCESS
    assert desk.requests("query") == {"200": 1}
    assert desk.requests("list") == {}
