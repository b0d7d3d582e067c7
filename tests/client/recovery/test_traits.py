"""Whether a finished task may be of a request, by digests; the prompts themselves decide later."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.client.recovery.traits import Likeness, likeness, traits_asked, traits_told
from airflow_provider_wan.client.requests import ImageToVideoRequest, TextToVideoRequest, VideoEditRequest
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask

LONG = "a long wish, full of words and of signs; " * 40
BOAT = TextToVideoRequest(prompt="a boat", ratio="16:9")
PICTURE = "https://example.com/a.png"


def task(**told: Any) -> VideoTask:
    return VideoTask(task_id="t", vendor="dashscope", status=TaskStatus.SUCCEEDED, **told)


@pytest.mark.parametrize(
    ("request_", "told", "is_possible", "is_same"),
    [
        (BOAT, {"prompt": "a boat"}, True, True),
        (BOAT, {"prompt": " a\u00a0boat\n"}, True, True),
        (BOAT, {"prompt": "another boat"}, False, False),
        (BOAT, {"prompt": "a"}, False, False),
        (BOAT, {}, True, False),
        (BOAT, {"prompt": "a boat", "resolution": "720P"}, False, False),
        (BOAT, {"prompt": "a boat", "resolution": "1080P", "ratio": "16:9", "duration": 5.4}, True, True),
        (BOAT, {"prompt": "a boat", "ratio": "9:16"}, False, False),
        (BOAT, {"prompt": "a boat", "duration": 10}, False, False),
        (TextToVideoRequest(prompt=LONG), {"prompt": LONG[:900]}, True, True),
        (TextToVideoRequest(prompt=LONG), {"prompt": LONG[:400]}, False, False),
        # Only the prompts themselves tell these apart.
        (TextToVideoRequest(prompt=LONG + "boat"), {"prompt": LONG + "fish"}, True, False),
        (ImageToVideoRequest(first_frame=PICTURE), {}, True, True),
        (ImageToVideoRequest(first_frame=PICTURE), {"prompt": "a boat"}, False, False),
        (VideoEditRequest(video="https://example.com/a.mp4", prompt="x"), {"prompt": "x", "duration": 17}, True, True),
        (BOAT.model_copy(update={"strict": False}), {"prompt": "a boat", "duration": 10}, True, True),
        (
            BOAT.model_copy(update={"extra_body": {"input": {"prompt": "what is sent"}}}),
            {"prompt": "what is sent"},
            True,
            True,
        ),
    ],
)
def test_traits_leave_in_whatever_the_prompts_may_decide(
    request_: Any, told: dict[str, Any], is_possible: bool, is_same: bool
) -> None:
    finished = task(**told)
    assert traits_asked(request_).may_be(traits_told(finished)) == is_possible
    assert (likeness(finished, request_) is Likeness.SAME) == is_same


def test_traits_hold_no_prompt() -> None:
    assert "boat" not in repr(traits_asked(BOAT))
    assert len(repr(traits_asked(TextToVideoRequest(prompt=LONG)))) < 200
