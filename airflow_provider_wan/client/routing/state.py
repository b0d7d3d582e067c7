"""What is known of an account's order: throttled, without money, its key refused, out of reach; and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanResponseError,
    WanServerError,
    WanTransportError,
)

WHY_LIMIT = 300


class Trouble(StrEnum):
    """What may be wrong with an account."""

    THROTTLED = "throttled"
    OUTAGE = "outage"
    MONEY = "money"
    KEY = "key"

    @property
    def may_pass(self) -> bool:
        """Whether time alone mends it."""
        return self in (Trouble.THROTTLED, Trouble.OUTAGE)


_KINDS: tuple[tuple[type[WanError], Trouble], ...] = (
    (WanAuthError, Trouble.KEY),
    (WanBillingError, Trouble.MONEY),
    (WanQuotaError, Trouble.THROTTLED),
    (WanTransportError, Trouble.OUTAGE),
    (WanServerError, Trouble.OUTAGE),
    (WanResponseError, Trouble.OUTAGE),
)

_SECONDS: dict[Trouble, tuple[float, float]] = {
    Trouble.THROTTLED: (30.0, 300.0),
    Trouble.OUTAGE: (30.0, 300.0),
    Trouble.MONEY: (600.0, 600.0),
    Trouble.KEY: (600.0, 600.0),
}
"""How long an account is left alone at first and at most; each time in a row twice as long."""


def trouble_of(error: WanError) -> Trouble | None:
    """Return what a refused submission says of its account, ``None`` when it says something of the request."""
    return next((trouble for kind, trouble in _KINDS if isinstance(error, kind)), None)


@dataclass(frozen=True)
class AccountState:
    """What is known of one account.

    :param until: the moment (aware) to which it is left alone.
    :param seconds: how long it is left alone this time.
    :param why: what it answered.
    """

    trouble: Trouble | None = None
    until: datetime | None = None
    seconds: float = 0.0
    why: str = ""

    def is_out(self, now: datetime) -> bool:
        """Whether it is left alone at a moment."""
        return self.trouble is not None and self.until is not None and now < self.until

    def after(self, error: WanError, now: datetime) -> AccountState:
        """Return what is known after a refused submission."""
        trouble = trouble_of(error)
        if trouble is None:
            return self
        least, most = _SECONDS[trouble]
        seconds = min(most, 2 * self.seconds) if trouble is self.trouble else least
        seconds = max(seconds, error.retry_after or 0.0)
        return AccountState(trouble, now + timedelta(seconds=seconds), seconds, error.message[:WHY_LIMIT])

    def described(self) -> str:
        """Say what is wrong and until when."""
        until = f" (left alone until {self.until:%H:%M:%S} UTC)" if self.until else ""
        return f"{_WORDS[self.trouble]}{until}: {self.why}" if self.trouble else "in order"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; nothing in it is secret."""
        until = self.until.isoformat() if self.until else None
        return {"trouble": self.trouble, "until": until, "seconds": self.seconds, "why": self.why}

    @classmethod
    def of(cls, value: dict[str, Any]) -> Self:
        """Read what ``to_dict`` returned.

        :raises ValueError: or another of the usual errors, for anything else.
        """
        trouble, until = value.get("trouble"), value.get("until")
        return cls(
            Trouble(trouble) if trouble else None,
            datetime.fromisoformat(until) if until else None,
            float(value.get("seconds") or 0.0),
            str(value.get("why") or "")[:WHY_LIMIT],
        )


_WORDS = {
    Trouble.THROTTLED: "throttled",
    Trouble.OUTAGE: "out of reach",
    Trouble.MONEY: "out of money",
    Trouble.KEY: "its key is refused",
}
