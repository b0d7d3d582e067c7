"""One request over three accounts, under any order of trouble, crashes and changes of the list: paid once at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanSubmissionUnknown
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.routing import AccountState, Candidate
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import (
    Attempt,
    HeldCall,
    Knowledge,
    Ledger,
    Obtained,
    PaidCall,
    RoutedAttempt,
    Timing,
)
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sandbox.settings import fingerprint

from .store import FakeStore

KEYS = {name: f"sk-routing-{name}-77d0" for name in "abc"}
LETTERS = {fingerprint(key): name for name, key in KEYS.items()}
QUICK = Timing(late=timedelta(minutes=-1), look_again=0.01)
REQUEST = TextToVideoRequest(prompt="a paper boat")


class Crashed(BaseException):
    """The worker is killed here."""


@dataclass(frozen=True)
class Step:
    """One attempt: what is wrong meanwhile, what is listed, and where the worker is killed."""

    trouble: dict[str, str]
    listed: tuple[str, ...]
    crash: str = ""


TROUBLES = st.sampled_from(["", "", "unpaid", "refused", "throttled", "lossy", "down"])
STEPS = st.builds(
    Step,
    st.fixed_dictionaries(dict.fromkeys(KEYS, TROUBLES)),
    st.lists(st.sampled_from(list(KEYS)), min_size=1, unique=True).map(tuple),
    st.sampled_from(["", "", "before the call", "after the call"]),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.0, render="small", api_keys=list(KEYS.values())) as found:
        yield found


@dataclass
class Routed:
    """The attempts of one task instance over several accounts."""

    sandbox: Sandbox
    vendor: str
    store: FakeStore = field(default_factory=FakeStore)
    noted: list[tuple[str, WanError | None]] = field(default_factory=list)
    crash: str = ""

    def attempt_on(self, name: str, kind: type[PaidCall]) -> Attempt:
        account = Account(
            vendor=self.vendor,
            base_url=self.sandbox.url,
            api_key=SecretStr(KEYS[name]),
            timeout=5.0,
            queries_per_second=1000.0,
        )
        call = kind(
            client=WanClient(account),
            ledger=self.ledger,
            request=REQUEST,
            account_name=name,
            series="0",
            patience=Patience(tries=1, throttled=0.0),
            is_choice=True,
        )
        self._let_crash(call)
        return Attempt(call, timing=QUICK, give_up=timedelta(hours=6), known=Knowledge())

    def _let_crash(self, call: PaidCall) -> None:
        submit, crash = call.client.submit, self.crash
        if not crash or isinstance(call, HeldCall):
            return

        def killed(*args: Any, **kwargs: Any) -> Any:
            if crash == "after the call":
                submit(*args, **kwargs)
            raise Crashed

        call.client.submit = killed  # type: ignore[method-assign]

    def obtain(self, step: Step) -> Obtained | None:
        """One attempt, to its end or its pause; its pauses are the next attempt's."""
        self.sandbox.configure(account_trouble={KEYS[name]: kind for name, kind in step.trouble.items() if kind})
        self.ledger, self.crash = Ledger(self.store), step.crash
        self._be_later()
        routed = RoutedAttempt(
            ledger=self.ledger,
            accounts=step.listed,
            candidates=lambda: [Candidate(name, AccountState()) for name in step.listed],
            attempt_on=self.attempt_on,
            note=lambda name, error: self.noted.append((name, error)),
        )
        try:
            found = routed.obtain()
        except (Crashed, WanError):
            return None
        return found if isinstance(found, Obtained) else None

    def _be_later(self) -> None:
        """Let the time be over in which the killed worker's call may still be under way."""
        record = self.ledger.read()
        if record is not None and record.closes_at is not None:
            self.ledger.write(record.model_copy(update={"closes_at": record.intent_at}))

    @property
    def made(self) -> list[str]:
        return [LETTERS[task["key_fingerprint"]] for task in self.sandbox.ledger()["created"]]


CALM = Step({}, tuple(KEYS))


@pytest.mark.parametrize("vendor", ["dashscope", "gccai", "freepik"])
@given(steps=st.lists(STEPS, max_size=5))
def test_whatever_happens_it_is_paid_once_at_most(sandbox: Sandbox, vendor: str, steps: list[Step]) -> None:
    sandbox.reset()
    run = Routed(sandbox, vendor)
    for step in steps:
        found = run.obtain(step)
        assert len(run.made) <= 1, "paid twice"
        if found is not None:
            assert [found.handle.wan_conn_id] == run.made
    found = None
    for _ in range(40):
        found = found or run.obtain(CALM)
    assert len(run.made) <= 1, "paid twice"
    if found is not None:
        assert [found.handle.wan_conn_id] == run.made


@pytest.mark.parametrize("vendor", ["dashscope", "gccai"])
@given(steps=st.lists(STEPS, max_size=3))
def test_where_a_lost_answer_can_be_looked_up_it_is_delivered_in_the_end(
    sandbox: Sandbox, vendor: str, steps: list[Step]
) -> None:
    sandbox.reset()
    run = Routed(sandbox, vendor)
    for step in steps:
        run.obtain(step)
    found = None
    for _ in range(40):
        found = found or run.obtain(CALM)
    assert found is not None
    assert len(run.made) == 1


def test_a_lost_answer_keeps_all_other_accounts_from_being_asked(sandbox: Sandbox) -> None:
    sandbox.reset()
    run = Routed(sandbox, "freepik")
    assert run.obtain(Step({"a": "lossy"}, ("a", "b", "c"))) is None
    for listed in (("b", "c"), ("c", "a"), ("b",)):
        assert run.obtain(Step({}, listed)) is None
    assert run.made == ["a"]
    record = Ledger(run.store).read()
    assert record is not None
    assert (record.wan_conn_id, record.handle) == ("a", None)


def test_the_unknown_outcome_is_said_as_such(sandbox: Sandbox) -> None:
    sandbox.reset()
    run = Routed(sandbox, "freepik")
    run.obtain(Step({"a": "lossy"}, ("a", "b")))
    run.ledger, run.crash = Ledger(run.store), ""
    routed = RoutedAttempt(run.ledger, ("b",), lambda: [Candidate("b")], run.attempt_on)
    with pytest.raises(WanSubmissionUnknown):
        routed.obtain()


@given(
    order=st.permutations(list(KEYS)),
    troubles=st.fixed_dictionaries(
        {name: st.sampled_from(["", "unpaid", "refused", "throttled", "down"]) for name in KEYS}
    ),
)
def test_the_first_in_order_that_is_in_order_makes_it(
    sandbox: Sandbox, order: list[str], troubles: dict[str, str]
) -> None:
    sandbox.reset()
    run = Routed(sandbox, "gccai")
    found = run.obtain(Step({name: kind for name, kind in troubles.items() if kind != "down"}, tuple(order)))
    fine = [name for name in order if troubles[name] in ("", "down")]
    assert (found.handle.wan_conn_id if found else None) == (fine[0] if fine else None)
    assert [name for name, error in run.noted if error is None] == fine[:1]
