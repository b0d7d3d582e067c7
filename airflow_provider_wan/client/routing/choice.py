"""The choice of an account, from what is known of each at a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from airflow_provider_wan.client.routing.state import AccountState

Route: TypeAlias = Literal["failover", "spread"]
Prefer: TypeAlias = Literal["cost"] | None


@dataclass(frozen=True)
class Candidate:
    """One listed account as it stands.

    :param name: its connection id.
    :param under_way: tasks of it that have been submitted and have not ended, as far as that is known.
    :param at_once: how many tasks it runs at once.
    :param seconds: how long one of its tasks runs, where that is known.
    :param has_room: whether it may be given another task now.
    :param cost: what the video would cost there, ``None`` where that is not known.
    :param refusal: why it can never be given this request.
    """

    name: str
    state: AccountState = field(default_factory=AccountState)
    under_way: int = 0
    at_once: int = 1
    seconds: float = 1.0
    has_room: bool = True
    cost: Decimal | None = None
    currency: str | None = None
    refusal: str | None = None

    @property
    def load(self) -> float:
        """Return in how many seconds it would be through with one task more, by what it runs at once."""
        return (self.under_way + 1) * self.seconds / max(1, self.at_once)


@dataclass(frozen=True)
class Choice:
    """One account, or none.

    :param why: why it is this one.
    :param passed_over: by name, why the others are not.
    :param again_at: where there is none: when one of them may be asked again, ``None`` if time mends nothing.
    """

    name: str | None
    why: str = ""
    passed_over: dict[str, str] = field(default_factory=dict)
    again_at: datetime | None = None

    def __str__(self) -> str:
        head = f"Account {self.name} ({self.why})" if self.name else "No account"
        return "; ".join([head, *(f"not {name}: {why}" for name, why in self.passed_over.items())])


def choose(
    candidates: Iterable[Candidate],
    route: Route,
    now: datetime,
    prefer: Prefer = None,
    *,
    trusts_memory: bool = False,
) -> Choice:
    """Choose the account for the next submission.

    :param candidates: in the order given by the author.
    :param prefer: ``cost``: the cheapest, where prices in one currency are known.
    :param trusts_memory: ``False`` asks an account again that was out of money or whose key was refused when there is
        no other: a person may have mended it since.
    """
    listed = list(candidates)
    passed_over = {one.name: why for one in listed if (why := _reason(one, now))}
    fit = [one for one in listed if one.name not in passed_over]
    if not fit:
        hopeful = [one for one in listed if not one.refusal]
        moments = [one.state.until for one in hopeful if _may_pass(one, now) and one.state.until]
        if moments or trusts_memory or not all(one.has_room for one in hopeful):
            return Choice(None, "", passed_over, min(moments, default=None))
        fit = [one for one in hopeful if one.has_room]
        if not fit:
            return Choice(None, "", passed_over)
    currency = next((one.currency for one in fit if one.cost is not None), None) if prefer == "cost" else None

    def key(one: Candidate) -> tuple[bool, Decimal, float]:
        is_priced = currency is not None and one.currency == currency and one.cost is not None
        cost = one.cost if is_priced and one.cost is not None else Decimal(0)
        return (currency is not None and not is_priced, cost, one.load if route == "spread" else 0.0)

    # The first of equal ones: the order given decides.
    best = min(fit, key=key)
    passed_over.pop(best.name, None)
    return Choice(best.name, _why(best, fit, route, currency), passed_over)


def _reason(one: Candidate, now: datetime) -> str | None:
    if one.refusal:
        return one.refusal
    if one.state.is_out(now):
        return one.state.described()
    return None if one.has_room else f"it has {one.under_way} tasks under way"


def _may_pass(one: Candidate, now: datetime) -> bool:
    return one.state.is_out(now) and one.state.trouble is not None and one.state.trouble.may_pass


def _why(best: Candidate, fit: list[Candidate], route: Route, currency: str | None) -> str:
    if best.state.trouble is not None:
        return f"asked again, no other is left; it was {best.state.described()}"
    if currency is not None and best.cost is not None:
        return f"the cheapest of {len(fit)} at {best.cost} {currency}"
    if route == "failover":
        return "the first in order"
    return f"the least loaded of {len(fit)}: {best.under_way} under way, {best.at_once} at once"
