"""``max_cost``: how it is read, and what it refuses before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wan.client.costs import (
    CostEstimate,
    MaxCost,
    NoPrice,
    Part,
    WanCostError,
    check_max_cost,
    parse_max_cost,
    sum_line,
)
from airflow_provider_wan.client.errors import WanRequestError


def part(amount: float | None, currency: str = "USD", name: str = "row 1", **more: Any) -> Part:
    if amount is None:
        return Part(name, NoPrice("no price of wan-2-7 at freepik is known"))
    return Part(name, CostEstimate(amount, currency, 5, amount / 5, None, None, "wan2.7-t2v", "720P", **more))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (10, MaxCost(Decimal(10))),
        (0, MaxCost(Decimal(0))),
        (12.5, MaxCost(Decimal("12.5"))),
        (1e3, MaxCost(Decimal(1000))),
        ("12.50", MaxCost(Decimal("12.50"))),
        ("12.50 USD", MaxCost(Decimal("12.50"), "USD")),
        (" 12.50usd ", MaxCost(Decimal("12.50"), "USD")),
        ("CNY 3", MaxCost(Decimal(3), "CNY")),
        (Decimal("7.1"), MaxCost(Decimal("7.1"))),
    ],
)
def test_max_cost_is_read(value: Any, expected: MaxCost | None) -> None:
    assert parse_max_cost(value) == expected


@pytest.mark.parametrize(
    "value",
    ["cheap", "None", "12,50 USD", "-1", -1, "-1 USD", True, "$5", "1.2.3", "NaN", float("inf"), [], "5 dollars"],
)
def test_what_is_no_amount_is_refused_by_name(value: Any) -> None:
    with pytest.raises(WanRequestError, match="max_cost: is an amount of money") as caught:
        parse_max_cost(value)
    assert '"12.50 USD"' in str(caught.value)


REFUSALS: list[tuple[list[Part], Any, str]] = [
    ([part(0.75)], 0.5, "The video would cost 0.75 USD; max_cost is 0.50. Nothing was sent or paid"),
    ([part(0.75), part(0.5)], "1.20 USD", "The 2 videos would cost 1.25 USD; max_cost is 1.20 USD"),
    ([part(None)], 5, "The video cannot be held to max_cost: no price of wan-2-7 at freepik is known"),
    ([part(1), part(None)], 5, "1 of 2 videos cannot be held to max_cost: no price of"),
    ([part(1, "CNY")], "5 USD", "prices are in CNY, and nothing is converted"),
    ([part(1, "CNY"), part(1)], "5 USD", "prices are in CNY, USD, and nothing is converted"),
    ([part(1, "CNY"), part(1)], 5, "prices are in CNY and USD, and a number without a currency is for one of them"),
]


@pytest.mark.parametrize(("parts", "limit", "message"), REFUSALS)
def test_refusals_name_the_sum_and_its_parts(parts: list[Part], limit: Any, message: str) -> None:
    with pytest.raises(WanCostError) as caught:
        check_max_cost(parts, parse_max_cost(limit))
    text = str(caught.value)
    assert message in text
    for one in parts:
        assert f"{one.name}: {one.estimate}" in text


@pytest.mark.parametrize(
    ("parts", "limit"),
    [
        ([part(0.75)], None),
        ([part(0.75)], 0.75),
        ([part(0.1), part(0.2)], "0.3 USD"),
        ([part(None)], None),
        ([], 0),
    ],
)
def test_what_fits_passes(parts: list[Part], limit: Any) -> None:
    check_max_cost(parts, parse_max_cost(limit))


def test_unknown_prices_pass_where_they_are_allowed_and_known_ones_stay_limited() -> None:
    check_max_cost([part(None), part(9, "CNY"), part(1)], parse_max_cost("1 USD"), "allow")
    with pytest.raises(WanCostError, match=r"would cost 1\.10 USD"):
        check_max_cost([part(None), part(1.1)], parse_max_cost("1 USD"), "allow")
    with pytest.raises(WanCostError, match=r"would cost 9\.00 CNY"):
        check_max_cost([part(9, "CNY"), part(1)], parse_max_cost(5), "allow")


def test_many_parts_of_one_kind_are_one_line() -> None:
    with pytest.raises(WanCostError) as caught:
        check_max_cost([part(0.5, name=f"row {n}") for n in range(1000)], parse_max_cost(100))
    assert "The 1000 videos would cost 500.00 USD" in str(caught.value)
    assert "1000 x 0.50 USD (5 s of wan2.7-t2v 720P" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_line_for_the_log() -> None:
    assert sum_line([part(0.5), part(0.25)]) == "0.75 USD"
    assert sum_line([part(0.5, is_upper_bound=True), part(2, "CNY")]) == "at most 0.50 USD and 2.00 CNY"
    assert sum_line([part(0.5), part(None)]) == (
        "0.50 USD; 1 without a known price, the first: no price of wan-2-7 at freepik is known"
    )


amounts = st.decimals(0, 1000, places=6)


@given(st.lists(amounts, min_size=1, max_size=40), amounts)
def test_a_batch_passes_exactly_when_its_sum_fits(parts: list[Decimal], limit: Decimal) -> None:
    found = [part(float(amount)) for amount in parts]
    try:
        check_max_cost(found, MaxCost(limit))
    except WanCostError:
        assert sum(parts) > limit
    else:
        assert sum(parts) <= limit
