"""A lost answer at GCCAI: the same key again brings the same task; at the others a person decides."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanQuotaError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.exchange import Broken, Call
from airflow_provider_wan.client.requests import ImageToVideoRequest
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.client.vendors.gccai import Gccai as GccaiVendor
from airflow_provider_wan.durable import ComeBack, Obtained, Policies
from airflow_provider_wan.durable.recovery import MOST_REPEATS

from .conftest import Attempts, MakeAttempts


def lose(run: Attempts, **settings: Any) -> Obtained | ComeBack:
    run.sandbox.configure(drop_next_answers=3)
    found = run.attempt(**settings).obtain()
    run.sandbox.configure(drop_next_answers=0)
    return found


def key_of(run: Attempts) -> str:
    assert run.record is not None
    return str(run.record["idempotency_key"])


def test_the_same_key_brings_the_same_task(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    assert isinstance(lose(run), ComeBack)
    key = key_of(run)
    found = run.obtain()
    assert key_of(run) == key
    assert run.created == 1
    assert run.posts() >= 2
    assert run.obtain().handle == found.handle


def test_a_task_that_was_never_made_is_made_by_the_repetition(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    run.sandbox.configure(drop_before_rate=1)
    assert isinstance(run.attempt().obtain(), ComeBack)
    run.sandbox.configure(drop_before_rate=0)
    run.obtain()
    assert run.created == 1


@pytest.mark.parametrize("trouble", [{"outage": 60}, {"error_rates": {"submit": {500: 1}}}], ids=["outage", "500"])
def test_an_outage_is_waited_out_with_the_same_key(attempts: MakeAttempts, trouble: dict[str, Any]) -> None:
    run = attempts("gccai")
    lose(run)
    key = key_of(run)
    run.sandbox.configure(**trouble)
    for _ in range(2):
        assert isinstance(run.attempt().obtain(), ComeBack)
    assert key_of(run) == key
    run.sandbox.configure(outage=0, error_rates={})
    run.obtain()
    assert run.created == 1


def test_an_outage_without_end_leaves_the_key_to_the_next_attempt(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    lose(run)
    run.sandbox.configure(outage=60)
    with pytest.raises(WanSubmissionUnknown, match="same idempotency key") as caught:
        run.obtain(give_up=timedelta(0))
    assert caught.value.retryable
    run.sandbox.configure(outage=0)
    run.obtain()
    assert run.created == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [({"status": 429}, WanQuotaError), ({"status": 401}, WanAuthError)],
    ids=["throttled", "wrong-key"],
)
def test_a_refusal_that_says_nothing_of_the_lost_sending_keeps_the_record(
    attempts: MakeAttempts, refusal: dict[str, Any], kind: type[Exception]
) -> None:
    run = attempts("gccai")
    lose(run)
    key = key_of(run)
    run.sandbox.configure(fail_next=[{"call": "submit", "times": 1, **refusal}])
    with pytest.raises(kind):
        run.obtain()
    assert key_of(run) == key
    run.obtain()
    assert run.created == 1


def test_a_refused_repeat_says_nothing_of_the_first_sending(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    lose(run)
    key = key_of(run)
    refusal = {"call": "submit", "status": 400, "code": "invalid_request", "message": "bad parameters"}
    run.sandbox.configure(fail_next=[refusal])
    with pytest.raises(WanSubmissionUnknown, match="says nothing of the first sending"):
        run.obtain()
    assert key_of(run) == key
    run.obtain()
    assert run.created == 1


def test_a_repeat_that_is_lost_after_it_was_sent_twice_is_sent_again(
    attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said here of the key in vain is not the vendor's word of it."""
    run = attempts("gccai")
    lose(run)
    send = WanClient.send
    broken = [Broken("connection refused", opened=False), Broken("server disconnected", opened=True)]

    def breaking(client: WanClient, call: Call) -> Any:
        return broken.pop(0) if call.name == "submit" and broken else send(client, call)

    monkeypatch.setattr(WanClient, "send", breaking)
    assert isinstance(run.attempt(patience=Patience(tries=1, throttled=5.0)).obtain(), ComeBack)
    assert broken == []
    run.obtain()
    assert run.created == 1


def test_a_host_that_ignores_the_key_makes_few_tasks(attempts: MakeAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    run = attempts("gccai")
    build = GccaiVendor.submit_call
    keyless = lambda self, request, account, key: build(self, request, account, uuid.uuid4().hex)  # noqa: E731
    monkeypatch.setattr(GccaiVendor, "submit_call", keyless)
    run.sandbox.configure(drop_next_answers=100)
    for _ in range(3):
        with pytest.raises(WanSubmissionUnknown, match="repeats with its idempotency key"):
            run.obtain()
    assert run.created == 1 + MOST_REPEATS


def test_nothing_is_repeated_into_an_outage(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    lose(run)
    before = run.posts()
    run.sandbox.configure(outage=60)
    for _ in range(10):
        assert isinstance(run.attempt().obtain(), ComeBack)
    run.sandbox.configure(outage=0)
    assert run.posts() == before
    run.obtain()
    assert run.created == 1


def signed(number: int) -> ImageToVideoRequest:
    """The same picture, its address signed anew."""
    url = (
        f"https://bucket.example/fox.png?X-Amz-Signature={number}&X-Amz-Expires=900&X-Amz-Date=20261124T10000{number}Z"
    )
    return ImageToVideoRequest(prompt="it moves", first_frame=url)


def test_a_media_address_that_is_signed_anew_is_repeated_as_it_was(attempts: MakeAttempts) -> None:
    run = attempts("gccai", request=signed(1))
    lose(run)
    assert run.record is not None
    assert "Signature" not in json.dumps(run.record)
    assert "fox" not in json.dumps(run.record)
    found = run.obtain(signed(2))
    assert found.handle.task_id in str(run.sandbox.ledger()["created"])
    assert run.created == 1
    assert "sealed" not in run.record
    assert run.obtain(signed(3)).is_adopted


def test_a_refusal_of_the_key_says_nothing(attempts: MakeAttempts) -> None:
    """A newer version of this provider may build another body for the same request."""
    run = attempts("gccai")
    lose(run)
    key = key_of(run)
    message = "Idempotency-Key was already used with a different body"
    run.sandbox.configure(fail_next=[{"call": "submit", "status": 422, "message": message}])
    with pytest.raises(WanSubmissionUnknown, match="says nothing of the first sending"):
        run.obtain()
    assert key_of(run) == key


def test_a_key_is_not_trusted_for_ever(attempts: MakeAttempts) -> None:
    run = attempts("gccai")
    lose(run)
    run.change_record(intent_at=(utc_now() - timedelta(hours=25)).isoformat())
    with pytest.raises(WanSubmissionUnknown, match="too long ago"):
        run.obtain()
    assert run.created == 1
    run.obtain(policies=Policies(on_unknown_submission="resubmit"))
    assert run.created == 2


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_where_there_is_neither_key_nor_list_the_policy_decides_at_once(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    with pytest.raises(WanSubmissionUnknown, match="on_unknown_submission='fail'") as caught:
        lose(run)
    assert not caught.value.retryable
    assert run.created == 1
    run.sandbox.configure(drop_next_answers=0)
    with pytest.raises(WanSubmissionUnknown):
        run.obtain()
    assert run.created == 1
    assert not run.obtain(policies=Policies(on_unknown_submission="resubmit")).is_adopted
    assert run.created == 2


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_the_policy_may_be_to_submit_again(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    run.sandbox.configure(drop_next_answers=1)
    found = run.obtain(policies=Policies(on_unknown_submission="resubmit"))
    assert not found.is_adopted
    assert run.created == 2
    assert run.obtain().is_adopted


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_regenerating_needs_no_knowledge_of_the_lost_one(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    with pytest.raises(WanSubmissionUnknown):
        lose(run)
    run.sandbox.configure(drop_next_answers=0)
    assert not run.obtain(policies=Policies(regenerate=True), series="1").is_adopted
    assert run.created == 2


# -- asking first ----------------------------------------------------------------------------------------

TROUBLES: list[dict[str, Any]] = [
    {"outage": 60},
    {"error_rates": {"models": {500: 1}, "list": {500: 1}, "submit": {500: 1}}},
]


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
@pytest.mark.parametrize("trouble", TROUBLES, ids=["outage", "500"])
def test_nothing_that_costs_is_sent_into_trouble_where_a_lost_answer_cannot_be_looked_up(
    attempts: MakeAttempts, vendor: str, trouble: dict[str, Any]
) -> None:
    run = attempts(vendor)
    run.sandbox.configure(**trouble)
    with pytest.raises(WanTransportError, match="is in trouble, so nothing was submitted") as caught:
        run.obtain()
    assert caught.value.retryable
    assert run.posts() == 0
    assert run.record is None
    run.sandbox.configure(outage=0, error_rates={})
    run.obtain()
    assert run.created == run.posts() == 1


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "openai"])
def test_trouble_before_a_submission_leaves_the_record_of_the_former_one(attempts: MakeAttempts, vendor: str) -> None:
    run = attempts(vendor)
    first = run.obtain()
    before = run.record
    run.sandbox.configure(outage=60)
    with pytest.raises(WanTransportError):
        run.obtain(policies=Policies(regenerate=True), series="1")
    assert run.record == before
    run.sandbox.configure(outage=0)
    assert run.obtain().handle == first.handle


@pytest.mark.parametrize("status", [404, 429])
def test_a_vendor_that_answers_is_not_in_trouble(attempts: MakeAttempts, status: int) -> None:
    run = attempts("powertokens")
    run.sandbox.configure(fail_next=[{"call": "models", "status": status, "times": 5}])
    run.obtain()
    assert run.created == 1


@pytest.mark.parametrize(("vendor", "calls"), [("dashscope", {"submit", "list"}), ("gccai", {"submit"})])
def test_where_a_lost_answer_can_be_looked_up_no_more_than_the_clock_is_asked_first(
    attempts: MakeAttempts, vendor: str, calls: set[str]
) -> None:
    run = attempts(vendor)
    run.obtain()
    assert set(run.sandbox.ledger()["requests"][vendor]) == calls
    assert run.posts() == 1
