"""When a wait ends: the table of judgements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanResponseError,
    WanServerError,
    WanTransportError,
)
from airflow_provider_wan.client.polling.times import PollingTimes
from airflow_provider_wan.client.polling.watch import UNDECIDED_LIMIT, Ending, EndingStatus, Watch
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import vendor_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://results.example/a.mp4"


def handle(vendor: str = "dashscope") -> TaskHandle:
    return TaskHandle(vendor=vendor, task_id="t1", mode=Mode.TEXT_TO_VIDEO, model="m", submitted_at=NOON)


def task(status: str, vendor: str = "dashscope", **fields: Any) -> VideoTask:
    return VideoTask(task_id="t1", vendor=vendor, status=TaskStatus(status), **{"raw_status": status.upper(), **fields})


def watch(vendor: str = "dashscope") -> tuple[Watch, list[str]]:
    told: list[str] = []
    return Watch(
        handle(vendor), vendor_of(vendor), NOON + timedelta(hours=1), told.append, PollingTimes(doubt=0.0)
    ), told


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (task("pending"), None),
        (task("running"), None),
        (task("succeeded", video_url=URL), EndingStatus.SUCCESS),
        (task("succeeded"), None),
        (task("succeeded", vendor="powertokens"), EndingStatus.SUCCESS),
        (task("failed", error_code="InternalError", error_message="sorry"), EndingStatus.FAILED),
        (task("cancelled"), EndingStatus.CANCELLED),
        (task("unknown"), EndingStatus.ERROR),
        (task("unknown", raw_status="HALF-DONE"), None),
        (task("unknown", vendor="gccai"), None),
    ],
    ids=lambda value: (
        f"{value.vendor} {value.raw_status} {bool(value.video_url)}" if isinstance(value, VideoTask) else ""
    ),
)
def test_one_answer(answer: VideoTask, status: EndingStatus | None) -> None:
    ending = watch(answer.vendor)[0].see(answer)
    assert (ending and ending.status) == status
    if ending:
        assert ending.task is answer


@pytest.mark.parametrize(
    "error",
    [
        WanQuotaError("429"),
        WanServerError("500"),
        WanTransportError("reset"),
        WanResponseError("not JSON"),
        WanBillingError("overdue"),
        WanError("whatever"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_trouble_never_ends_a_wait_and_is_told_once(error: WanError) -> None:
    judge, told = watch()
    assert [judge.see_error(error) for _ in range(200)] == [None] * 200
    assert len(told) == 1
    assert judge.see(task("pending")) is None
    assert told[1:] == ["DashScope answers again"]
    assert judge.see_error(error) is None
    assert len(told) == 3


@pytest.mark.parametrize(
    "observation",
    [
        task("unknown", raw_status="HALF-DONE"),
        task("succeeded"),
        WanRejectedError("no such task"),
        WanAuthError("not your workspace"),
    ],
    ids=["unknown word", "no URL", "no such task", "no access"],
)
def test_what_decides_nothing_is_borne_some_times_in_a_row(observation: VideoTask | WanError) -> None:
    def observe(judge: Watch) -> Ending | None:
        return judge.see(observation) if isinstance(observation, VideoTask) else judge.see_error(observation)

    judge, _ = watch()
    endings = [observe(judge) for _ in range(UNDECIDED_LIMIT)]
    assert endings[:-1] == [None] * (UNDECIDED_LIMIT - 1)
    last = endings[-1]
    assert last is not None
    assert last.status is EndingStatus.ERROR


def test_an_answer_in_between_begins_the_count_anew() -> None:
    judge, _ = watch()
    nobody_knows = task("unknown", raw_status="HALF-DONE")
    assert [judge.see(nobody_knows) for _ in range(UNDECIDED_LIMIT - 1)] == [None] * (UNDECIDED_LIMIT - 1)
    judge.see(task("running"))
    assert [judge.see(nobody_knows) for _ in range(UNDECIDED_LIMIT - 1)] == [None] * (UNDECIDED_LIMIT - 1)
    assert judge.see(nobody_knows) is not None


@pytest.mark.parametrize("error", [WanRejectedError("no such task"), WanAuthError("key revoked")])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_task_that_was_seen_goes_on_to_its_deadline_whatever_is_refused(error: WanError, is_listed: bool) -> None:
    judge, told = watch()
    if is_listed:
        judge.see_row(task("pending"))
    else:
        judge.see(task("pending"))
    assert [judge.see_error(error) for _ in range(200)] == [None] * 200
    assert len(told) == 1
    assert "the wait goes on" in told[0]


def test_what_decides_nothing_must_go_on_for_some_time_too() -> None:
    judge = Watch(handle("powertokens"), vendor_of("powertokens"), NOON, times=PollingTimes(doubt=3600.0))
    assert [judge.see_error(WanRejectedError("404")) for _ in range(50)] == [None] * 50


def test_unknown_is_explained() -> None:
    ending = watch()[0].see(task("unknown"))
    assert ending is not None
    assert all(word in ending.message for word in ("t1", "account", "region", "24 h"))
    judge, _ = watch()
    refused = [judge.see_error(WanRejectedError("404")) for _ in range(UNDECIDED_LIMIT)][-1]
    assert refused is not None
    assert "another account" in refused.message


def test_each_change_is_told_once() -> None:
    judge, told = watch()
    for answer in (task("pending"), task("pending"), task("running"), task("running", progress=40)):
        judge.see(answer)
    judge.see(task("failed", error_code="DataInspectionFailed", error_message="no"))
    assert told == ["Task t1: running", "Task t1: failed (DataInspectionFailed: no)"]


def test_a_row_of_the_list_tells_of_a_start_but_never_of_an_end() -> None:
    judge, told = watch()
    judge.see_row(task("pending"))
    judge.see_row(task("running", started_at=NOON))
    judge.see_row(task("running"))
    # The list may lag behind an answer.
    judge.see_row(task("pending"))
    judge.see_row(task("succeeded"))
    judge.see_row(task("unknown"))
    assert told == ["Task t1: running"]
    assert (judge.last.status, judge.last.started_at, judge.last.mode) == (TaskStatus.RUNNING, NOON, Mode.TEXT_TO_VIDEO)
    ending = judge.see(task("succeeded", video_url=URL))
    assert ending is not None
    assert told == ["Task t1: running", "Task t1: succeeded"]


def test_time_out_says_in_what_state_the_task_was() -> None:
    judge, _ = watch()
    judge.see(task("running"))
    assert judge.see_time(NOON) is None
    ending = judge.see_time(NOON + timedelta(hours=1))
    assert ending is not None
    assert ending.status is EndingStatus.TIMEOUT
    assert "running" in ending.message
    assert "2026-11-01T13:00:00" in ending.message


def test_wait_that_never_had_an_answer_still_names_its_task() -> None:
    task = watch()[0].time_out().task
    assert (task.task_id, task.vendor, task.mode, task.submitted_at) == ("t1", "dashscope", Mode.TEXT_TO_VIDEO, NOON)


def test_ending_survives_an_event_without_the_prompt() -> None:
    ending = Ending(EndingStatus.SUCCESS, task("succeeded", video_url=URL, prompt="secret plan", duration=5.0))
    event = ending.to_event()
    assert "secret plan" not in repr(event)
    back = Ending.from_event(event)
    assert (back.status, back.task.video_url, back.task.duration) == (EndingStatus.SUCCESS, URL, 5.0)


def test_event_of_somebody_else_is_refused() -> None:
    with pytest.raises(ValueError):
        Ending.from_event({"status": "done", "task": {"task_id": "t1", "vendor": "dashscope"}})
