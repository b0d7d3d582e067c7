"""What becomes of trouble at the operator: what Airflow retries, what it does not, and what the log says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wan.client.errors import (
    WanError,
    WanTaskFailed,
    WanTaskTimeout,
    WanTransportError,
)
from airflow_provider_wan.durable import STATE_KEY, Attempt, Timing
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.worker.failing import AirflowFailException  # type: ignore[attr-defined]
from airflow_provider_wan.worker.settings import RunTimes
from tests.driving import Driven, Instance
from tests.durable.conftest import KEY, VENDORS
from tests.durable.store import FakeStore

every_vendor = pytest.mark.parametrize("vendor", VENDORS)
both_ways = pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "in-worker"])


@pytest.fixture
def connections(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in VENDORS:
        extra = {"vendor": vendor, "timeout": 5, "queries_per_second": 500}
        connection = {"conn_type": "wan", "host": sandbox.base_url(vendor), "password": KEY, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_WAN_{vendor.upper()}", json.dumps(connection))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product's waits, made short; the decisions stay."""
    timing = Timing(late=timedelta(0), look_again=0.02)
    monkeypatch.setattr("airflow_provider_wan.durable.attempt.Attempt", lambda **given: Attempt(**given, timing=timing))
    monkeypatch.setattr("airflow_provider_wan.worker.settings.TIMES", RunTimes(throttled_pause=0.05, submit=0.0))


@pytest.fixture
def make(sandbox: Sandbox, connections: None) -> Callable[..., Driven]:
    def driven(prompt: str = "a paper boat", vendor: str = "dashscope", **given: Any) -> Driven:
        given = {"poll_interval": 0.05, "wan_conn_id": f"wan_{vendor}", "timeout": 30} | given
        store: Any = given.pop("store", FakeStore())
        context = {"outlet_events": {}}
        return Driven(lambda: WanTextToVideoOperator(task_id="make", prompt=prompt, **given), store, context=context)

    return driven


MakeDriven = Callable[..., Driven]


def next_try(run: Driven, **instance: Any) -> Driven:
    """The same task instance again, in a new process."""
    return Driven(run.make, run.store, Instance(**{"try_number": 2, **instance}), run.context)


# -- what is final ---------------------------------------------------------------------------------------

FINAL: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("refused", "x [sandbox reject=400:InvalidParameter]", "WanRejectedError", ("InvalidParameter", "request_id=")),
    ("moderation", "x [sandbox reject=400:DataInspectionFailed]", "WanModerationError", ("DataInspectionFailed",)),
    ("auth", "x [sandbox reject=401:InvalidApiKey]", "WanAuthError", ("InvalidApiKey", "request_id=")),
    ("billing", "x [sandbox reject=400:Arrearage]", "WanBillingError", ("Arrearage", "request_id=")),
    ("failed-moderation", "x [sandbox fail=DataInspectionFailed]", "WanModerationError", ("task_id=", "not billed")),
    ("failed-parameter", "x [sandbox fail=InvalidParameter]", "WanTaskFailed", ("task_id=", "not billed")),
]


@both_ways
@pytest.mark.parametrize(("prompt", "kind", "words"), [row[1:] for row in FINAL], ids=[row[0] for row in FINAL])
def test_what_no_retry_can_mend_fails_at_once(
    sandbox: Sandbox, make: MakeDriven, is_deferrable: bool, prompt: str, kind: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AirflowFailException, match=kind) as caught:
        make(prompt, deferrable=is_deferrable).run()
    for word in words:
        assert word in str(caught.value)
    ledger = sandbox.ledger()
    assert ledger["billed"] == []
    assert sum(ledger["requests"]["dashscope"]["submit"].values()) == 1


@every_vendor
def test_every_vendors_final_failures_are_told_whole(sandbox: Sandbox, make: MakeDriven, vendor: str) -> None:
    with pytest.raises(AirflowFailException, match="task_id=") as caught:
        make("x [sandbox fail=DataInspectionFailed]", vendor).run()
    task_id = sandbox.ledger()["created"][0]["task_id"]
    assert task_id in str(caught.value)
    assert "inappropriate content" in str(caught.value)


def test_a_request_that_breaks_rules_costs_no_call_at_all(sandbox: Sandbox, make: MakeDriven) -> None:
    run = make("{{ 'x' * 9000 }}")
    with pytest.raises(AirflowFailException, match="prompt"):
        run.run()
    assert sandbox.ledger()["requests"] == {}
    assert isinstance(run.store, FakeStore)
    # Where a clear deletes task state, the mark of the attempt stands there.
    assert [value for value in run.store.history if "fingerprint" in value] == []


@both_ways
@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_an_unknown_outcome_waits_for_a_person(
    sandbox: Sandbox, make: MakeDriven, is_deferrable: bool, vendor: str
) -> None:
    sandbox.configure(drop_next_answers=1)
    run = make(vendor=vendor, deferrable=is_deferrable)
    for attempt in (run, next_try(run)):
        with pytest.raises(AirflowFailException, match="WanSubmissionUnknown") as caught:
            attempt.run()
        message = str(caught.value)
        assert "Look in the vendor's console" in message
        assert "set regenerate" in message
        assert message.count("console") == 1
    assert len(sandbox.ledger()["created"]) == 1


# -- what may pass ---------------------------------------------------------------------------------------


@both_ways
@every_vendor
def test_a_failure_that_may_pass_is_left_to_retries_and_then_made_anew(
    sandbox: Sandbox, make: MakeDriven, vendor: str, is_deferrable: bool
) -> None:
    run = make("x [sandbox fail=InternalError]", vendor, deferrable=is_deferrable)
    with pytest.raises(WanTaskFailed) as caught:
        run.run()
    assert caught.value.retryable
    task_id = sandbox.ledger()["created"][0]["task_id"]
    assert task_id in str(caught.value)
    with pytest.raises(WanTaskFailed):
        next_try(run).run()
    assert len(sandbox.ledger()["created"]) == 2
    assert sandbox.ledger()["billed"] == []


@both_ways
def test_a_vendor_that_cannot_be_reached_is_left_to_retries(
    make: MakeDriven, is_deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "wan", "host": "http://127.0.0.1:9", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_WAN_DASHSCOPE", json.dumps(connection))
    run = make(deferrable=is_deferrable)
    with pytest.raises(WanTransportError, match="nothing was submitted"):
        run.run()
    assert isinstance(run.store, FakeStore)
    assert json.loads(run.store.rows[STATE_KEY])["forgotten"]


def test_a_store_that_is_away_is_left_to_retries(sandbox: Sandbox, make: MakeDriven) -> None:
    run = make()
    assert isinstance(run.store, FakeStore)
    run.store.fails = {"get"}
    with pytest.raises(WanError, match="Nothing was submitted"):
        run.run()
    assert sandbox.ledger()["requests"] == {}


# -- throttled -------------------------------------------------------------------------------------------


@every_vendor
def test_a_throttled_submission_waits_in_the_triggerer(sandbox: Sandbox, make: MakeDriven, vendor: str) -> None:
    run = make("x [sandbox reject=429 times=3]", vendor)
    result = run.run()
    assert result["status"] == "succeeded"
    pauses = [step for step in run.steps if step.method == "execute_again"]
    assert len(pauses) >= 2
    assert len({step.event["since"] for step in pauses}) == 1, "one budget of time for all pauses"
    assert len(sandbox.ledger()["created"]) == 1


def test_a_throttled_submission_waits_in_the_worker_where_it_may_not_defer(sandbox: Sandbox, make: MakeDriven) -> None:
    run = make("x [sandbox reject=429 times=40]", deferrable=False)
    assert run.run()["status"] == "succeeded"
    assert run.steps == []
    assert len(sandbox.ledger()["created"]) == 1


def test_the_vendors_word_on_when_to_come_back_is_kept(
    sandbox: Sandbox, make: MakeDriven, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.configure(retry_after_seconds=600)
    with pytest.raises(TaskDeferred) as caught:
        make("x [sandbox reject=429]", timeout=timedelta(hours=6)).call("execute")
    trigger: Any = caught.value.trigger
    from datetime import datetime

    from airflow_provider_wan.client.tasks import utc_now

    left = datetime.fromisoformat(trigger.moment) - utc_now()
    assert timedelta(seconds=590) < left <= timedelta(seconds=600)


@both_ways
def test_throttling_without_end_is_left_to_retries(sandbox: Sandbox, make: MakeDriven, is_deferrable: bool) -> None:
    with pytest.raises(WanError, match=r"code=429|Throttling") as caught:
        make("x [sandbox reject=429]", deferrable=is_deferrable, timeout=0.4).run()
    assert caught.value.retryable
    assert sandbox.ledger()["created"] == []


# -- a lost answer ---------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("is_durable", [True, False], ids=["durable", "not-durable"])
@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
def test_a_lost_answer_is_paid_once(
    sandbox: Sandbox, make: MakeDriven, vendor: str, is_durable: bool, is_deferrable: bool
) -> None:
    sandbox.configure(drop_next_answers=4 if vendor == "gccai" else 1)
    run = make("x [sandbox seconds=0.3]", vendor, durable=is_durable, deferrable=is_deferrable)
    assert run.run()["status"] == "succeeded"
    assert len(sandbox.ledger()["created"]) == 1
    assert any(step.method == "execute_again" for step in run.steps) == is_deferrable
    for step in run.steps:
        assert KEY not in str(step.kwargs)
        assert "sandbox seconds" not in str(step.kwargs), "no prompt in what goes through the database"


@both_ways
def test_an_airflow_without_a_state_store_recovers_within_an_attempt(
    sandbox: Sandbox, make: MakeDriven, is_deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.configure(drop_next_answers=1)
    run = make(store=None, deferrable=is_deferrable)
    assert run.run()["status"] == "succeeded"
    assert len(sandbox.ledger()["created"]) == 1


# -- adopted, cancelled, late ----------------------------------------------------------------------------


def test_an_adopted_task_that_comes_back_cancelled_is_made_once_more(sandbox: Sandbox, make: MakeDriven) -> None:
    sandbox.configure(running_limit=1)
    blocker = make("the one before [sandbox run-forever]")
    blocker.deferred()
    run = make("x")
    run.deferred()
    first = sandbox.ledger()["created"][1]["task_id"]
    cleared = next_try(run, max_tries=1)
    deferred = cleared.deferred()
    sandbox.change(first, "cancel")
    event = cleared.trigger(deferred)
    assert event["status"] == "cancelled"
    with pytest.raises(TaskDeferred) as again:
        cleared.call("execute_complete", event=event)
    assert len(sandbox.ledger()["created"]) == 3
    second = sandbox.ledger()["created"][2]["task_id"]
    sandbox.change(second, "cancel")
    event = cleared.trigger(again.value)
    with pytest.raises(WanTaskFailed, match="cancelled") as caught:
        cleared.call("execute_complete", event=event)
    assert caught.value.retryable, "once more, not for ever"
    assert len(sandbox.ledger()["created"]) == 3


def test_a_throttled_resubmission_pauses_too(sandbox: Sandbox, make: MakeDriven) -> None:
    run = make("x [sandbox hold]")
    run.deferred()
    cleared = next_try(run, max_tries=1)
    deferred = cleared.deferred()
    sandbox.change(sandbox.ledger()["created"][0]["task_id"], "cancel")
    event = cleared.trigger(deferred)
    sandbox.configure(fail_next=[{"call": "submit", "status": 429}])
    with pytest.raises(TaskDeferred) as paused:
        cleared.call("execute_complete", event=event)
    assert paused.value.method_name == "execute_again"
    with pytest.raises(TaskDeferred):
        cleared.call("execute_again", event=cleared.trigger(paused.value))
    assert len(sandbox.ledger()["created"]) == 2


@both_ways
@pytest.mark.parametrize(
    ("vendor", "mark", "fate"),
    [
        ("dashscope", "hold", "was cancelled while queued: it is not billed"),
        ("dashscope", "run-forever", "runs on and will be billed: DashScope cancels queued tasks only"),
        ("gccai", "run-forever", "runs on and will be billed: GCCAI cannot cancel tasks"),
    ],
)
def test_a_deadline_says_what_becomes_of_the_task(
    sandbox: Sandbox, make: MakeDriven, is_deferrable: bool, vendor: str, mark: str, fate: str
) -> None:
    run = make(f"x [sandbox {mark}]", vendor, deferrable=is_deferrable, timeout=0.5)
    with pytest.raises(WanTaskTimeout) as caught:
        run.run()
    task_id = sandbox.ledger()["created"][0]["task_id"]
    assert caught.value.retryable
    assert "deadline" in str(caught.value)
    assert f"Task {task_id} {fate}" in str(caught.value)
    assert f"task_id={task_id}" in str(caught.value)


def test_the_attempt_after_a_deadline_adopts_with_a_new_one(sandbox: Sandbox, make: MakeDriven) -> None:
    store = FakeStore()
    with pytest.raises(WanTaskTimeout):
        make("x [sandbox seconds=1.2]", timeout=0.4, store=store).run()
    assert make("x [sandbox seconds=1.2]", timeout=30, store=store).run()["status"] == "succeeded"
    assert len(sandbox.ledger()["created"]) == 1


# -- results ---------------------------------------------------------------------------------------------


@both_ways
def test_a_cleared_success_is_neither_made_nor_downloaded_again(
    sandbox: Sandbox, make: MakeDriven, tmp_path: Path, is_deferrable: bool
) -> None:
    run = make(store_to=f"file://{tmp_path}/clip.mp4", deferrable=is_deferrable)
    first = run.run()
    sandbox.configure(outage=60)
    cleared = next_try(run, max_tries=1)
    again = cleared.run()
    assert cleared.steps == []
    for name in ("task_id", "uri", "bytes", "sha256", "status", "model", "prompt"):
        assert again[name] == first[name]
    sandbox.configure(outage=0)
    ledger = sandbox.ledger()
    assert len(ledger["created"]) == 1
    assert ledger["requests"]["dashscope"]["download"] == {"200": 1}


def test_a_landing_that_failed_is_repeated_without_a_new_task(
    sandbox: Sandbox, make: MakeDriven, tmp_path: Path
) -> None:
    run = make(store_to=f"file://{tmp_path}/folder/clip.mp4")
    event = run.trigger(run.deferred())
    # The place was proven before the payment; it is spoiled while the video is made.
    shutil.rmtree(tmp_path / "folder", ignore_errors=True)
    (tmp_path / "folder").write_text("a file where a folder is needed")
    with pytest.raises(Exception, match="folder"):
        run.call("execute_complete", event=event)
    (tmp_path / "folder").unlink()
    again = next_try(run).run()
    assert Path(again["uri"].removeprefix("file://")).exists()
    assert len(sandbox.ledger()["created"]) == 1


def test_a_new_place_gets_a_copy_of_what_is_stored(sandbox: Sandbox, make: MakeDriven, tmp_path: Path) -> None:
    store = FakeStore()
    first = make(store_to=f"file://{tmp_path}/a.mp4", store=store).run()
    sandbox.change(first["task_id"], "expire")
    again = make(store_to=f"file://{tmp_path}/b.mp4", store=store).run()
    assert again["uri"].endswith("/b.mp4")
    assert again["sha256"] == first["sha256"]
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert len(sandbox.ledger()["created"]) == 1
    assert make(store_to=f"file://{tmp_path}/b.mp4", store=store).run()["uri"] == again["uri"]


def test_a_stored_video_serves_an_operator_that_stores_no_more(
    sandbox: Sandbox, make: MakeDriven, tmp_path: Path
) -> None:
    store = FakeStore()
    first = make(store_to=f"file://{tmp_path}/a.mp4", store=store).run()
    sandbox.change(first["task_id"], "expire")
    assert make(store=store).run()["uri"] == first["uri"]
    assert len(sandbox.ledger()["created"]) == 1


def test_an_expired_result_is_not_paid_anew_by_the_attempt_that_finds_it_expired(
    sandbox: Sandbox, make: MakeDriven, tmp_path: Path
) -> None:
    with pytest.raises(AirflowFailException, match="WanResultGone"):
        make("x [sandbox expire-url]", store_to=f"file://{tmp_path}/a.mp4").run()
    assert len(sandbox.ledger()["created"]) == 1


def test_nothing_secret_is_recorded_or_told(
    sandbox: Sandbox, make: MakeDriven, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    sandbox.configure(drop_next_answers=1)
    run = make("a very private wish", store_to=f"file://{tmp_path}/a.mp4")
    run.run()
    assert isinstance(run.store, FakeStore)
    for text in (str(run.store.history), caplog.text, *(str(step.kwargs) for step in run.steps)):
        assert KEY not in text
        assert "Signature=" not in text
    assert "private wish" not in str(run.store.history)
