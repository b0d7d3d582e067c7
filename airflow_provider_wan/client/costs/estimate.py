"""The estimate: the seconds that a vendor will bill at most, times the price of one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal
from typing import Any

from airflow_provider_wan.client.costs.prices import Price, PriceKey, Unit
from airflow_provider_wan.client.costs.table import PriceTable
from airflow_provider_wan.client.costs.terms import NoPrice, Terms, terms_of
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.rules.families import Family, family_of
from airflow_provider_wan.client.tasks import Mode

SMALLEST = Decimal("0.000001")
"""Amounts are exact to this; ``Decimal(str(amount))`` is the exact value of one."""


@dataclass(frozen=True)
class CostEstimate:
    """What a video will cost.

    :param amount: in ``currency``.
    :param seconds: billed ones.
    :param unit_price: per second.
    :param source: of the price.
    :param date: of the price.
    :param is_upper_bound: the bill may be lower, for a length that only the vendor will know.
    :param note: what is assumed.
    """

    amount: float
    currency: str
    seconds: float
    unit_price: float
    source: str | None
    date: str | None
    model: str
    resolution: str
    is_upper_bound: bool = False
    note: str = ""

    def __str__(self) -> str:
        most = "at most " if self.is_upper_bound else ""
        price = f"{self.unit_price:g} {self.currency}" + (f", as of {self.date}" if self.date else "")
        note = f"; {self.note}" if self.note else ""
        return (
            f"{most}{money(self.amount)} {self.currency} "
            f"({self.seconds:g} s of {self.model} {self.resolution} at {price}{note})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def money(amount: float | Decimal) -> str:
    """Write an amount with two decimals at least, and with all it has."""
    text = f"{Decimal(str(amount)).quantize(SMALLEST):f}"
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def estimate(
    request: VideoRequest,
    prices: PriceTable,
    *,
    vendor: str,
    model: str,
    region: str | None = None,
    input_seconds: float | None = None,
) -> CostEstimate | NoPrice:
    """Estimate what ``request`` will cost, never less than the vendor bills by its documented rules.

    :param vendor: the vendor's name.
    :param model: the model it goes to there.
    :param region: of the account, where prices differ by it.
    :param input_seconds: length of all its clips, where it is known; the longest documented one is assumed otherwise.
    """
    terms = terms_of(request, vendor, model, region, input_seconds)
    return terms if isinstance(terms, NoPrice) else estimate_terms(terms, prices)


def estimate_terms(terms: Terms, prices: PriceTable) -> CostEstimate | NoPrice:
    """Estimate what will be billed for ``terms``."""
    key = key_of(terms)
    price = prices.find(key)
    if price is None:
        return NoPrice(prices.why_none(key))
    seconds = _seconds(terms, price)
    if isinstance(seconds, NoPrice):
        return seconds
    amount = (Decimal(str(seconds.number)) * price.amount).quantize(SMALLEST, ROUND_CEILING)
    return CostEstimate(
        amount=float(amount),
        currency=price.currency,
        seconds=seconds.number,
        unit_price=float(price.amount),
        source=price.source,
        date=price.date,
        model=terms.model,
        resolution=terms.resolution,
        is_upper_bound=bool(seconds.assumed),
        note=seconds.assumed,
    )


def key_of(terms: Terms) -> PriceKey:
    """Return what the price for ``terms`` is looked up by."""
    return PriceKey(terms.vendor, terms.model, terms.region, terms.resolution, terms.sound)


# -- seconds ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seconds:
    """A number of seconds; ``assumed`` says why it is an upper bound, when it is one."""

    number: float
    assumed: str = ""


@dataclass(frozen=True)
class _Rule:
    """How seconds of input video are billed.

    :param longest: seconds of input, as documented.
    :param billed: of the input's length, what is billed.
    :param longest_total: of input and output together.
    """

    longest: float
    billed: Callable[[float], float]
    longest_total: float = math.inf


def _all(seconds: float) -> float:
    return seconds


def _five(seconds: float) -> float:
    return min(seconds, 5.0)


_REFERENCE = _Rule(5.0, _five)
_EDIT = _Rule(10.0, _all)
_OF_3 = _Rule(15.0, _all, 30.0)
_RULES = {
    (Family.WAN_2_7, Mode.REFERENCE_TO_VIDEO): _REFERENCE,
    (Family.WAN_2_7, Mode.VIDEO_EDIT): _EDIT,
    (Family.WAN_3_0, Mode.REFERENCE_TO_VIDEO): _OF_3,
    (Family.WAN_3_0, Mode.VIDEO_EDIT): _OF_3,
}
"""Sources: Alibaba Model Studio's model-pricing page, and its API references of the families.

Wan 2.7 bills at most 5 s of reference clips, an edit's whole source; Wan 3.0 all seconds that go in. A continued clip
is part of the length asked for.
"""
_LONGEST_OF_3 = 30.0
_WAN_2_6 = re.compile(r"wan2\.6-r2v(-|$)")


def _seconds(terms: Terms, price: Price) -> _Seconds | NoPrice:
    output = _output(terms)
    if isinstance(output, NoPrice) or price.unit is Unit.OUTPUT_SECOND or not terms.reads_video:
        return output
    rule = _rule(terms)
    if rule is None:
        return NoPrice(f"how {terms.model} bills the clips that go in is not known")
    if terms.input_seconds is not None:
        return _Seconds(output.number + rule.billed(terms.input_seconds), output.assumed)
    total = min(output.number + rule.billed(rule.longest), max(rule.longest_total, output.number))
    what = "input" if rule.longest_total == math.inf else "input and output together"
    longest = rule.longest if rule.longest_total == math.inf else rule.longest_total
    return _Seconds(total, f"at most {longest:g} s of {what} are billed, their length is not known here")


def _rule(terms: Terms) -> _Rule | None:
    if _WAN_2_6.match(terms.model):
        return _REFERENCE
    return _RULES.get((family_of(terms.model), terms.mode))


def _output(terms: Terms) -> _Seconds | NoPrice:
    family, asked = family_of(terms.model), terms.duration
    if family is Family.WAN_2_7 and terms.mode is Mode.VIDEO_EDIT:
        # The video is as long as its source, or is cut to what is asked for.
        known = terms.input_seconds
        if asked > 0:
            return _Seconds(asked if known is None else min(asked, known))
        if known is not None:
            return _Seconds(known)
        return _Seconds(_EDIT.longest, f"the clip keeps its length, {_EDIT.longest:g} s at most")
    if asked > 0:
        return _Seconds(asked)
    if family is Family.WAN_3_0:
        rest = terms.input_seconds or 0.0 if terms.reads_video else 0.0
        return _Seconds(max(_LONGEST_OF_3 - rest, 0.0), f"the model chooses the length, {_LONGEST_OF_3:g} s at most")
    return NoPrice(f"how long a video {terms.model} makes for duration {asked:g} is not known")
