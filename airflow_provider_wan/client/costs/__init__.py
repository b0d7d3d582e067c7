"""What a video costs: before it is paid for, and afterwards.

In: a request or a finished task, and a price table (the shipped one, or a connection's own rows before it). Out: an
estimate, a cost, or the reason why there is none. Prices are data (``prices.json``) with date and source; nothing is
guessed and no currency is turned into another. Never here: files other than the shipped one, the network, Airflow.
"""

from __future__ import annotations

from airflow_provider_wan.client.costs.actual import Basis, Cost, billed_seconds, cost_of, expected_cost, sum_costs
from airflow_provider_wan.client.costs.estimate import CostEstimate, estimate, estimate_terms, money
from airflow_provider_wan.client.costs.limit import (
    MaxCost,
    Part,
    UnknownPrice,
    WanCostError,
    check_max_cost,
    parse_max_cost,
    sum_line,
)
from airflow_provider_wan.client.costs.prices import Price, Unit, read_prices
from airflow_provider_wan.client.costs.table import PriceTable, shipped_prices
from airflow_provider_wan.client.costs.terms import NoPrice, Terms, terms_of

__all__ = [
    "Basis",
    "Cost",
    "CostEstimate",
    "MaxCost",
    "NoPrice",
    "Part",
    "Price",
    "PriceTable",
    "Terms",
    "Unit",
    "UnknownPrice",
    "WanCostError",
    "billed_seconds",
    "check_max_cost",
    "cost_of",
    "estimate",
    "estimate_terms",
    "expected_cost",
    "money",
    "parse_max_cost",
    "read_prices",
    "shipped_prices",
    "sum_costs",
    "sum_line",
    "terms_of",
]
