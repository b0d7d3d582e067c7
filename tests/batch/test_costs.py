"""A batch's costs: all unpaid items held to ``max_cost`` before the first is sent; sums in summary and manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import Part, check_max_cost, parse_max_cost
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.hooks.costs import AccountCosts
from airflow_provider_wan.sandbox import Sandbox

from .conftest import MakeRounds, connect
from .rounds import row

TWENTY_CENTS = {"amount": 0.2, "currency": "USD", "basis": "usage"}


def shots(count: int, **more: Any) -> list[dict[str, Any]]:
    return [row(f"shot {number}", **more) for number in range(count)]


def test_the_sum_is_in_the_log_before_and_in_the_summary_after(
    rounds: MakeRounds, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = rounds(shots(3), max_cost="0.60 USD")
    summary = batch.run()
    out = capsys.readouterr().out
    assert "Estimated cost of 3 videos to be paid: 0.60 USD" in out
    assert "3 videos: 3 succeeded; 0.60 USD so far" in out
    assert summary["cost"] == {"amount": 0.6, "currency": "USD", "basis": "usage"}
    assert summary["costs"] == [{"amount": 0.6, "currency": "USD", "basis": "usage", "videos": 3}]
    assert summary["without_cost"] == 0
    assert [line["cost"] for line in batch.manifest] == [TWENTY_CENTS] * 3


def test_a_batch_above_the_limit_sends_nothing(rounds: MakeRounds) -> None:
    batch = rounds([*shots(2), row("a long one", duration=15, id="long")], max_cost=1)
    error = str(batch.fails())
    assert "The 3 videos would cost 1.90 USD; max_cost is 1.00" in error
    assert "row long: 1.50 USD (15 s of wan2.7-t2v 720P at 0.1 USD" in error
    assert batch.posts() == {}


def test_only_what_is_not_paid_yet_counts(rounds: MakeRounds) -> None:
    batch = rounds(shots(3), max_cost=0.6)
    batch.run()
    batch.cleared(shots(5), max_cost=0.4).run()
    assert len(batch.created) == 5
    refused = str(batch.cleared(shots(8), max_cost=0.4).fails())
    assert "The 3 videos would cost 0.60 USD" in refused
    assert len(batch.created) == 5


def test_regenerate_that_costs_too_much_leaves_nothing_behind(rounds: MakeRounds, tmp_path: Path) -> None:
    batch = rounds(shots(3), store_to=f"file://{tmp_path}/clips")
    batch.run()
    assert "The 3 videos would cost 0.60 USD" in str(batch.cleared(regenerate=True, max_cost=0.4).fails())
    assert batch.cleared(regenerate=False).run()["succeeded"] == 3
    assert len(batch.created) == 3


def test_rows_that_cost_too_much_cancel_none_of_those_before(rounds: MakeRounds, sandbox: Sandbox) -> None:
    batch = rounds([row("a [sandbox hold]"), row("b [sandbox hold]")])
    batch.first_round()
    assert "max_cost is 0.40" in str(batch.cleared(shots(3), max_cost=0.4).fails())
    assert sandbox.ledger()["cancels"] == []


def test_a_crash_between_two_rounds_does_not_ask_for_more(rounds: MakeRounds) -> None:
    batch = rounds(shots(6), max_in_flight=2, max_cost=1.2)
    batch.first_round()
    batch.retried().run()
    assert len(batch.created) == 6


def test_unknown_prices_are_refused_or_let_through_by_policy(rounds: MakeRounds) -> None:
    batch = rounds(shots(2), max_cost=10, wan_conn_id="wan_freepik")
    assert "2 of 2 videos cannot be held to max_cost: no price of wan-2-7 at freepik" in str(batch.fails())
    assert batch.posts("freepik") == {}
    summary = batch.cleared(on_unknown_price="allow").run()
    assert (summary["cost"], summary["costs"], summary["without_cost"]) == (None, [], 2)


def test_mixed_currencies_are_refused_and_summed_apart(
    rounds: MakeRounds, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = [{"amount": 1, "currency": "EUR", "resolution": "1080P"}]
    connect(monkeypatch, sandbox.url, "dashscope", "WAN_MIXED", prices=prices)
    batch = rounds([row("a"), row("b", resolution="1080P")], max_cost=10, wan_conn_id="wan_mixed")
    assert "prices are in EUR and USD" in str(batch.fails())
    summary = batch.cleared(max_cost=None).run()
    assert summary["cost"] is None
    assert [(cost["amount"], cost["currency"]) for cost in summary["costs"]] == [(2.0, "EUR"), (0.2, "USD")]


def test_what_failed_costs_what_the_vendor_documents(rounds: MakeRounds) -> None:
    batch = rounds([row("good"), row("bad [sandbox fail=DataInspectionFailed]")], fail_if="all", item_retries=0)
    batch.run()
    costs = {line["status"]: line["cost"] for line in batch.manifest}
    assert costs == {"succeeded": TWENTY_CENTS, "failed": {"amount": 0.0, "currency": "USD", "basis": "usage"}}


def test_a_task_that_is_given_up_may_be_billed_and_counts_as_estimated(rounds: MakeRounds) -> None:
    batch = rounds([row("slow [sandbox hold]")], timeout=0.3, cancel_on_timeout=False)
    batch.fails()
    assert batch.summary["cost"] == {"amount": 0.2, "currency": "USD", "basis": "estimate"}


def test_the_parameters_may_be_templates(rounds: MakeRounds) -> None:
    batch = rounds(shots(2), max_cost="{{ '0.3' }} USD", on_unknown_price="{{ 'fail' }}")
    assert "would cost 0.40 USD; max_cost is 0.30 USD" in str(batch.fails())


def test_ten_thousand_items_are_priced_by_few_look_ups() -> None:
    account = Account("dashscope", "", api_key="")  # type: ignore[arg-type]
    rows = [row(f"shot {number}", duration=2 + number % 3) for number in range(300)]
    items = build_items(rows, {}, vendor_of("dashscope"), ("dashscope",)).items
    costs = AccountCosts(account)
    parts = [Part(item.id, costs.estimate(item.request)) for item in items]
    check_max_cost(parts, parse_max_cost("90.00 USD"))
    # One look at the rows for each model, region, tier and sound, however many items there are.
    assert len(costs.table._found) == 1
