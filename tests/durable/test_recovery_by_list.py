"""A lost answer at DashScope: what its task list proves, and what it leaves open."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import uvicorn

from airflow_provider_wan.client.errors import WanSubmissionUnknown, WanTransportError
from airflow_provider_wan.client.exchange import Answer, Broken, Call
from airflow_provider_wan.client.polling.poller import shared_poller
from airflow_provider_wan.client.recovery.search import Sought
from airflow_provider_wan.client.requests import ImageToVideoRequest, TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskStatus, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.durable import Clue, ComeBack, Knowledge, Obtained, Policies, Timing
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sandbox.world.clock import Clock

from .conftest import KEY, QUICK, Attempts, MakeAttempts

RESUBMIT = Policies(on_unknown_submission="resubmit")


def lose(run: Attempts, **settings: Any) -> Obtained | ComeBack:
    """One attempt whose answer is lost after the task was made."""
    run.sandbox.configure(drop_next_answers=1)
    return run.attempt(**settings).obtain()


def sibling(run: Attempts, prompt: str | None = None, **fields: Any) -> str:
    """Another task instance of the same account makes a task; return its id."""
    base = run.request.model_dump(exclude_none=True) | ({"prompt": prompt} if prompt else {}) | fields
    other = Attempts(run.sandbox, run.vendor, type(run.request).model_validate(base))
    return other.obtain().handle.task_id


def all_over(run: Attempts) -> None:
    over = {"SUCCEEDED", "FAILED", "CANCELED"}
    run.sandbox.wait_for(lambda books: all(task["status"] in over for task in books["created"]))


def test_an_answer_lost_after_the_task_was_made_is_adopted(
    attempts: MakeAttempts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = attempts()
    first = lose(run)
    assert isinstance(first, ComeBack), "the prompt of a running task is not told"
    found = run.obtain()
    assert found.is_adopted
    assert found.task is not None
    assert found.task.status is TaskStatus.SUCCEEDED
    assert run.created == run.posts() == 1
    assert "adopted, nothing is paid again" in caplog.text
    assert run.obtain().handle == found.handle


def test_the_next_attempt_finds_it_as_well(attempts: MakeAttempts) -> None:
    run = attempts()
    lose(run)
    all_over(run)
    assert run.obtain().is_adopted
    assert run.created == 1


def test_an_answer_lost_before_the_task_was_made_is_submitted_anew(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox drop-before]")
    assert not run.obtain().is_adopted
    assert run.created == 1
    assert run.posts() == 2


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_server_error_after_the_task_was_made_is_recognised_by_its_request_id(
    attempts: MakeAttempts, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = attempts(prompt=f"x [sandbox error-after-create={status} run-forever]")
    found = run.obtain()
    assert found.is_adopted, "at once, although the task runs and shows no prompt"
    assert found.task is None
    assert "by its request id" in caplog.text
    assert run.created == 1


def test_a_server_error_without_a_task_is_submitted_anew(attempts: MakeAttempts) -> None:
    run = attempts()
    run.sandbox.configure(fail_next=[{"call": "submit", "status": 500, "code": "InternalError"}])
    assert not run.obtain().is_adopted
    assert run.created == 1


def test_losses_without_end_are_left_to_airflows_retries(attempts: MakeAttempts) -> None:
    run = attempts()
    run.sandbox.configure(drop_before_rate=1)
    for _ in range(2):
        with pytest.raises(WanTransportError, match="none of them made a task") as caught:
            run.obtain()
        assert caught.value.retryable
    assert run.posts() == 10 - 1, "the second attempt first finds out about the last loss of the first one"
    run.sandbox.configure(drop_before_rate=0)
    run.obtain()
    assert run.created == 1


@pytest.mark.parametrize("kind", range(4))
def test_an_answer_that_is_no_answer_is_a_lost_one(attempts: MakeAttempts, kind: int) -> None:
    run = attempts()
    for _ in range(kind):
        run.sandbox.app.gateway.faults._malformed += 1
    run.sandbox.configure(malformed_rate={"submit": 1})
    found = run.attempt().obtain()
    run.sandbox.configure(malformed_rate={})
    found = found if isinstance(found, Obtained) else run.obtain()
    assert found.is_adopted
    assert run.created == 1


def test_a_task_that_appears_late_is_waited_for(attempts: MakeAttempts) -> None:
    run = attempts(settings={"timing": Timing(late=timedelta(seconds=1.2), look_again=0.05)})
    run.sandbox.configure(list_lag_seconds=0.8)
    first = lose(run)
    assert isinstance(first, ComeBack)
    assert "late" in first.why
    found = run.obtain()
    assert found.is_adopted
    assert run.created == 1


def test_a_list_that_was_read_too_early_proves_nothing_however_long_the_comparing_took(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attempts(prompt="x [sandbox drop-before]")
    sibling(run, "y")
    all_over(run)
    get_task, slow = WanClient.get_task, [timedelta(0)]

    def take_minutes(*given: Any) -> Any:
        slow[0] += timedelta(minutes=2)
        return get_task(*given)

    monkeypatch.setattr(WanClient, "get_task", take_minutes)
    monkeypatch.setattr("airflow_provider_wan.client.recovery.search.utc_now", lambda: utc_now() + slow[0])
    found = run.attempt(timing=Timing()).obtain()
    assert isinstance(found, ComeBack)
    assert slow[0] > Timing().late, "the sibling was compared"
    assert found.seconds <= 1.0, "it may be read again at once"
    assert run.posts() == 2, "the sibling's and the lost one"


def test_a_failed_task_is_not_adopted_but_made_anew(attempts: MakeAttempts) -> None:
    run = attempts(prompt="x [sandbox fail=InternalError]")
    lose(run)
    all_over(run)
    assert not run.obtain().is_adopted
    assert run.created == 2
    assert run.sandbox.ledger()["billed"] == []


def test_candidates_that_run_are_waited_for(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox seconds=0.4]")
    sibling(run, "a sibling [sandbox seconds=0.6]")
    first = lose(run)
    assert isinstance(first, ComeBack)
    assert "2 task(s) of wan2.7-t2v" in first.why
    found = run.obtain()
    assert found.is_adopted
    assert found.task is not None
    assert found.task.prompt == run.request.prompt
    assert run.created == 2


def test_a_candidate_that_never_ends_leaves_it_to_the_policy(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine")
    sibling(run, "a sibling [sandbox run-forever]")
    lose(run)
    with pytest.raises(WanSubmissionUnknown, match="still running"):
        run.obtain(give_up=timedelta(seconds=0.3))
    assert run.created == 2


def test_a_sibling_with_the_same_prompt_leaves_it_to_the_policy(attempts: MakeAttempts) -> None:
    run = attempts()
    other = sibling(run)
    lose(run)
    all_over(run)
    with pytest.raises(WanSubmissionUnknown, match="does not decide it") as caught:
        run.obtain()
    assert other in str(caught.value)
    assert not caught.value.retryable
    assert run.created == 2
    assert not run.obtain(policies=RESUBMIT).is_adopted
    assert run.created == 3


def test_a_sibling_whose_task_is_known_is_left_out(attempts: MakeAttempts) -> None:
    run = attempts()
    other = sibling(run)
    lose(run)
    all_over(run)
    found = run.obtain(others=[other])
    assert found.is_adopted
    assert found.handle.task_id != other
    assert run.created == 2


def test_an_earlier_task_of_the_same_task_instance_is_left_out(attempts: MakeAttempts) -> None:
    run = attempts()
    first = run.obtain()
    run.over(first.handle)
    lose(run, policies=Policies(regenerate=True), series="1")
    found = run.obtain(policies=Policies(regenerate=True), series="1")
    assert found.is_adopted
    assert found.handle.task_id != first.handle.task_id
    assert run.created == 2


def test_an_earlier_task_is_not_the_lost_one_if_none_was_made(attempts: MakeAttempts) -> None:
    run = attempts()
    first = run.obtain()
    run.over(first.handle)
    run.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    found = run.obtain(policies=Policies(regenerate=True), series="1")
    assert not found.is_adopted
    assert run.created == 2


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "another boat"}, {"duration": 8}, {"resolution": "720P"}, {"ratio": "9:16"}],
    ids=lambda fields: next(iter(fields)),
)
@pytest.mark.parametrize("is_made", [True, False], ids=["made", "not-made"])
def test_a_sibling_that_differs_is_told_apart(attempts: MakeAttempts, fields: dict[str, Any], is_made: bool) -> None:
    run = attempts(request=TextToVideoRequest(prompt="a paper boat", ratio="16:9"))
    sibling(run, **fields)
    if is_made:
        lose(run)
    else:
        run.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    found = run.obtain()
    assert found.is_adopted == is_made
    assert run.created == 2


def test_prompts_that_differ_only_at_their_end_are_told_apart(attempts: MakeAttempts) -> None:
    style = "the same long description of a style, " * 60
    run = attempts(prompt=f"{style} a boat")
    sibling(run, f"{style} a fish")
    lose(run)
    found = run.obtain()
    assert found.task is not None
    assert found.task.prompt is not None
    assert found.task.prompt.endswith("a boat")


PICTURE = ImageToVideoRequest(prompt="it moves", first_frame="https://example.com/a.png")
HIDDEN = [
    (PICTURE, {"first_frame": "https://example.com/b.png"}),
    (TextToVideoRequest(prompt="a paper boat", seed=1), {"seed": 2}),
    (TextToVideoRequest(prompt="a paper boat", negative_prompt="rain"), {"negative_prompt": "sun"}),
    (TextToVideoRequest(prompt="a paper boat", extra_body={"parameters": {"style": 1}}), {"extra_body": {}}),
]


@pytest.mark.parametrize(("request_", "other"), HIDDEN, ids=["picture", "seed", "negative-prompt", "extra-body"])
def test_where_a_sibling_differs_in_what_the_vendor_does_not_tell_the_policy_decides(
    attempts: MakeAttempts, request_: Any, other: dict[str, Any]
) -> None:
    run = attempts(request=request_)
    theirs = sibling(run, **other)
    run.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    with pytest.raises(WanSubmissionUnknown, match="may be another one's") as caught:
        run.obtain()
    assert theirs in str(caught.value)
    assert run.created == 1
    assert not run.obtain(policies=RESUBMIT).is_adopted


def test_many_pages_are_read_to_the_task(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine")
    lose(run)
    all_over(run)
    run.sandbox.configure(page_size_max=2)
    for number in range(5):
        sibling(run, f"sibling {number}")
    all_over(run)
    found = run.obtain()
    assert found.is_adopted
    assert run.created == 6
    assert run.sandbox.ledger()["requests"]["dashscope"]["list"]["200"] >= 3


def test_reading_ends_at_tasks_that_are_too_old(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine", settings={"timing": Timing(timedelta(0), 0.02, timedelta(seconds=0.2))})
    run.sandbox.configure(page_size_max=2)
    for number in range(6):
        sibling(run, f"sibling {number}")
    all_over(run)
    time.sleep(4.2)  # The margin, and the two seconds of doubt about the vendor's clock.
    lose(run)
    all_over(run)
    before = run.sandbox.ledger()["requests"]["dashscope"]["list"]["200"]
    assert run.obtain().is_adopted
    assert run.sandbox.ledger()["requests"]["dashscope"]["list"]["200"] - before <= 2


def test_a_list_that_is_too_long_is_no_proof(attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_wan.client.recovery.search.MOST_PAGES", 2)
    run = attempts(prompt="mine [sandbox drop-before]")
    run.sandbox.configure(page_size_max=1)
    for number in range(4):
        sibling(run, f"sibling {number}")
    all_over(run)
    with pytest.raises(WanSubmissionUnknown, match="too long"):
        run.obtain()
    assert run.created == 4


@pytest.mark.parametrize(
    "trouble",
    [
        {"error_rates": {"list": {500: 1}}},
        {"error_rates": {"list": {429: 1}}},
        {"malformed_rate": {"list": 1}},
        {"error_rates": {"query": {503: 1}}},
    ],
    ids=["500", "429", "malformed", "candidate-unreadable"],
)
def test_a_list_in_trouble_is_never_an_empty_list(attempts: MakeAttempts, trouble: dict[str, Any]) -> None:
    run = attempts()
    # Before the answer is lost: on a busy machine the task may have ended when its first search begins.
    run.sandbox.configure(**trouble)
    lose(run)
    all_over(run)
    for _ in range(3):
        found = run.attempt().obtain()
        assert isinstance(found, ComeBack)
        assert "cannot be read now" in found.why
    assert run.created == run.posts() == 1
    run.sandbox.configure(error_rates={}, malformed_rate={})
    assert run.obtain().is_adopted
    assert run.created == 1


def test_trouble_without_end_is_left_to_the_policy(attempts: MakeAttempts) -> None:
    run = attempts()
    lose(run)
    run.sandbox.configure(error_rates={"list": {500: 1}})
    with pytest.raises(WanSubmissionUnknown, match="cannot be read now"):
        run.obtain(give_up=timedelta(seconds=0.2))
    assert run.created == 1


@pytest.mark.parametrize(("hours", "is_too_old"), [(23, False), (24, True), (200, True)])
def test_what_the_list_has_forgotten_is_left_to_the_policy(
    attempts: MakeAttempts, hours: int, is_too_old: bool
) -> None:
    run = attempts()
    # On a slow machine the same attempt finds the task, and records it.
    lose(run)
    all_over(run)
    then = (utc_now() - timedelta(hours=hours)).isoformat()
    run.change_record(intent_at=then, closes_at=then, lost_at=None, handle=None)
    if is_too_old:
        with pytest.raises(WanSubmissionUnknown, match="too long ago"):
            run.obtain()
        assert run.created == 1
    else:
        assert not run.obtain().is_adopted


# -- what the wire may hide ------------------------------------------------------------------------------


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Any], Any]], None]:
    """Rewrites the JSON of the answers to one call, as a vendor that words things differently."""
    changes: list[tuple[str, Callable[[Any], Any]]] = []
    send = WanClient.send

    def altering(self: WanClient, call: Call) -> Answer | Broken:
        import json

        answer = send(self, call)
        for name, change in changes:
            if call.name == name and isinstance(answer, Answer):
                content = json.loads(answer.body)
                change(content)
                answer = Answer(answer.status, json.dumps(content).encode(), answer.headers)
        return answer

    monkeypatch.setattr(WanClient, "send", altering)
    return lambda name, change: changes.append((name, change))


def test_a_model_listed_under_its_snapshot_name_is_found(attempts: MakeAttempts, altered: Any) -> None:
    run = attempts()
    lose(run)
    altered("list_tasks", lambda content: [row.update(model_name="wan2.7-t2v-2026-04-25") for row in content["data"]])
    assert run.obtain().is_adopted
    assert run.created == 1


def test_tasks_of_other_models_are_not_waited_for(attempts: MakeAttempts) -> None:
    run = attempts()
    other = Attempts(run.sandbox, "dashscope", TextToVideoRequest(prompt="z [sandbox run-forever]", model="wan2.6-t2v"))
    other.obtain()
    lose(run)
    assert run.obtain().is_adopted


def test_rows_without_a_time_may_be_the_one(attempts: MakeAttempts, altered: Any) -> None:
    run = attempts()
    lose(run)
    altered("list_tasks", lambda content: [row.pop("gmt_create") for row in content["data"]])
    assert run.obtain().is_adopted
    assert run.created == 1


def test_a_task_that_tells_no_prompt_is_no_proof(attempts: MakeAttempts, altered: Any) -> None:
    run = attempts()
    lose(run)
    all_over(run)
    altered("get_task", lambda content: content["output"].pop("orig_prompt"))
    with pytest.raises(WanSubmissionUnknown, match="does not decide it"):
        run.obtain()
    assert run.created == 1


@pytest.mark.parametrize(
    "alter",
    [
        lambda prompt: prompt[:900],
        lambda prompt: f"  {prompt}\n".replace(" ", "\u00a0"),
        lambda prompt: prompt[:850] + "\ud83d",
    ],
    ids=["cut-off", "other-spaces", "cut-in-a-sign"],
)
def test_a_prompt_that_comes_back_altered_is_recognised(
    attempts: MakeAttempts, altered: Any, alter: Callable[[str], str]
) -> None:
    run = attempts(prompt="a long wish, full of words; " * 40)
    lose(run)
    altered("get_task", lambda content: content["output"].update(orig_prompt=alter(content["output"]["orig_prompt"])))
    all_over(run)
    assert run.obtain().is_adopted
    assert run.created == 1


def test_a_prompt_given_in_extra_body_is_the_one_to_look_for(attempts: MakeAttempts) -> None:
    extra = {"input": {"prompt": "what is really sent"}, "parameters": {"resolution": "720P"}}
    run = attempts(request=TextToVideoRequest(prompt="what the field says", extra_body=extra))
    lose(run)
    assert run.obtain().is_adopted
    assert run.created == 1


# -- clocks ----------------------------------------------------------------------------------------------


class SkewedClock(Clock):
    """The vendor's clock, so many seconds off ours."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._offset += seconds
        self.seconds = seconds


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Attempts]]:
    """Sandboxes whose clock is off, and whose ``Date`` header says so (or is missing)."""
    started: list[Sandbox] = []
    monkeypatch.setattr(
        "airflow_provider_wan.sandbox.server.uvicorn.Config", functools.partial(uvicorn.Config, date_header=False)
    )

    def make(seconds: float, is_date_told: bool) -> Attempts:
        clock = SkewedClock(seconds)
        sandbox = Sandbox(clock=clock, generation_seconds=0.1, render="small", api_keys=[KEY])
        asgi = sandbox.app.asgi

        def dated() -> Any:
            app = asgi()

            async def serve(scope: Any, receive: Any, send: Any) -> None:
                async def send_dated(message: Any) -> None:
                    if message["type"] == "http.response.start" and is_date_told:
                        now = format_datetime(datetime.fromtimestamp(clock.now(), UTC), usegmt=True)
                        message["headers"] = [*message["headers"], (b"date", now.encode())]
                    await send(message)

                # The sandbox cuts lines through the object behind ``send``.
                send_dated.__self__ = getattr(send, "__self__", None)  # type: ignore[attr-defined]
                await app(scope, receive, send_dated)

            return serve

        sandbox.app.asgi = dated  # type: ignore[method-assign]
        started.append(sandbox.start())
        return Attempts(sandbox)

    yield make
    for sandbox in started:
        sandbox.stop()


@pytest.mark.parametrize("minutes", [-7 * 60, -9, 9, 7 * 60])
def test_a_vendor_clock_that_is_off_is_read_from_its_answers(skewed: Callable[..., Attempts], minutes: int) -> None:
    run = skewed(minutes * 60, is_date_told=True)
    sibling(run, "a sibling of that time")
    lose(run)
    found = run.obtain()
    assert found.is_adopted
    assert found.task is not None
    assert found.task.prompt == run.request.prompt
    assert run.created == 2


@pytest.mark.parametrize("minutes", [-8, 8])
def test_a_clock_that_is_not_told_gets_a_wide_margin(skewed: Callable[..., Attempts], minutes: int) -> None:
    run = skewed(minutes * 60, is_date_told=False)
    lose(run)
    assert run.obtain().is_adopted
    assert run.created == 1


@pytest.mark.parametrize("seconds", [-100, 100])
def test_the_worker_that_wrote_the_intent_may_have_had_another_clock(attempts: MakeAttempts, seconds: int) -> None:
    run = attempts()
    lose(run)
    all_over(run)
    assert run.record is not None
    shift = timedelta(seconds=seconds)
    moments = {name: datetime.fromisoformat(run.record[name]) + shift for name in ("intent_at", "lost_at", "closes_at")}
    run.change_record(**{name: moment.isoformat() for name, moment in moments.items()})
    assert run.obtain().is_adopted
    assert run.created == 1


assert QUICK.clock_margin == Timing().clock_margin, "these tests use the margins that are used"


# -- the search is carried out elsewhere -----------------------------------------------------------------


def deferred(run: Attempts, **settings: Any) -> ComeBack:
    """One attempt that leaves the search to a trigger."""
    found = run.attempt(can_search_elsewhere=True, **settings).obtain()
    assert isinstance(found, ComeBack)
    assert found.sought is not None
    return found


def clue_of(run: Attempts, found: ComeBack) -> Clue:
    """What the trigger's search comes to, as it comes back."""
    sought = found.sought
    assert sought is not None
    account = run.client().account

    async def look() -> Clue:
        async with shared_poller(account) as poller:
            return await poller.find(Sought.of(sought.to_dict()), utc_now() + timedelta(seconds=20))

    return Clue.of(json.loads(json.dumps(asyncio.run(look()).to_dict())))


def test_a_search_elsewhere_costs_the_worker_no_request(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox drop-answer]")
    found = deferred(run)
    calls = run.sandbox.ledger()["requests"]["dashscope"]
    assert {name: sum(codes.values()) for name, codes in calls.items()} == {"submit": 1, "list": 1}, "the list's clock"
    assert "nothing is submitted" in found.why
    again = deferred(run)
    assert again.sought == found.sought


def test_the_clue_of_a_search_is_adopted(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox drop-answer]")
    sibling(run, "a sibling")
    clue = clue_of(run, deferred(run))
    found = run.obtain(clue=clue)
    assert found.is_adopted
    assert found.task is not None
    assert found.task.prompt == run.request.prompt
    assert run.created == 2


def test_a_clue_that_nothing_was_made_lets_it_be_submitted(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox drop-before]")
    sibling(run, "a sibling")
    clue = clue_of(run, deferred(run))
    assert clue.rows == ()
    assert not run.obtain(clue=clue).is_adopted
    assert (run.created, run.posts()) == (2, 3)


def test_the_prompts_decide_what_digests_leave_open(attempts: MakeAttempts) -> None:
    style = "the same long description of a style, " * 60
    run = attempts(prompt=f"{style} a boat [sandbox drop-before]")
    other = sibling(run, f"{style} a fish")
    clue = clue_of(run, deferred(run))
    assert [row.task_id for row in clue.rows] == [other]
    assert not run.obtain(clue=clue).is_adopted


def test_two_that_match_leave_it_to_the_policy_here_too(attempts: MakeAttempts) -> None:
    run = attempts()
    sibling(run)
    run.sandbox.configure(drop_next_answers=1)
    clue = clue_of(run, deferred(run))
    with pytest.raises(WanSubmissionUnknown, match="does not decide it"):
        run.obtain(clue=clue)
    assert run.created == 2


@pytest.mark.parametrize(
    "change",
    [
        {"intent_at": utc_now() - timedelta(hours=1)},
        {"read_at": utc_now() - timedelta(hours=1)},
    ],
    ids=["of-another-submission", "read-too-early"],
)
def test_a_clue_that_proves_nothing_is_not_believed(attempts: MakeAttempts, change: dict[str, Any]) -> None:
    run = attempts(prompt="mine [sandbox drop-answer]")
    found = deferred(run)
    assert found.sought is not None
    none = Clue(found.sought.intent_at, utc_now())
    again = run.attempt(can_search_elsewhere=True, clue=replace(none, **change)).obtain()
    assert isinstance(again, ComeBack)
    assert run.created == run.posts() == 1


def test_a_search_that_ran_out_of_time_leaves_it_to_the_policy(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox drop-answer]")
    found = deferred(run)
    assert found.sought is not None
    clue = Clue(found.sought.intent_at, utc_now(), why="2 task(s) are still running")
    with pytest.raises(WanSubmissionUnknown, match="still running"):
        run.obtain(clue=clue)
    assert run.created == run.posts() == 1
    assert not run.obtain(clue=clue, policies=RESUBMIT).is_adopted


def test_a_clue_is_good_for_one_attempt(attempts: MakeAttempts) -> None:
    """The submission that follows it may be lost as well."""
    run = attempts(prompt="mine [sandbox drop-before]")
    clue = clue_of(run, deferred(run))
    run.sandbox.configure(drop_before_rate=1)
    attempt = run.attempt(can_search_elsewhere=True, clue=clue)
    found = attempt.obtain()
    assert isinstance(found, ComeBack)
    assert found.sought is not None
    assert found.sought.intent_at > clue.intent_at
    assert attempt.clue is None


def test_several_searches_of_a_worker_share_a_reading(attempts: MakeAttempts) -> None:
    """As those of a batch do."""
    runs = [attempts(prompt=f"mine {number} [sandbox drop-answer]") for number in range(4)]
    for run in runs:
        deferred(run)
    all_over(runs[0])
    before = runs[0].sandbox.ledger()["requests"]["dashscope"]["list"]["200"]
    known, timing = Knowledge(), Timing(look_again=20.0)
    found = [run.obtain(known=known, timing=timing) for run in runs]
    assert [one.task and one.task.prompt for one in found] == [run.request.prompt for run in runs]
    assert runs[0].sandbox.ledger()["requests"]["dashscope"]["list"]["200"] == before + 1


def test_a_reading_from_before_the_loss_is_not_shared(attempts: MakeAttempts) -> None:
    first, second = (attempts(prompt=f"mine {number} [sandbox drop-answer]") for number in range(2))
    known, timing = Knowledge(), Timing(late=timedelta(0), look_again=20.0)
    deferred(first)
    all_over(first)
    first.obtain(known=known, timing=timing)
    deferred(second)
    all_over(second)
    assert second.obtain(known=known, timing=timing).is_adopted
    assert second.created == 2


def test_a_worker_that_looks_itself_reads_no_task_twice(attempts: MakeAttempts) -> None:
    run = attempts(prompt="mine [sandbox drop-before]", settings={"timing": Timing(timedelta(seconds=0.5), 0.02)})
    for number in range(5):
        sibling(run, f"sibling {number}")
    all_over(run)
    assert not run.obtain(known=Knowledge()).is_adopted
    assert run.sandbox.ledger()["requests"]["dashscope"]["query"] == {"200": 5}
    assert run.sandbox.ledger()["requests"]["dashscope"]["list"]["200"] > 1
