"""Lost answers, refusals, throttling and deadlines: who tries again, who does not, and what it costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.local_airflow import LocalAirflow

from .runs import ONE_VIDEO, Cost, Run

Started = Callable[[str], Run]

# The rows that take longest stand first: all run side by side.
STARTED = {
    "nothing made": ("case_video", "[sandbox drop-before]", {"conn": "wan_quiet"}),
    "long throttled": ("case_video", "[sandbox reject=429:Throttling times=6]", {"conn": "wan_dashscope"}),
    "lost dashscope": ("case_video", "[sandbox drop-answer]", {"conn": "wan_quiet"}),
    "lost gccai": ("case_video", "[sandbox drop-answer]", {"conn": "wan_gccai"}),
    "lost powertokens": ("case_video", "[sandbox drop-answer]", {"conn": "wan_powertokens"}),
    "lost freepik": ("case_video", "[sandbox drop-answer]", {"conn": "wan_freepik"}),
    "throttled": ("case_video", "[sandbox reject=429:Throttling times=2]", {"conn": "wan_dashscope"}),
    "moderated prompt": ("case_video", "[sandbox reject=400:DataInspectionFailed]", {}),
    "bad request": ("case_video", "[sandbox reject=400:InvalidParameter]", {}),
    "moderated video": ("case_video", "[sandbox fail=DataInspectionFailed]", {}),
    "auth": ("case_video", "a key that nobody knows", {"conn": "wan_bad_key"}),
    "billing": ("case_video", "an account that cannot pay", {"conn": "wan_arrears"}),
    "vendor trouble": ("case_video", "[sandbox fail=InternalError]", {}),
    "overdue in queue": ("case_deadline", "[sandbox hold]", {}),
    "execution timeout": ("case_execution_timeout", "[sandbox hold]", {}),
}


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("moderated prompt", "WanModerationError", ("code=DataInspectionFailed", "request_id=")),
        ("moderated video", "WanModerationError", ("code=DataInspectionFailed", "request_id=", "task_id=")),
        ("bad request", "WanRejectedError", ("code=InvalidParameter", "request_id=")),
        ("auth", "WanAuthError", ("code=InvalidApiKey", "request_id=")),
        ("billing", "WanBillingError", ("code=Arrearage", "request_id=")),
    ],
)
def test_a_permanent_failure_is_not_retried_and_says_why(
    started: Started, name: str, error: str, told: tuple[str, ...]
) -> None:
    run = started(name)
    assert run.end() == "failed"
    assert run.task()["try_number"] == 1
    assert run.cost() == Cost(created=1 if name == "moderated video" else 0, billed=0)
    log = run.log()
    assert f"AirflowFailException: {error}: " in log
    assert [text for text in told if text not in log] == []


def test_a_failure_of_the_vendor_is_left_to_the_retries(started: Started) -> None:
    run = started("vendor trouble")
    assert run.end() == "failed"
    assert run.task()["try_number"] == 3
    assert run.cost() == Cost(created=3, billed=0)


@pytest.mark.parametrize("vendor", ["powertokens", "freepik"])
def test_a_lost_answer_that_nothing_can_settle_is_left_to_a_person(started: Started, vendor: str) -> None:
    run = started(f"lost {vendor}")
    assert run.end() == "failed"
    assert run.task()["try_number"] == 1
    assert "WanSubmissionUnknown" in run.log()
    assert run.wait_for_cost(lambda cost: cost.billed > 0) == ONE_VIDEO
    # The same again without another wish: nothing is submitted by a clear alone.
    run.clear()
    assert run.end() == "failed"
    assert run.task()["try_number"] == 2
    assert run.cost() == ONE_VIDEO
    run.clear(wish="resubmit")
    assert run.end() == "success"
    assert run.cost() == Cost(created=2, billed=2)


def test_a_lost_answer_is_settled_by_the_idempotency_key(started: Started) -> None:
    run = started("lost gccai")
    assert run.end() == "success"
    assert run.task()["try_number"] == 1
    assert run.cost() == ONE_VIDEO


def test_a_lost_answer_is_found_in_the_task_list(started: Started) -> None:
    run = started("lost dashscope")
    assert run.end() == "success"
    assert run.task()["try_number"] == 1
    assert f"Found task {run.result()['task_id']}, which the lost submission had made" in run.log()
    assert run.cost() == ONE_VIDEO


def test_a_throttled_submission_is_repeated_without_a_retry(started: Started) -> None:
    run = started("throttled")
    assert run.end() == "success"
    assert run.task()["try_number"] == 1
    assert run.cost() == ONE_VIDEO


def test_the_deadline_cancels_a_queued_task(started: Started) -> None:
    run = started("overdue in queue")
    assert run.end() == "failed"
    assert run.task()["try_number"] == 2
    assert "WanTaskTimeout" in run.log()
    assert "was cancelled while queued: it is not billed" in run.log()
    assert run.cost() == Cost(created=2, billed=0, cancelled=2)


def test_the_execution_timeout_holds_while_deferred(started: Started) -> None:
    run = started("execution timeout")
    assert run.end() == "failed"
    assert "WanTaskTimeout" in run.log()
    assert run.cost() == Cost(created=1, billed=0, cancelled=1)


@pytest.mark.parametrize("dag_id", ["case_overdue", "case_overdue_in_worker"])
def test_a_running_task_outlives_the_deadline_and_the_retry_adopts_it(
    airflow: LocalAirflow, shared_sandbox: Sandbox, dag_id: str
) -> None:
    run = Run(airflow, shared_sandbox, dag_id, "[sandbox run-forever]")
    run.wait("running", "deferred", min_try=2)
    run.wait_for_log("Adopted task", try_number=2)
    run.change("finish")
    assert run.end() == "success"
    assert "WanTaskTimeout" in run.log(try_number=1)
    assert "runs on and will be billed" in run.log(try_number=1)
    assert run.cost() == ONE_VIDEO


def test_a_submission_that_made_nothing_is_sent_again_once_the_list_proves_it(started: Started) -> None:
    run = started("nothing made")
    assert run.end(timeout=300) == "success"
    assert run.task()["try_number"] == 1
    assert "the lost submission made no task" in run.log()
    assert run.cost() == ONE_VIDEO


def test_a_long_throttled_submission_waits_without_a_worker_and_without_a_retry(started: Started) -> None:
    run = started("long throttled")
    assert run.end(timeout=300) == "success"
    assert run.task()["try_number"] == 1
    assert "The submission is throttled, no task was made" in run.log()
    assert run.cost() == ONE_VIDEO
