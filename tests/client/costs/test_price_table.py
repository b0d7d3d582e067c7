"""The price table: what ships has date and source, mistakes are named by row and column, the closest row holds."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_wan.client.costs import PriceTable, Unit, read_prices, shipped_prices
from airflow_provider_wan.client.costs.prices import PriceKey
from airflow_provider_wan.client.errors import WanRequestError

ROW = {"vendor": "dashscope", "model": "wan2.7-t2v", "amount": 0.08, "currency": "USD"}
NAMES = {"vendors": ("dashscope", "gccai"), "regions": ("cn-beijing", "ap-southeast-1")}


def key(**other: Any) -> PriceKey:
    known = {"vendor": "dashscope", "model": "wan2.7-t2v", "region": "ap-southeast-1", "resolution": "1080P"}
    return PriceKey(**(known | other))


@pytest.mark.parametrize("row", shipped_prices(), ids=lambda row: f"{row.model}-{row.region}-{row.resolution}")
def test_each_shipped_row_has_a_date_and_a_source(row: Any) -> None:
    assert row.date
    assert row.source.startswith("https://")
    assert row.amount > 0


def test_the_shipped_rows_are_read_back_as_they_are_written() -> None:
    rows = shipped_prices()
    assert read_prices(json.dumps([row.to_dict() for row in rows])) == rows


@pytest.mark.parametrize(
    ("wanted", "amount", "currency"),
    [
        (key(), "0.15", "USD"),
        (key(resolution="720P"), "0.10", "USD"),
        (key(region="cn-beijing"), "1.00", "CNY"),
        (key(model="wan2.7-t2v-2026-06-12"), "0.15", "USD"),
        (key(model="wan2.7-videoedit", resolution="720P"), "0.10", "USD"),
        (key(model="wan3.0-video", resolution="480P"), "0.05", "USD"),
        (key(model="wan3.0-video-prime", region="cn-beijing"), "1.80", "CNY"),
        (key(model="wan2.6-i2v-flash", sound=True), "0.550443", "CNY"),
        (key(model="wan2.6-i2v-flash", sound=False), "0.275221", "CNY"),
        (key(model="wan2.6-t2v", region="eu-central-1"), "1.00", "CNY"),
        (key(vendor="powertokens", model="wan3.0-video", region=None), "0.20", "USD"),
    ],
)
def test_the_shipped_price(wanted: PriceKey, amount: str, currency: str) -> None:
    found = PriceTable().find(wanted)
    assert found is not None
    assert (found.amount, found.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (key(vendor="freepik", model="wan-2-7", region=None), "no price of wan-2-7 at freepik is known"),
        (key(model="wan3.0-video", region="eu-central-1"), "known in region eu-central-1 (known: cn-beijing, ap-south"),
        (key(resolution="480P"), "known for 480P (known: 720P, 1080P)"),
        (key(model="wan2.5-t2v-preview-ft-abc"), "no price of wan2.5-t2v-preview-ft-abc at dashscope is known"),
    ],
)
def test_what_is_missing_is_said(wanted: PriceKey, reason: str) -> None:
    assert PriceTable().find(wanted) is None
    assert reason in PriceTable().why_none(wanted)


def test_own_rows_come_before_shipped_ones_however_general_they_are() -> None:
    table = PriceTable(read_prices([{"amount": "0.01", "currency": "EUR"}]))
    found = table.find(key())
    assert found is not None
    assert (found.amount, found.currency, found.unit) == (Decimal("0.01"), "EUR", Unit.BILLED_SECOND)


@pytest.mark.parametrize(
    ("wanted", "amount"),
    [
        (key(), 6),
        (key(resolution="720P"), 5),
        (key(model="wan2.7-t2v-special"), 3),
        (key(model="wan2.7-i2v"), 2),
        (key(model="other"), 1),
        (key(region="cn-beijing"), 5),
    ],
)
def test_the_closest_row_holds(wanted: PriceKey, amount: int) -> None:
    rows: list[dict[str, Any]] = [
        {"amount": 1},
        {"amount": 2, "model": "wan2.7-*"},
        {"amount": 3, "model": "wan2.7-t2v*"},
        {"amount": 4, "model": "wan2.7-*", "resolution": "4K"},
        {"amount": 5, "model": "wan2.7-t2v"},
        {"amount": 6, "model": "wan2.7-t2v", "resolution": "1080p", "region": "ap-southeast-1"},
    ]
    found = PriceTable(read_prices([dict(row, currency="usd") for row in rows])).find(wanted)
    assert found is not None
    assert found.amount == amount


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW | {"amount": -0.1}], "prices, row 1, amount: is a price per second, 0 or more (given: -0.1)"),
        ([ROW, ROW | {"model": "a", "amount": "cheap"}], "prices, row 2, amount: is a price per second"),
        ([ROW | {"amount": True}], "row 1, amount"),
        ([ROW | {"amount": float("nan")}], "row 1, amount"),
        ([ROW | {"amount": float("inf")}], "row 1, amount"),
        ([{"currency": "USD"}], "row 1, amount: is required"),
        ([{"amount": 1}], "row 1, currency: is required"),
        ([ROW | {"currency": "dollars"}], "row 1, currency: is a code of three letters"),
        ([ROW | {"currency": 7}], "row 1, currency"),
        ([ROW | {"resolution": "1080"}], "row 1, resolution: is a tier such as 720P"),
        ([ROW | {"unit": "second"}], "row 1, unit: is output_second or billed_second"),
        ([ROW | {"date": "October"}], "row 1, date: is YYYY-MM"),
        ([ROW | {"sound": "loud"}], "row 1, sound: is true"),
        ([ROW | {"vendor": "dashscop"}], "row 1, vendor: is one of dashscope, gccai, or * (did you mean dashscope?)"),
        ([ROW | {"region": "cn-bejing"}], "row 1, region: is one of cn-beijing, ap-southeast-1, or * (did you mean"),
        ([ROW | {"model": "wan 2.7"}], "row 1, model: is a model's name"),
        ([ROW | {"ammount": 1}], "row 1, 'ammount': is not a column (given: 1); did you mean amount?"),
        ([ROW, ROW | {"amount": 2}], "row 2: is for something else than row 1"),
        ([ROW, "0.08"], "row 2: is an object"),
        (ROW, "prices: is a list of rows"),
        ("[{", "prices: is JSON"),
        ("12", "prices: is a list of rows"),
    ],
)
def test_a_mistake_is_named_by_row_and_column(rows: Any, message: str) -> None:
    with pytest.raises(WanRequestError) as caught:
        read_prices(rows, **NAMES)
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(WanRequestError) as caught:
        read_prices([ROW | {"amount": -1, "currency": "x"}, {"unit": "hour"}])
    assert len(caught.value.violations) == 5


def test_an_amount_in_json_text_is_exact() -> None:
    (row,) = read_prices('[{"amount": 0.1234567890123456789, "currency": "USD"}]')
    assert row.amount == Decimal("0.1234567890123456789")
