"""The choice of an account, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanServerError,
)
from airflow_provider_wan.client.routing import AccountState, Candidate, Trouble, choose, trouble_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def out(trouble: Trouble, until: datetime = LATER) -> AccountState:
    return AccountState(trouble, until, 60.0, "as it said")


A, B, C = (Candidate(name, at_once=5) for name in "abc")


@pytest.mark.parametrize(
    ("candidates", "route", "prefer", "chosen"),
    [
        pytest.param([A, B], "failover", None, "a", id="the first in order"),
        pytest.param([replace(A, refusal="no"), B], "failover", None, "b", id="one that cannot express it"),
        pytest.param([replace(A, state=out(Trouble.THROTTLED)), B], "failover", None, "b", id="throttled"),
        pytest.param([replace(A, state=out(Trouble.MONEY, NOW)), B], "failover", None, "a", id="its time is over"),
        pytest.param([replace(A, has_room=False), B], "failover", None, "b", id="full"),
        pytest.param([replace(A, under_way=2), B], "spread", None, "b", id="the least loaded"),
        pytest.param([replace(A, under_way=2, at_once=50), B], "spread", None, "a", id="by what it runs at once"),
        pytest.param([replace(A, seconds=60), B], "spread", None, "b", id="by how long it takes"),
        pytest.param([A, B], "spread", None, "a", id="equal ones keep their order"),
        pytest.param(
            [replace(A, cost=Decimal(2), currency="USD"), replace(B, cost=Decimal(1), currency="USD")],
            "failover", "cost", "b", id="the cheapest",
        ),
        pytest.param(
            [replace(A, cost=Decimal(2), currency="USD"), replace(B, cost=Decimal(1), currency="CNY"), C],
            "spread", "cost", "a", id="nothing is converted",
        ),
    ],
)  # fmt: skip
def test_which_one_is_chosen(candidates: list[Candidate], route: str, prefer: str | None, chosen: str) -> None:
    found = choose(candidates, route, NOW, prefer)  # type: ignore[arg-type]
    assert found.name == chosen
    assert chosen not in found.passed_over


def test_all_that_may_pass_says_when() -> None:
    found = choose([replace(A, state=out(Trouble.THROTTLED)), replace(B, state=out(Trouble.MONEY))], "failover", NOW)
    assert (found.name, found.again_at) == (None, LATER)
    assert set(found.passed_over) == {"a", "b"}


def test_the_last_one_is_asked_although_it_was_out_of_money() -> None:
    listed = [replace(A, state=out(Trouble.MONEY)), replace(B, refusal="no")]
    assert choose(listed, "failover", NOW).name == "a"
    assert choose(listed, "failover", NOW, trusts_memory=True).name is None


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (WanAuthError("x"), Trouble.KEY),
        (WanBillingError("x"), Trouble.MONEY),
        (WanQuotaError("x"), Trouble.THROTTLED),
        (WanServerError("x"), Trouble.OUTAGE),
        (WanModerationError("x"), None),
    ],
)
def test_what_an_answer_says_of_its_account(error: WanError, trouble: Trouble | None) -> None:
    assert trouble_of(error) is trouble


def test_each_time_in_a_row_it_is_left_alone_for_longer() -> None:
    state, spans = AccountState(), []
    for _ in range(5):
        state = state.after(WanQuotaError("x"), NOW)
        spans.append(state.seconds)
    assert spans == [30, 60, 120, 240, 300]
    assert state.after(WanQuotaError("x", retry_after=900), NOW).until == NOW + timedelta(seconds=900)
    assert AccountState.of(state.to_dict()) == state
