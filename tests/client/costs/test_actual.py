"""The cost of a task that has ended: the vendor's figure, billed seconds times price, or the estimate."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.client.costs import Cost, PriceTable, Terms, cost_of, expected_cost, read_prices, sum_costs
from airflow_provider_wan.client.tasks import Mode, TaskStatus, VideoTask

SINGAPORE = "ap-southeast-1"
TERMS = Terms("dashscope", SINGAPORE, "wan2.7-t2v", Mode.TEXT_TO_VIDEO, "1080P", 5)
OWN = PriceTable(read_prices([{"amount": 2, "currency": "EUR"}]), ())
OUTPUT = PriceTable(read_prices([{"amount": 2, "currency": "EUR", "unit": "output_second"}]), ())


def ended(vendor: str = "dashscope", status: str = "succeeded", **fields: Any) -> VideoTask:
    return VideoTask(task_id="t1", vendor=vendor, status=TaskStatus(status), **fields)


def usage(**fields: Any) -> dict[str, Any]:
    return {"model": "wan2.7-t2v", "resolution": "720P", "usage": fields}


USAGES: list[tuple[dict[str, Any], float]] = [
    ({"duration": 5, "SR": 720}, 0.5),
    ({"duration": 10.04, "input_video_duration": 5.02, "output_video_duration": 5.02}, 1.004),
    ({"duration": "7.5"}, 0.75),
    ({"video_duration": 5, "video_ratio": "16:9"}, 0.5),
]


@pytest.mark.parametrize(("told", "amount"), USAGES)
def test_billed_seconds_times_the_price_of_the_tier_that_was_made(told: dict[str, Any], amount: float) -> None:
    found = cost_of(ended(**usage(**told)), PriceTable(), region=SINGAPORE, terms=TERMS)
    assert found == Cost(amount, "USD", "usage")


def test_without_the_request_the_task_says_what_it_was() -> None:
    assert cost_of(ended(**usage(duration=5)), PriceTable(), region=SINGAPORE) == Cost(0.5, "USD", "usage")
    assert cost_of(ended(**usage(duration=5)), PriceTable(), region="cn-beijing") == Cost(3.0, "CNY", "usage")


def test_a_price_per_output_second_counts_the_output() -> None:
    told = usage(duration=15, input_video_duration=5, output_video_duration=10)
    assert cost_of(ended(**told), OUTPUT) == Cost(20.0, "EUR", "usage")


def test_the_sound_that_was_made_decides() -> None:
    told = {"model": "wan2.6-i2v-flash", "resolution": "1080P", "usage": {"duration": 10, "audio": False}}
    assert cost_of(ended(**told), PriceTable(), region=SINGAPORE) == Cost(2.75221, "CNY", "usage")


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_the_vendors_own_figure_comes_first(status: str) -> None:
    task = ended("gccai", status, usage={"cost": 0.332, "credits_cost": 33})
    assert cost_of(task, OWN) == Cost(0.332, "USD", "vendor")


@pytest.mark.parametrize("figure", [None, "free", True, -1, float("nan"), [1]])
def test_a_figure_that_is_none_is_not_one(figure: Any) -> None:
    assert cost_of(ended("gccai", usage={"cost": figure}), PriceTable()) is None


@pytest.mark.parametrize("vendor", ["powertokens", "freepik", "gccai"])
def test_the_estimate_where_the_vendor_says_nothing(vendor: str) -> None:
    terms = Terms(vendor, None, "wan2.7-t2v", Mode.TEXT_TO_VIDEO, "1080P", 5)
    assert cost_of(ended(vendor), OWN, terms=terms) == Cost(10.0, "EUR", "estimate")
    assert expected_cost(OWN, terms) == Cost(10.0, "EUR", "estimate")
    assert cost_of(ended(vendor), PriceTable(), terms=terms) is None


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize(
    ("vendor", "expected"),
    [
        ("dashscope", Cost(0.0, "EUR", "usage")),
        ("powertokens", Cost(0.0, "EUR", "estimate")),
        ("gccai", Cost(0.0, "EUR", "estimate")),
        ("freepik", None),
    ],
)
def test_a_task_without_a_video_costs_what_the_vendor_says(vendor: str, expected: Cost | None, status: str) -> None:
    assert cost_of(ended(vendor, status), OWN) == expected


def test_the_currency_of_nothing() -> None:
    assert cost_of(ended(status="failed"), PriceTable(), region=SINGAPORE, terms=TERMS) == Cost(0.0, "USD", "usage")
    assert cost_of(ended("gccai", "failed"), PriceTable()) == Cost(0.0, "USD", "estimate")
    # Singapore has prices in two currencies: without the request it is not known which.
    assert cost_of(ended(status="failed"), PriceTable(), region=SINGAPORE) is None


@pytest.mark.parametrize("status", ["pending", "running", "unknown"])
def test_what_has_not_ended_has_no_cost_yet(status: str) -> None:
    assert cost_of(ended(status=status, **usage(duration=5)), PriceTable(), region=SINGAPORE, terms=TERMS) is None


def test_costs_are_summed_by_currency() -> None:
    costs = [
        {"amount": 0.1, "currency": "USD", "basis": "vendor"},
        {"amount": 0.2, "currency": "USD", "basis": "usage"},
        None,
        {"amount": 5, "currency": "CNY", "basis": "estimate"},
    ]
    assert sum_costs(costs) == [
        {"amount": 5.0, "currency": "CNY", "basis": "estimate", "videos": 1},
        {"amount": 0.3, "currency": "USD", "basis": "usage", "videos": 2},
    ]
    assert sum_costs([None]) == []
