"""``max_cost``: the most that may be paid, and the refusal before anything is sent."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from airflow_provider_wan.client.costs.estimate import CostEstimate, money
from airflow_provider_wan.client.costs.terms import NoPrice
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten

UnknownPrice = Literal["fail", "allow"]
MOST_PARTS = 20
_TEXT = re.compile(
    r"(?P<amount>[+-]?[\d.]+)\s*(?P<currency>[A-Za-z]{3})?|(?P<first>[A-Za-z]{3})\s*(?P<then>[+-]?[\d.]+)"
)
_FIX = 'give a number (in the currency of the price), or a text such as "12.50 USD"'


class WanCostError(WanRequestError):
    """More would be paid than ``max_cost`` allows, or what would be paid is not known; nothing was sent."""


@dataclass(frozen=True)
class MaxCost:
    """The most that may be paid; without a currency, in that of the price."""

    amount: Decimal
    currency: str | None = None

    def __str__(self) -> str:
        return f"{money(self.amount)} {self.currency or ''}".strip()


def parse_max_cost(value: Any, name: str = "max_cost") -> MaxCost | None:
    """Read ``max_cost``: a number, or a text such as ``"12.50 USD"``; ``None`` or a blank text is no limit.

    :raises WanRequestError: for anything else, and for negative amounts.
    """
    if value is None or isinstance(value, MaxCost):
        return value
    text = str(value).strip()
    if not text:
        return None
    found = None if isinstance(value, bool) else _TEXT.fullmatch(text)
    try:
        if found is None:
            # Numbers are written in many ways: 1e3, Decimal, numpy.
            amount, currency = Decimal("NaN") if isinstance(value, bool) else Decimal(text), None
        else:
            amount, currency = Decimal(found["amount"] or found["then"]), found["currency"] or found["first"]
    except InvalidOperation:
        amount, currency = Decimal("NaN"), None
    if not amount.is_finite() or amount < 0:
        raise WanRequestError(violations=[Violation(name, "is an amount of money", shorten(value), _FIX, hard=True)])
    return MaxCost(amount, currency.upper() if currency else None)


@dataclass(frozen=True)
class Part:
    """One paid call that is about to be made, by the name that people know it by."""

    name: str
    estimate: CostEstimate | NoPrice


def check_max_cost(parts: Sequence[Part], limit: MaxCost | None, on_unknown_price: UnknownPrice = "fail") -> None:
    """Refuse paid calls that cost more than ``limit`` together.

    :param on_unknown_price: ``allow`` lets calls through whose price is not known, or is in another currency; the sum
        of the others is still held to the limit.
    :raises WanCostError: with the sum and its parts; nothing was sent.
    """
    if limit is None:
        return
    sums = sums_of(parts)
    compared = {currency: total for currency, total in sums.items() if limit.currency in (None, currency)}
    if on_unknown_price != "allow":
        _refuse_unknown(parts, limit, sums, compared)
    over = [f"{money(total)} {currency}" for currency, total in compared.items() if total > limit.amount]
    if over:
        _refuse(
            f"{_what(parts)} would cost {' and '.join(over)}",
            limit,
            parts,
            "raise max_cost, or make fewer or shorter videos",
        )


def sums_of(parts: Iterable[Part]) -> dict[str, Decimal]:
    """Return the sum of the known estimates in each currency."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for part in parts:
        if isinstance(part.estimate, CostEstimate):
            sums[part.estimate.currency] += Decimal(str(part.estimate.amount))
    return dict(sums)


def sum_line(parts: Sequence[Part]) -> str:
    """Say in one line what paid calls will cost together, and for how many of them that is not known."""
    known = [part.estimate for part in parts if isinstance(part.estimate, CostEstimate)]
    sums = " and ".join(f"{money(total)} {currency}" for currency, total in sums_of(parts).items())
    most = "at most " if any(found.is_upper_bound for found in known) else ""
    missing = [part for part in parts if isinstance(part.estimate, NoPrice)]
    unknown = f"{len(missing)} without a known price, the first: {missing[0].estimate}" if missing else ""
    return "; ".join(text for text in (f"{most}{sums}" if sums else "", unknown) if text)


def _refuse_unknown(
    parts: Sequence[Part], limit: MaxCost, sums: dict[str, Decimal], compared: dict[str, Decimal]
) -> None:
    allow = "on_unknown_price='allow' lets it through"
    missing = [part for part in parts if isinstance(part.estimate, NoPrice)]
    if missing:
        names = f"{len(missing)} of {len(parts)} videos" if len(parts) > 1 else "The video"
        fix = f"give the price in the connection's extra 'prices'; {allow}"
        _refuse(f"{names} cannot be held to max_cost: {missing[0].estimate}", limit, parts, fix)
    others = sorted(sums.keys() - compared.keys())
    if others:
        why = f"prices are in {', '.join(sorted(sums))}, and nothing is converted"
        _refuse(f"{_what(parts)} cannot be held to max_cost: {why}", limit, parts, f"name that currency; {allow}")
    if limit.currency is None and len(sums) > 1:
        why = f"prices are in {' and '.join(sorted(sums))}, and a number without a currency is for one of them"
        _refuse(f"{_what(parts)} cannot be held to max_cost: {why}", limit, parts, allow)


def _what(parts: Sequence[Part]) -> str:
    return "The video" if len(parts) == 1 else f"The {len(parts)} videos"


def _refuse(why: str, limit: MaxCost, parts: Sequence[Part], fix: str) -> None:
    lines = list(_lines(parts))
    more = [f"… and {len(lines) - MOST_PARTS} more"] if len(lines) > MOST_PARTS else []
    listing = "\n  - ".join(
        [f"{why}; max_cost is {limit}. Nothing was sent or paid ({fix}):", *lines[:MOST_PARTS], *more]
    )
    raise WanCostError(
        listing, violations=[Violation("max_cost", "covers what will be paid", str(limit), fix, hard=True)]
    )


def _lines(parts: Sequence[Part]) -> Iterable[str]:
    """Yield the parts, those of the same cost as one."""
    if len(parts) <= MOST_PARTS:
        yield from (f"{part.name}: {part.estimate}" for part in parts)
        return
    for text, count in Counter(str(part.estimate) for part in parts).most_common():
        yield f"{count} x {text}"
