"""What fails: items that are made anew or given up, vendors that refuse, throttle or are silent, full storage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.batch.progress import _is_failed
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds, connect
from .rounds import is_retryable, row

MODERATED = "bad [sandbox fail=DataInspectionFailed]"
BROKEN = "broken [sandbox fail=InternalError]"


def test_a_failure_that_may_pass_is_tried_again_within_the_batch(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("good"), row(BROKEN)], item_retries=2)
    error = batch.fails()
    assert batch.created == [BROKEN] * 3 + ["good"]
    assert batch.billed == ["good"]
    assert is_retryable(error)
    assert "1 of 2 videos" in str(error)
    assert batch.summary["counts"] == {"succeeded": 1, "failed": 1}


def test_one_that_recovers_costs_one_video(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("shaky [sandbox hold]")])
    deferred = batch.first_round()
    sandbox.change(sandbox.tasks()[0]["task_id"], "fail", code="InternalError")
    deferred = batch.next_round(batch.trigger_of(deferred))
    (task,) = [task for task in sandbox.tasks() if task["held"] and task["status"] == "PENDING"]
    sandbox.change(task["task_id"], "finish")
    assert batch.goes_on(batch.trigger_of(deferred))["counts"] == {"succeeded": 1}
    assert len(batch.billed) == 1


def test_a_failure_for_good_is_not_tried_again_by_a_retry_but_by_a_clear(rounds: MakeRounds) -> None:
    batch = rounds([row("good"), row(MODERATED), row(BROKEN)], item_retries=0)
    assert is_retryable(batch.fails())
    assert batch.created == [MODERATED, BROKEN, "good"]
    batch.retried().fails()
    assert batch.created == [MODERATED, BROKEN, BROKEN, "good"]
    batch.cleared().fails()
    assert batch.created == [MODERATED] * 2 + [BROKEN] * 3 + ["good"]
    assert batch.billed == ["good"]


def test_only_permanent_failures_stop_airflows_retries(rounds: MakeRounds) -> None:
    error = rounds([row("good"), row(MODERATED)]).fails()
    assert not is_retryable(error)
    assert "DataInspectionFailed" in str(error)


@pytest.mark.parametrize(
    ("limit", "failed", "total", "expected"),
    [
        ("any", 0, 5, False),
        ("any", 1, 5, True),
        ("all", 4, 5, False),
        ("all", 5, 5, True),
        (0.2, 1, 5, False),
        (0.2, 2, 5, True),
        (0.29, 29, 100, False),
        (0.29, 30, 100, True),
        (0, 1, 1000, True),
        (1, 5, 5, False),
    ],
)
def test_fail_if(limit: Any, failed: int, total: int, expected: bool) -> None:
    assert _is_failed(limit, failed, total) is expected


@pytest.mark.parametrize(("limit", "is_failed"), [("any", True), ("all", False), (0.25, True), (0.5, False)])
def test_the_whole_fails_as_asked(rounds: MakeRounds, limit: Any, is_failed: bool) -> None:
    batch = rounds([row("good"), row("fine"), row(MODERATED)], fail_if=limit)
    if is_failed:
        batch.fails()
    else:
        assert batch.run()["counts"] == {"succeeded": 2, "failed": 1}


def test_on_item_failure_fail_submits_nothing_more(rounds: MakeRounds) -> None:
    rows = [row(MODERATED), row("b"), row("c"), row("d")]
    batch = rounds(rows, max_in_flight=1, on_item_failure="fail", fail_if="all")
    error = batch.fails()
    assert not is_retryable(error)
    assert "on_item_failure" in str(error)
    assert batch.created == [MODERATED]
    assert batch.statuses == {"1": "failed", "2": "waiting", "3": "waiting", "4": "waiting"}
    batch.cleared(rows[1:]).run()
    assert batch.billed == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("status", "code"), [(401, "InvalidApiKey"), (400, "Arrearage"), (403, "AllocationQuota.FreeTierOnly")]
)
def test_key_and_billing_stop_the_submitting_and_keep_what_runs(
    rounds: MakeRounds, sandbox: Sandbox, status: int, code: str
) -> None:
    rows = [row("a"), row(f"b [sandbox reject={status}:{code}]"), row("c"), row("d")]
    batch = rounds(rows, max_in_flight=2)
    error = batch.fails()
    assert not is_retryable(error)
    assert "Submitting was stopped" in str(error)
    assert batch.billed == ["a"]
    assert sum(batch.posts().values()) == 2
    assert batch.statuses == {"1": "succeeded", "2": "waiting", "3": "waiting", "4": "waiting"}
    batch.cleared([row("a"), row("b"), row("c"), row("d")]).run()
    assert batch.billed == ["a", "b", "c", "d"]


def test_a_wrong_key_is_said_with_connection_host_and_region(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox.url, "dashscope", region="ap-northeast-1")
    sandbox.configure(api_keys=["sk-another-one"])
    error = rounds([row("a")]).fails()
    assert f"connection 'wan_default': {sandbox.url}" in str(error)
    assert "region ap-northeast-1" in str(error)


def test_one_video_is_said_as_one(rounds: MakeRounds, capsys: pytest.CaptureFixture[str]) -> None:
    error = rounds([row("a [sandbox fail=DataInspectionFailed]")]).fails()
    assert "1 of 1 video was not made" in str(error)
    log = capsys.readouterr().out
    assert "1 video: 1 submitted" in log
    assert "waits for 1 task" in log
    assert "1 videos" not in log


def test_a_refused_row_is_given_up_alone(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b [sandbox reject=400:InvalidParameter]"), row("c")])
    assert not is_retryable(batch.fails())
    assert batch.billed == ["a", "c"]
    assert batch.manifest[1]["error_code"] == "InvalidParameter"


def test_a_time_out_keeps_the_record_and_the_next_attempt_adopts(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("a"), row("slow [sandbox seconds=2]")], timeout=0.6)
    error = batch.fails()
    assert is_retryable(error)
    assert batch.statuses == {"1": "succeeded", "2": "unknown"}
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [False]
    batch.given["timeout"] = 20
    batch.retried().run()
    assert batch.billed == ["a", "slow [sandbox seconds=2]"]
    assert len(batch.created) == 2


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("is_cancelling", [True, False])
def test_what_is_queued_at_the_time_out_is_cancelled(
    rounds: MakeRounds, sandbox: Sandbox, deferrable: bool, is_cancelling: bool
) -> None:
    batch = rounds(
        [row(f"{n} [sandbox hold]") for n in range(3)],
        timeout=0.3,
        cancel_on_timeout=is_cancelling,
        deferrable=deferrable,
    )
    batch.fails()
    statuses = {task["status"] for task in sandbox.ledger()["created"]}
    assert statuses == {"CANCELED" if is_cancelling else "PENDING"}


def test_a_deadline_that_passed_long_ago_gives_adopted_tasks_a_new_time_out(
    rounds: MakeRounds, sandbox: Sandbox
) -> None:
    batch = rounds([row("a [sandbox hold]"), row("b [sandbox hold]")], timeout=0.2, cancel_on_timeout=False)
    batch.fails()
    batch.given["timeout"] = 0.5
    deferred = batch.retried().first_round()
    for task in sandbox.tasks():
        sandbox.change(task["task_id"], "finish")
    assert batch.goes_on(batch.trigger_of(deferred))["counts"] == {"succeeded": 2}
    assert len(batch.created) == 2


def test_execution_timeout_is_for_the_whole(rounds: MakeRounds) -> None:
    rows = [row(f"{n} [sandbox seconds=0.4]") for n in range(9)]
    batch = rounds(rows, max_in_flight=1, execution_timeout=timedelta(seconds=1.5))
    error = batch.fails()
    assert is_retryable(error)
    assert "execution_timeout" in str(error)
    assert len(batch.created) < 9


def test_a_kill_of_the_former_attempt_costs_an_adopted_item_no_try(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("a [sandbox hold]")], item_retries=0)
    batch.first_round()
    deferred = batch.retried().first_round()
    sandbox.change(sandbox.tasks()[0]["task_id"], "cancel")
    deferred = batch.next_round(batch.trigger_of(deferred))
    sandbox.change(sandbox.tasks()[1]["task_id"], "finish")
    assert batch.goes_on(batch.trigger_of(deferred))["counts"] == {"succeeded": 1}


def test_a_killed_worker_cancels_what_is_queued(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has marked the task as failed."""
    monkeypatch.setattr("airflow_provider_wan.triggers.killed._states", lambda _: ["failed"])
    batch = rounds([row(f"{n} [sandbox hold]") for n in range(12)])
    batch.first_round()
    assert batch.driven is not None
    assert batch.driven.operator is not None
    batch.driven.operator.on_kill()
    assert {task["status"] for task in sandbox.ledger()["created"]} == {"CANCELED"}
    batch.cleared([row("other")]).run()


@pytest.mark.parametrize(
    ("state", "is_cancelled"), [("running", False), ("restarting", False), ("failed", True), (None, False)]
)
def test_a_drained_worker_cancels_nothing_that_its_successor_adopts(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, state: str | None, is_cancelled: bool
) -> None:
    def states(_: Any) -> list[str]:
        if state is None:
            raise RuntimeError("no supervisor")
        return [state]

    monkeypatch.setattr("airflow_provider_wan.triggers.killed._states", states)
    monkeypatch.setattr("airflow_provider_wan.triggers.killed.airflow_version", lambda: (3, 3))
    batch = rounds([row("a [sandbox hold]")])
    batch.first_round()
    assert batch.driven is not None
    assert batch.driven.operator is not None
    batch.driven.operator.on_kill()
    assert {task["status"] for task in sandbox.ledger()["created"]} == {"CANCELED" if is_cancelled else "PENDING"}


# -- throttled, full, silent --------------------------------------------------------------------------


def test_a_throttled_vendor_is_waited_for_without_a_worker(rounds: MakeRounds, sandbox: Sandbox) -> None:
    sandbox.configure(fail_next=[{"call": "submit", "status": 429, "times": 4}])
    batch = rounds([row("a"), row("b")])
    batch.run()
    assert batch.billed == ["a", "b"]
    assert batch.posts()["429"] == 4
    assert batch.driven is not None
    assert [len(step.kwargs["window"]) for step in batch.driven.steps[:4]] == [0, 0, 0, 0]


def test_pauses_grow_and_are_carried_over(rounds: MakeRounds, sandbox: Sandbox) -> None:
    sandbox.configure(fail_next=[{"call": "submit", "status": 429, "times": 3}])
    batch = rounds([row("a")], durable=False)
    events = [batch.first_event()]
    events += [batch.next_event(events[-1])]
    events += [batch.next_event(events[-1])]
    seconds = [event["carry"]["head"]["pauses"]["wan2.7-t2v"]["seconds"] for event in events]
    assert seconds == [0.1, 0.2, 0.4]


def test_a_full_queue_is_not_tried_all_the_time(rounds: MakeRounds, sandbox: Sandbox) -> None:
    sandbox.configure(running_limit=2, queue_limit=5, generation_seconds=0.2)
    batch = rounds([row(f"{n:02d}") for n in range(20)], max_in_flight=1000)
    batch.run()
    assert len(batch.billed) == 20
    assert batch.posts()["429"] <= 12
    assert batch.driven is not None
    assert len(batch.driven.steps) <= 25


def test_a_full_queue_of_one_model_leaves_the_others_alone(rounds: MakeRounds, sandbox: Sandbox) -> None:
    sandbox.configure(running_limit=0, queue_limit=2)
    other = {"mode": "image_to_video", "first_frame": "https://x.example.com/a.png"}
    batch = rounds([row("a"), row("b"), row("c"), row("d", **other), row("e", **other)])
    batch.first_round()
    assert batch.created == ["a", "b", "d", "e"]


def test_a_vendor_that_takes_nothing_for_the_whole_time_out_ends_the_batch(
    rounds: MakeRounds, sandbox: Sandbox
) -> None:
    sandbox.configure(fail_next=[{"call": "submit", "status": 429, "times": 1000}])
    batch = rounds([row("a"), row("b")], timeout=0.5)
    error = batch.fails()
    assert is_retryable(error)
    assert "nothing could be submitted since" in str(error)


def test_a_vendor_that_cannot_be_reached_is_waited_for(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "http://127.0.0.1:9", "gccai", "WAN_DOWN")
    batch = rounds([row("a"), row("b")], wan_conn_id="wan_down")
    batch.first_round()
    assert batch.driven is not None
    assert batch.store is not None
    assert set(batch.store.get("wan_batch")["pauses"]) == {"*"}


# -- landing ------------------------------------------------------------------------------------------


def test_a_landing_that_fails_leaves_the_item_paid_and_kept(rounds: MakeRounds, tmp_path: Path) -> None:
    batch = rounds([row("a"), row("b", store_to=f"file://{tmp_path}/b.mp4")], store_to=f"file://{tmp_path}/clips")
    event = batch.first_event()
    (tmp_path / "clips").rmdir()
    (tmp_path / "clips").write_text("in the way")
    with pytest.raises(WanError, match="1 of 2 videos were made and paid, but not stored") as raised:
        batch.goes_on(event)
    assert is_retryable(raised.value)
    assert batch.statuses == {"1": "not_stored", "2": "succeeded"}
    assert batch.manifest[0]["error_code"] == "StorageError"
    (tmp_path / "clips").unlink()
    batch.retried().run()
    assert batch.billed == ["a", "b"]
    assert (tmp_path / "clips" / "1.mp4").is_file()


@pytest.mark.parametrize(
    "given",
    [
        {"store_to": "file://{folder}/taken/clips"},
        {"store_to": "file://{folder}/taken/{{id}}/clip.mp4"},
        {"store_to": "nonsense://bucket/clips"},
        {"manifest_path": "file://{folder}/taken/manifest.jsonl"},
        {"manifest_path": "nonsense://bucket/manifest.jsonl"},
    ],
    ids=str,
)
def test_places_are_proven_before_the_first_payment(rounds: MakeRounds, tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "taken").write_text("a file")
    batch = rounds([row("a"), row("b")], **{name: value.format(folder=tmp_path) for name, value in given.items()})
    assert next(iter(given)) in str(batch.fails()) or "manifest" in str(batch.fails())
    assert batch.posts() == {}


def test_a_rows_own_place_is_proven_too(rounds: MakeRounds, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    batch = rounds([row("a"), row("b", store_to=f"file://{tmp_path}/taken/b.mp4")])
    assert "taken" in str(batch.fails())
    assert batch.posts() == {}


def test_places_of_what_is_regenerated_are_proven_too(rounds: MakeRounds, tmp_path: Path) -> None:
    batch = rounds([row("a"), row("b")], store_to=f"file://{tmp_path}/clips")
    batch.run()
    (tmp_path / "clips").rename(tmp_path / "kept")
    (tmp_path / "clips").write_text("in the way")
    batch.cleared(regenerate=True).fails()
    assert batch.created == ["a", "b"]


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_batch_that_cannot_store_pays_for_no_more(rounds: MakeRounds, tmp_path: Path, in_flight: int) -> None:
    # With one in flight, the two that count are given up in two rounds.
    batch = rounds([row(f"{n:02d}") for n in range(12)], store_to=f"file://{tmp_path}/clips", max_in_flight=in_flight)
    event = batch.first_event()
    (tmp_path / "clips").rmdir()
    (tmp_path / "clips").write_text("in the way")
    with pytest.raises(WanError, match="cannot be stored") as raised:
        batch.goes_on(event)
    assert is_retryable(raised.value)
    # At most as many more were submitted while the first ones were tried to be stored.
    assert len(batch.created) <= 2 + in_flight
    (tmp_path / "clips").unlink()
    batch.retried().run()
    assert len(batch.billed) == len(batch.created) == 12


def test_a_batch_that_cannot_fetch_its_videos_pays_for_no_more(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.configure(truncate_downloads=1000)
    batch = rounds([row(f"{n:02d}") for n in range(12)], store_to=f"file://{tmp_path}/clips", max_in_flight=2)
    error = batch.fails()
    assert is_retryable(error)
    assert "Submitting was stopped: videos cannot be stored" in str(error)
    assert len(batch.created) <= 4
    sandbox.configure(truncate_downloads=0)
    batch.retried().run()
    assert len(batch.billed) == len(batch.created) == 12


def test_a_landing_that_breaks_off_is_tried_in_later_rounds(
    rounds: MakeRounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wan.client.errors import WanTransportError
    from airflow_provider_wan.delivery import landing as delivery

    land, calls = delivery.land, []

    def shaky(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if len(calls) < 3:
            raise WanTransportError("broke off")
        return land(*given, **named)

    monkeypatch.setattr(delivery, "land", shaky)
    batch = rounds([row("a")], store_to=f"file://{tmp_path}/clips")
    assert batch.run()["counts"] == {"succeeded": 1}
    assert len(calls) == 3
    assert batch.billed == ["a"]


def test_a_video_that_is_gone_is_never_paid_anew_by_a_retry(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path
) -> None:
    batch = rounds([row("a [sandbox expire-url]"), row("b")], store_to=f"file://{tmp_path}/clips")
    error = batch.fails()
    assert not is_retryable(error)
    assert batch.statuses == {"1": "not_stored", "2": "succeeded"}
    batch.retried().fails()
    assert batch.billed == ["a [sandbox expire-url]", "b"]


def test_nothing_is_submitted_while_the_store_is_away(rounds: MakeRounds) -> None:
    batch = rounds([row("a")])
    assert batch.store is not None
    batch.store.is_down = True
    assert is_retryable(batch.fails())
    assert batch.posts() == {}
    batch.store.is_down = False
    batch.retried().run()
    assert batch.billed == ["a"]


@pytest.mark.parametrize("is_new_series", [False, True])
def test_a_video_that_could_not_be_stored_until_its_url_died_is_paid_anew_by_a_person_only(
    rounds: MakeRounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new_series: bool
) -> None:
    batch = rounds([row("a")], store_to=f"file://{tmp_path}/clips")
    event = batch.first_event()
    (tmp_path / "clips").rmdir()
    (tmp_path / "clips").write_text("in the way")
    with pytest.raises(WanError):
        batch.goes_on(event)
    (tmp_path / "clips").unlink()
    later = utc_now() + timedelta(days=2)
    monkeypatch.setattr("airflow_provider_wan.batch.records.utc_now", lambda: later)
    if is_new_series:
        batch.cleared().run()
        assert batch.billed == ["a", "a"]
    else:
        for _ in range(3):
            assert "made and paid, but not stored" in str(batch.retried().fails())
        assert batch.billed == batch.created == ["a"]
