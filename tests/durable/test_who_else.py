"""Others at the same account, other clocks, other addresses: what must not be mistaken for this one's, or for none."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.recovery.search import Clue, Reading, Sought
from airflow_provider_wan.client.recovery.traits import Traits
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.vendors.base import TaskPage
from airflow_provider_wan.durable import ComeBack, Ledger, Obtained, PaidCall, Timing, heal
from airflow_provider_wan.durable.ledger import MARK_KEY
from airflow_provider_wan.sandbox import Sandbox

from .conftest import QUICK, Attempts, MakeAttempts
from .store import FakeStore
from .test_recovery_by_list import all_over, lose, sibling

# -- pages that shift while they are read -----------------------------------------------------------------


def row(number: int) -> VideoTask:
    return VideoTask(
        task_id=f"t-{number}",
        vendor="dashscope",
        model="wan2.7-t2v",
        status=TaskStatus.SUCCEEDED,
        submitted_at=utc_now() + timedelta(seconds=number),
    )


def sought(**given: Any) -> Sought:
    start = utc_now()
    return Sought(Mode.TEXT_TO_VIDEO, "wan2.7-t2v", Traits(), start - timedelta(days=1), start, **given)


@pytest.mark.parametrize("shift", [1, 2, 3, 7])
def test_rows_that_shift_to_the_next_page_stand_once_and_in_order(shift: int) -> None:
    rows = [row(-number) for number in range(30)]
    reading = Reading([sought()])
    for page, number in enumerate(reading.pages()):
        # Before each page others have submitted ``shift`` tasks more.
        start = max(0, page * 10 - page * shift)
        part = rows[start : start + 10]
        reading.take(TaskPage(part, number + 1 if start + 10 < len(rows) else None))
    assert [one.task_id for one in reading.rows] == [one.task_id for one in rows]
    assert reading._is_sorted
    assert reading.covers(sought())


def test_a_task_that_stands_on_two_pages_is_one_candidate(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attempts(prompt="mine")
    lose(run)
    all_over(run)
    run.sandbox.configure(page_size_max=1)
    pages, count = Reading.take, iter(range(100))

    def drifting(self: Reading, page: TaskPage) -> None:
        pages(self, page)
        if next(count) < 3:
            sibling(run, "another's")

    monkeypatch.setattr(Reading, "take", drifting)
    found = run.obtain()
    assert found.is_adopted
    assert found.task is not None
    assert found.task.prompt == "mine"


# -- clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-30, -8, 8, 30])
@pytest.mark.parametrize("is_made", [True, False], ids=["made", "not-made"])
def test_the_dead_workers_clock_may_be_off(attempts: MakeAttempts, minutes: int, is_made: bool) -> None:
    """The vendor's clock, recorded with the intent, stands between that of the dead worker and ours."""
    run = attempts(prompt="mine")
    if is_made:
        lose(run)
        all_over(run)
    else:
        run.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
        run.attempt(give_up=timedelta(0), can_search_elsewhere=True).obtain()
    assert run.record is not None
    shift = timedelta(minutes=minutes)
    moments = {name: datetime.fromisoformat(run.record[name]) + shift for name in ("intent_at", "lost_at", "closes_at")}
    offset = run.record["clock_offset"] - shift.total_seconds()
    run.change_record(**{name: moment.isoformat() for name, moment in moments.items()}, clock_offset=offset)
    found = run.obtain(since=utc_now())
    assert found.is_adopted == is_made
    assert run.created == 1


def test_a_list_is_a_proof_by_the_vendors_clock_only() -> None:
    """The dead worker's clock was ten minutes slow: what seems late enough by it is not."""
    now = utc_now()
    slow = sought(clock_offset=600.0)
    slow = dataclasses.replace(slow, until=now - timedelta(minutes=10))
    assert not slow.is_sure(now, now + timedelta(seconds=59))
    assert slow.is_sure(now, now + timedelta(seconds=61))


@pytest.mark.parametrize("trouble", [{"error_rates": {"list": {500: 1}}}, {"malformed_rate": {"list": 1}}])
def test_a_clock_that_cannot_be_read_is_no_reason_not_to_submit(attempts: MakeAttempts, trouble: Any) -> None:
    run = attempts()
    run.sandbox.configure(**trouble)
    run.obtain()
    assert run.created == 1
    assert run.record is not None
    assert "clock_offset" not in run.record


# -- what others wait for --------------------------------------------------------------------------------


def in_triggerer(run: Attempts, come_back: ComeBack, others: dict[str, str]) -> Clue:
    """What a search comes to in a triggerer where others wait for tasks of theirs."""
    assert come_back.sought is not None
    wanted = Sought.of(come_back.sought.to_dict())
    account = run.client().account

    async def look() -> Clue:
        async with shared_poller(account) as poller:
            deadline = utc_now() + timedelta(seconds=20)
            for task_id, owner in others.items():
                handle = TaskHandle(
                    vendor="dashscope",
                    task_id=task_id,
                    mode=Mode.TEXT_TO_VIDEO,
                    model="wan2.7-t2v",
                    submitted_at=utc_now(),
                )
                await poller.wait(handle, deadline, 0.05, owner=owner)
            return await poller.find(wanted, deadline)

    return asyncio.run(look())


@pytest.mark.parametrize("is_made", [True, False], ids=["made", "not-made"])
def test_what_a_sibling_waits_for_or_has_ended_is_no_candidate(attempts: MakeAttempts, is_made: bool) -> None:
    run = attempts(prompt="the same")
    theirs = sibling(run)
    if is_made:
        run.sandbox.configure(drop_next_answers=1)
    else:
        run.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    come_back = run.attempt(can_search_elsewhere=True, owner="me").obtain()
    assert isinstance(come_back, ComeBack)
    clue = in_triggerer(run, come_back, {theirs: "them"})
    assert theirs not in [one.task_id for one in clue.rows]
    found = run.obtain(clue=clue, can_search_elsewhere=True, owner="me")
    assert found.is_adopted == is_made
    assert found.handle.task_id != theirs
    assert run.created == 2


@pytest.mark.parametrize("owner", ["me", ""], ids=["own", "unknown"])
def test_what_this_task_itself_waited_for_stays_a_candidate(attempts: MakeAttempts, owner: str) -> None:
    """Its record was lost after the submission, its trigger had the handle."""
    run = attempts(prompt="the same [sandbox drop-answer]")
    come_back = run.attempt(can_search_elsewhere=True, owner="me").obtain()
    assert isinstance(come_back, ComeBack)
    task_id = run.sandbox.ledger()["created"][0]["task_id"]
    clue = in_triggerer(run, come_back, {task_id: owner})
    assert run.obtain(clue=clue, owner="me").handle.task_id == task_id
    assert run.created == 1


# -- another address -------------------------------------------------------------------------------------


@pytest.fixture
def moved(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Turns a run's account to another address of the same vendor."""

    def move(run: Attempts) -> None:
        base = run.client

        def client() -> Any:
            made = base()
            made.__init__(dataclasses.replace(made.account, base_url=sandbox.url.replace("127.0.0.1", "localhost")))
            return made

        run.client = client  # type: ignore[method-assign]

    return move


@pytest.mark.parametrize("vendor", ["dashscope", "gccai", "powertokens", "freepik"])
def test_another_address_that_knows_the_task_is_no_other_request(
    attempts: MakeAttempts, moved: Any, vendor: str
) -> None:
    run = attempts(vendor)
    first = run.obtain()
    moved(run)
    found = run.obtain()
    assert found.is_adopted
    assert found.handle == first.handle
    assert run.created == 1


@pytest.mark.parametrize(("before", "after"), [(None, "ws-1"), ("ws-1", None), ("ws-1", "ws-2")])
def test_another_workspace_that_knows_the_task_is_no_other_request(
    attempts: MakeAttempts, before: str | None, after: str | None
) -> None:
    """A connection begins to name the workspace that its key has had all the time."""
    run = attempts()
    run.account = {"workspace_id": before}
    first = run.obtain()
    run.account = {"workspace_id": after}
    found = run.obtain()
    assert found.is_adopted
    assert found.handle == first.handle
    assert run.created == 1


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
def test_a_lost_answer_is_followed_to_the_other_address(attempts: MakeAttempts, moved: Any, vendor: str) -> None:
    run = attempts(vendor)
    lose(run)
    moved(run)
    run.obtain()
    assert run.created == 1


def test_another_address_that_does_not_know_the_task_is_another_request(attempts: MakeAttempts, moved: Any) -> None:
    run = attempts()
    first = run.obtain()
    run.sandbox.change(first.handle.task_id, "expire")
    moved(run)
    assert not run.obtain().is_adopted
    assert run.created == 2


def test_another_address_in_trouble_pays_nothing(attempts: MakeAttempts, moved: Any) -> None:
    run = attempts()
    first = run.obtain()
    moved(run)
    run.sandbox.configure(error_rates={"query": {503: 1}})
    assert run.obtain().handle == first.handle
    assert run.created == 1


# -- records that were deleted, or lack their task --------------------------------------------------------


def test_a_first_try_and_a_retry_are_told_from_a_clear() -> None:
    store = FakeStore()
    assert not Ledger(store).begin(1)
    assert not Ledger(store).begin(2), "the first try has left its mark, although it submitted nothing"
    store.rows.clear()
    assert Ledger(store).begin(3)
    assert not Ledger(store).begin(4), "said once"


@pytest.mark.parametrize("left", [{"forgotten": True, "version": 1, "at": "x"}, {"fingerprint": "x"}])
def test_a_record_or_a_tombstone_says_that_nothing_was_deleted(left: dict[str, Any]) -> None:
    store = FakeStore()
    store.set("wan_submission", left)
    assert not Ledger(store).begin(2)


@pytest.mark.parametrize("call", ["get", "set"])
def test_a_mark_that_cannot_be_kept_stops_nobody(call: str) -> None:
    store = FakeStore()
    store.fails = {call}
    assert not Ledger(store).begin(2)
    store.fails = set()
    assert MARK_KEY not in store.rows


def test_a_record_that_lacks_its_task_is_mended(attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was away after the POST; the event of the trigger names the task."""
    run = attempts("powertokens")
    with monkeypatch.context() as patch:
        patch.setattr(PaidCall, "made", lambda self, record, handle: Obtained(handle))
        found = run.obtain()
    assert run.record is not None
    assert "handle" not in run.record
    heal(Ledger(run.store), found.handle)
    assert run.obtain().handle == found.handle
    assert run.created == 1


def test_only_a_record_that_lacks_its_task_is_mended(attempts: MakeAttempts) -> None:
    run = attempts()
    first = run.obtain().handle
    heal(Ledger(run.store), first.model_copy(update={"task_id": "another"}))
    assert run.record is not None
    assert run.record["handle"]["task_id"] == first.task_id
    empty = FakeStore()
    heal(Ledger(empty), first)
    assert empty.rows == {}


assert QUICK.clock_margin == Timing().clock_margin
