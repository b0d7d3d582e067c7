"""What DashScope's answers about a task mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanResponseError,
)
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.vendors import vendor_of
from tests.client.support import (
    CLIP,
    SUBMITTED_AT,
    answer,
    handle,
    read,
)

dashscope = vendor_of("dashscope")


def test_submission_gives_the_ids() -> None:
    body = {"output": {"task_status": "PENDING", "task_id": "0f3c"}, "request_id": "7a1d"}
    assert dashscope.read_submitted(answer(200, body)) == ("0f3c", "7a1d")


def test_query_is_a_get_of_the_quoted_id() -> None:
    call = dashscope.task_call(handle(task_id="a/b?c"))
    assert (call.method, call.target, call.headers) == ("GET", "/api/v1/tasks/a%2Fb%3Fc", {})


WORDS = {
    "PENDING": TaskStatus.PENDING,
    "RUNNING": TaskStatus.RUNNING,
    "SUSPENDED": TaskStatus.PENDING,
    "SUCCEEDED": TaskStatus.SUCCEEDED,
    "FAILED": TaskStatus.FAILED,
    "CANCELED": TaskStatus.CANCELLED,
    "CANCELLED": TaskStatus.CANCELLED,
    "UNKNOWN": TaskStatus.UNKNOWN,
    "succeeded": TaskStatus.SUCCEEDED,
    "MELTING": TaskStatus.UNKNOWN,
    "": TaskStatus.UNKNOWN,
    None: TaskStatus.UNKNOWN,
    7: TaskStatus.UNKNOWN,
}


@pytest.mark.parametrize("word", WORDS, ids=str)
def test_every_status_word_maps(word: Any) -> None:
    task = read("dashscope", {"request_id": "q", "output": {"task_id": "t1", "task_status": word}})
    assert task.status is WORDS[word]
    assert task.task_id == "t1"


def test_only_the_vendors_own_unknown_is_final() -> None:
    for word, is_final in (("UNKNOWN", True), ("MELTING", False), ("RUNNING", False), ("FAILED", True)):
        task = read("dashscope", {"output": {"task_status": word}})
        assert dashscope.is_final(task) is is_final, word


def test_finished_task_in_china_time() -> None:
    url = "https://dashscope-result-sh.example.com/1d/out.mp4?Expires=1792548221&Signature=a%2Fb"
    task = read("dashscope", {
        "request_id": "q1",
        "output": {
            "task_id": "t1", "task_status": "SUCCEEDED", "submit_time": "2026-10-20 10:00:00.123",
            "scheduled_time": "2026-10-20 10:00:07.456", "end_time": "2026-10-20 10:03:41.789",
            "orig_prompt": "A paper boat", "actual_prompt": "A paper boat, at dusk", "video_url": url,
        },
        "usage": {"duration": 15, "input_video_duration": 5, "output_video_duration": 10, "video_count": 1,
                  "ratio": "16:9", "SR": 720},
    })  # fmt: skip
    assert task.submitted_at == datetime(2026, 10, 20, 2, 0, 0, 123000, UTC)
    assert task.started_at == datetime(2026, 10, 20, 2, 0, 7, 456000, UTC)
    assert task.finished_at == datetime(2026, 10, 20, 2, 3, 41, 789000, UTC)
    assert (task.video_url, task.video_urls) == (url, [url])
    assert task.url_expires_at == datetime.fromtimestamp(1792548221, UTC)
    assert (task.prompt, task.actual_prompt) == ("A paper boat", "A paper boat, at dusk")
    assert (task.resolution, task.ratio, task.duration, task.request_id) == ("720P", "16:9", 10, "q1")
    assert task.usage is not None
    assert task.usage["input_video_duration"] == 5


def test_another_zone_is_seen_by_the_moment_of_the_submission() -> None:
    output = {"task_status": "RUNNING", "submit_time": "2026-10-20 02:00:00", "scheduled_time": "2026-10-20 02:00:09"}
    task = read("dashscope", {"output": output})
    assert task.submitted_at == SUBMITTED_AT - timedelta(seconds=1)
    assert task.started_at == SUBMITTED_AT + timedelta(seconds=8)


def test_a_late_handle_proves_no_other_zone() -> None:
    task = read("dashscope", {"output": {"task_status": "RUNNING", "submit_time": "2026-10-20 09:37:00"}})
    assert task.submitted_at == datetime(2026, 10, 20, 1, 37, tzinfo=UTC)


@pytest.mark.parametrize("when", ["0001-01-01 00:00:00", "9999-12-31 23:59:59", "yesterday", "", 5, None, []])
def test_strange_times_are_no_times(when: Any) -> None:
    output = {"task_status": "SUCCEEDED", "submit_time": when, "end_time": when, "video_url": CLIP}
    task = read("dashscope", {"output": output})
    assert task.submitted_at is not None
    assert task.status is TaskStatus.SUCCEEDED


def test_url_without_expiry_lives_24_hours() -> None:
    output = {"task_status": "SUCCEEDED", "end_time": "2026-10-20 10:00:00", "video_url": CLIP}
    assert read("dashscope", {"output": output}).url_expires_at == datetime(2026, 10, 21, 2, tzinfo=UTC)


def test_url_of_animate_and_s2v_stands_in_results() -> None:
    task = read("dashscope", {
        "output": {"task_status": "SUCCEEDED", "results": {"video_url": CLIP}},
        "usage": {"video_duration": 5.2, "video_ratio": "standard"},
    })  # fmt: skip
    assert (task.video_url, task.duration, task.ratio) == (CLIP, 5.2, None)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"SR": "720", "duration": 10.04, "output_video_duration": 5.02}, ("720P", 5.02)),
        ({"SR": 1080, "output_video_duration": 5.0}, ("1080P", 5.0)),
        ({"video_duration": 5, "video_ratio": "832*480"}, (None, 5)),
        ({"duration": -1, "SR": None}, (None, None)),
        ({"duration": True, "SR": []}, (None, None)),
    ],
)
def test_usage_names_differ_by_family(usage: dict[str, Any], expected: tuple[Any, Any]) -> None:
    task = read("dashscope", {"output": {"task_status": "SUCCEEDED", "video_url": CLIP}, "usage": usage})
    assert (task.resolution, task.duration) == expected
    assert task.usage == usage


def test_prompt_cut_in_the_middle_of_an_emoji_is_still_a_prompt() -> None:
    body = b'{"output":{"task_status":"SUCCEEDED","orig_prompt":"a \\ud83d","video_url":"https://x/v.mp4"}}'
    task = dashscope.read_task(answer(200, body), handle())
    assert task.prompt is not None
    assert task.prompt.startswith("a ")
    assert task.prompt.encode()


@pytest.mark.parametrize(
    "body",
    [{}, {"output": None}, {"output": []}, {"output": {}}, {"request_id": "x"}, [], "text", 1],
    ids=str,
)
def test_answer_without_a_task_is_not_the_api(body: Any) -> None:
    with pytest.raises(WanResponseError) as caught:
        read("dashscope", body)
    assert "DashScope" in str(caught.value)
    assert "get_task" in str(caught.value)
