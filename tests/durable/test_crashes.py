"""Processes that die, and a store that fails, around the paid call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wan import durable
from airflow_provider_wan.client.errors import WanError, WanSubmissionUnknown
from airflow_provider_wan.client.recovery.search import Timing
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.durable import TIMES, Ledger, LedgerError, PaidCall, Record, paid_call, recovery

from .conftest import VENDORS, MakeAttempts

every_vendor = pytest.mark.parametrize("vendor", VENDORS)
RECOVERABLE = ("dashscope", "gccai")


class Killed(BaseException):
    """What SIGKILL looks like from inside: nothing runs after it."""


def kill_before_post(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr(WanClient, "submit", submit)


def kill_before_record(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Ledger.keep

    def kill_at_handle(self: Ledger, record: Record) -> bool:
        if record.handle is not None:
            raise Killed
        return keep(self, record)

    monkeypatch.setattr(Ledger, "keep", kill_at_handle)


def kill_after_record(monkeypatch: pytest.MonkeyPatch) -> None:
    made = PaidCall.made

    def then_die(self: PaidCall, record: Record, handle: Any) -> Any:
        made(self, record, handle)
        raise Killed

    monkeypatch.setattr(PaidCall, "made", then_die)


KILLS = [kill_before_post, kill_before_record, kill_after_record]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
@pytest.mark.parametrize("vendor", RECOVERABLE)
def test_a_killed_worker_leaves_one_task(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, vendor: str, kill: Any
) -> None:
    run = attempts(vendor)
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(Killed):
            run.obtain()
    assert run.record is not None
    # The window in which the dead worker may have posted is over.
    if run.record.get("handle") is None:
        run.change_record(closes_at=utc_now().isoformat())
    found = run.obtain()
    again = run.obtain()
    assert again.handle == found.handle
    assert run.created == 1


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_where_nothing_can_be_looked_up_a_person_decides(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    run = attempts(vendor)
    with monkeypatch.context() as patch:
        kill_before_record(patch)
        with pytest.raises(Killed):
            run.obtain()
    found = run.attempt(give_up=timedelta(hours=1)).obtain()
    assert isinstance(found, durable.ComeBack), "the worker taken for dead may just be waiting for its answer"
    run.change_record(closes_at=utc_now().isoformat())
    for _ in range(2):
        with pytest.raises(WanSubmissionUnknown, match="neither idempotency keys nor a task list") as caught:
            run.obtain()
        assert not caught.value.retryable
    assert run.created == 1
    run.obtain(policies=durable.Policies(on_unknown_submission="resubmit"))
    assert run.created == 2
    assert run.obtain().is_adopted
    assert run.created == 2


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_killed_after_the_record_is_adopted_anywhere(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    run = attempts(vendor)
    with monkeypatch.context() as patch:
        kill_after_record(patch)
        with pytest.raises(Killed):
            run.obtain()
    assert run.obtain().is_adopted
    assert run.created == 1


@pytest.mark.parametrize(
    ("age", "left", "seconds"), [(1, 130, 2), (30, 100, 10), (120, 100, 20), (120, 6, 6), (130, 0.5, 2)]
)
def test_a_worker_that_stays_silent_is_looked_for_less_often(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, age: float, left: float, seconds: float
) -> None:
    """Each look may be a process of its own, and a killed worker's window is open for minutes."""
    run = attempts("gccai")
    with monkeypatch.context() as patch:
        kill_before_record(patch)
        with pytest.raises(Killed):
            run.obtain()
    now = utc_now()
    run.change_record(
        intent_at=(now - timedelta(seconds=age)).isoformat(), closes_at=(now + timedelta(seconds=left)).isoformat()
    )
    monkeypatch.setattr(recovery, "utc_now", lambda: now)
    found = run.attempt(give_up=timedelta(hours=1), timing=Timing()).obtain()
    assert isinstance(found, durable.ComeBack)
    assert found.seconds == pytest.approx(seconds)
    assert run.created == 1


def test_a_window_that_is_still_open_is_waited_for(attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker taken for dead may post until its window closes."""
    run = attempts()
    with monkeypatch.context() as patch:
        kill_before_post(patch)
        with pytest.raises(Killed):
            run.obtain()
    found = run.attempt(give_up=timedelta(hours=1)).obtain()
    assert isinstance(found, durable.ComeBack)
    assert found.seconds > 10
    assert run.created == 0
    run.change_record(closes_at=(utc_now() - timedelta(seconds=1)).isoformat())
    assert not run.obtain().is_adopted
    assert run.created == 1


# -- the store -------------------------------------------------------------------------------------------


@every_vendor
def test_a_record_that_cannot_be_read_is_an_error_and_nothing_is_sent(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor, prompt="x [sandbox run-forever]")
    run.obtain()
    assert run.store is not None
    run.store.fails = {"get"}
    with pytest.raises(LedgerError, match="Nothing was submitted") as caught:
        run.obtain()
    assert caught.value.retryable
    assert run.posts() == 1
    run.store.fails = set()
    assert run.obtain().is_adopted


@every_vendor
def test_an_intent_that_cannot_be_written_sends_nothing(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    assert run.store is not None
    run.store.fails = {"set"}
    with pytest.raises(LedgerError, match="nothing was submitted") as caught:
        run.obtain()
    assert caught.value.retryable
    assert run.posts() == 0
    assert run.store.rows == {}


@pytest.mark.parametrize("vendor", RECOVERABLE)
def test_a_handle_that_cannot_be_written_is_not_lost(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = attempts(vendor)
    write = Ledger.write

    def fail_at_handle(self: Ledger, record: Record) -> None:
        if record.handle is not None:
            raise LedgerError("The submission could not be recorded (the database is away)")
        write(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", fail_at_handle)
        first = run.obtain()
    assert first.handle.task_id in caplog.text
    assert run.record is not None
    assert "handle" not in run.record
    # This attempt goes on with its task; if it fails all the same, the next one finds the task again.
    run.change_record(closes_at=utc_now().isoformat())
    assert run.obtain().handle.task_id == first.handle.task_id
    assert run.created == 1


def test_a_short_trouble_of_the_store_after_the_post_is_ridden_out(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attempts()
    write, failures = Ledger.write, iter([LedgerError("away"), LedgerError("away")])

    def fail_twice(self: Ledger, record: Record) -> None:
        if record.handle is not None and (error := next(failures, None)):
            raise error
        write(self, record)

    monkeypatch.setattr(Ledger, "write", fail_twice)
    first = run.obtain()
    assert run.record is not None
    assert run.record["handle"]["task_id"] == first.handle.task_id


@pytest.mark.parametrize("vendor", RECOVERABLE)
def test_a_refusal_that_cannot_be_forgotten_costs_nothing(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    run = attempts(vendor, prompt="x [sandbox reject=400:InvalidParameter times=1]")
    assert run.store is not None
    write = run.store.set

    def no_tombstone(key: str, value: Any, **given: Any) -> None:
        if "forgotten" in value:
            raise RuntimeError("API_SERVER_ERROR")
        write(key, value, **given)

    with monkeypatch.context() as patch:
        patch.setattr(run.store, "set", no_tombstone)
        with pytest.raises(WanError):
            run.obtain()
    assert run.record is not None
    run.change_record(closes_at=utc_now().isoformat())
    run.obtain()
    assert run.created == 1


def test_a_worker_that_stood_still_writes_its_intent_again(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen virtual machine: the time between intent and POST is over when it wakes up."""
    run = attempts()
    assert run.store is not None
    clock = iter([0, 3600, 3600, 3600, 3600, 3600])
    now = utc_now()
    monkeypatch.setattr(paid_call, "utc_now", lambda: now + timedelta(seconds=next(clock, 3600)))
    run.obtain()
    intents = [value["intent_at"] for value in run.store.history]
    assert len(set(intents)) == 2
    assert run.created == 1


def test_a_worker_that_was_replaced_while_it_stood_still_sends_nothing(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow refuses the writes of a try that is not the current one any more."""
    run = attempts()
    store = run.store
    assert store is not None
    write = store.set

    def replaced(key: str, value: Any, **_: Any) -> None:
        write(key, value)
        store.fails = {"set"}

    monkeypatch.setattr(store, "set", replaced)
    with pytest.raises(LedgerError):
        run.obtain(times=replace(TIMES, standstill=timedelta(0)))
    assert run.posts() == 0


# -- without a store -------------------------------------------------------------------------------------


def test_a_lost_answer_is_recovered_without_a_store_too(attempts: MakeAttempts) -> None:
    run = attempts(store=None)
    run.sandbox.configure(drop_next_answers=1)
    found = run.obtain()
    assert found.is_adopted
    assert run.created == 1


def test_what_is_carried_recovers_in_the_next_process(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox seconds=2]", store=None)
    run.sandbox.configure(drop_next_answers=1)
    first = run.attempt()
    come_back = first.obtain()
    assert isinstance(come_back, durable.ComeBack)
    carried = first.ledger.carried()
    assert carried is not None
    run.sandbox.wait_for(lambda books: len(books["billed"]) == 1)
    second = run.attempt(ledger=Ledger(None, carried=carried)).obtain()
    assert isinstance(second, durable.Obtained)
    assert second.is_adopted
    assert run.created == 1
