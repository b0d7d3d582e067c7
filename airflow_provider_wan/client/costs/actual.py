"""The cost of a task that has ended: the vendor's own figure, else its billed seconds, else the estimate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from airflow_provider_wan.client.costs.estimate import SMALLEST, CostEstimate, estimate_terms, key_of
from airflow_provider_wan.client.costs.prices import PriceKey, Unit
from airflow_provider_wan.client.costs.table import PriceTable
from airflow_provider_wan.client.costs.terms import Terms
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask


class Basis(StrEnum):
    """How sure a cost is, surest first."""

    VENDOR = "vendor"
    """The vendor's answer says it."""
    USAGE = "usage"
    """Billed seconds of the answer, times the price."""
    ESTIMATE = "estimate"
    """Computed from the request, or from what the vendor says of such tasks."""


@dataclass(frozen=True)
class Cost:
    """What one video cost; ``amount`` is in ``currency``."""

    amount: float
    currency: str
    basis: Basis

    def to_dict(self) -> dict[str, Any]:
        """Return it as in results, manifests and asset events."""
        return {"amount": self.amount, "currency": self.currency, "basis": str(self.basis)}


_FIGURES = {"gccai": ("cost", "USD")}
"""The field of ``usage`` in which a vendor says what a task cost, and its currency."""

_USAGE = {"dashscope": ("duration", "video_duration")}
"""Where a vendor says how many seconds it billed."""

_OUTPUT = ("output_video_duration", "video_duration", "duration")

_WITHOUT_VIDEO = {"dashscope": Basis.USAGE, "powertokens": Basis.ESTIMATE, "gccai": Basis.ESTIMATE}
"""Vendors that do not charge for tasks without a video: DashScope documents it, the gateways say they refund them."""


def cost_of(
    task: VideoTask, prices: PriceTable, *, region: str | None = None, terms: Terms | None = None
) -> Cost | None:
    """Return what ``task`` cost, ``None`` while it has not ended or where that is not known.

    :param terms: of its request, where that is at hand.
    """
    if not task.status.is_ended:
        return None
    figure = _figure(task)
    if figure is not None:
        return figure
    if task.status is not TaskStatus.SUCCEEDED:
        basis, currency = _WITHOUT_VIDEO.get(task.vendor), _currency(task, prices, region, terms)
        return Cost(0.0, currency, basis) if basis and currency else None
    return _of_usage(task, prices, region, terms) or expected_cost(prices, terms)


def expected_cost(prices: PriceTable, terms: Terms | None) -> Cost | None:
    """Return the estimate as a cost: of a task that nobody has seen the end of, or whose vendor says nothing."""
    found = estimate_terms(terms, prices) if terms else None
    return Cost(found.amount, found.currency, Basis.ESTIMATE) if isinstance(found, CostEstimate) else None


def _figure(task: VideoTask) -> Cost | None:
    name, currency = _FIGURES.get(task.vendor, ("", ""))
    amount = _number((task.usage or {}).get(name))
    return None if amount is None else Cost(_exact(amount), currency, Basis.VENDOR)


def _of_usage(task: VideoTask, prices: PriceTable, region: str | None, terms: Terms | None) -> Cost | None:
    usage = task.usage or {}
    key = _key(task, usage, region, terms)
    price = prices.find(key) if key else None
    if price is None or task.vendor not in _USAGE:
        return None
    names = _OUTPUT if price.unit is Unit.OUTPUT_SECOND else _USAGE[task.vendor]
    seconds = next((number for name in names if (number := _number(usage.get(name)))), None)
    return None if seconds is None else Cost(_exact(seconds * price.amount), price.currency, Basis.USAGE)


def billed_seconds(task: VideoTask) -> float | None:
    """Return the seconds that were billed for ``task``: the vendor's figure, else the video's length."""
    if task.status is not TaskStatus.SUCCEEDED:
        return 0.0 if task.vendor in _WITHOUT_VIDEO else None
    usage = task.usage or {}
    numbers = (_number(usage.get(name)) for name in _USAGE.get(task.vendor, ()))
    found = next((number for number in numbers if number), None)
    return float(found) if found is not None else task.duration


def _key(task: VideoTask, usage: Mapping[str, Any], region: str | None, terms: Terms | None) -> PriceKey | None:
    """Return what the price is looked up by: what the task says of itself, else what was asked for."""
    asked = key_of(terms) if terms else None
    model = (asked.model if asked else None) or task.model
    tier = task.resolution or (asked.resolution if asked else None)
    if not model or not tier:
        return None
    sound = usage.get("audio")
    if not isinstance(sound, bool):
        sound = asked.sound if asked else True
    return PriceKey(task.vendor, model, asked.region if asked else region, tier, sound)


def _currency(task: VideoTask, prices: PriceTable, region: str | None, terms: Terms | None) -> str | None:
    price = prices.find(key_of(terms)) if terms else None
    if price is not None:
        return price.currency
    return (
        prices.currency_of(task.vendor, terms.region if terms else region) or _FIGURES.get(task.vendor, ("", None))[1]
    )


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < 10**9 else None


def _exact(amount: Decimal) -> float:
    return float(amount.quantize(SMALLEST))


def sum_costs(costs: Iterable[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Sum costs (as dicts) by currency, largest first; ``basis`` of a sum is the least sure one in it.

    Returns dicts of ``amount``, ``currency``, ``basis`` and ``videos``, the number of costs that are summed.
    """
    sums: dict[str, list[Any]] = {}
    order = list(Basis)
    for cost in costs:
        if cost is None:
            continue
        found = sums.setdefault(cost["currency"], [Decimal(0), Basis.VENDOR, 0])
        found[0] += Decimal(str(cost["amount"]))
        found[1] = max(found[1], Basis(cost["basis"]), key=order.index)
        found[2] += 1
    return [
        {"amount": _exact(amount), "currency": currency, "basis": str(basis), "videos": count}
        for currency, (amount, basis, count) in sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    ]
