"""The ledger: what was asked, what was made, what would have been billed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.world.prices import price_of
from airflow_provider_wan.sandbox.world.tasks import Status, Task


class Billing:
    """Counts requests by answer, and tells of each task whether it would be on the bill."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._requests: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self._cancels: list[dict[str, Any]] = []

    def request(self, vendor: str, call: str, outcome: str) -> None:
        """Count one call; ``outcome`` is the HTTP status, or what happened instead of an answer."""
        self._requests[vendor][call][outcome] += 1

    def cancel(self, task_id: str, vendor: str, *, accepted: bool, abandoned: bool = False) -> None:
        """Note one attempt to cancel; ``abandoned`` when the caller hung up before it took effect."""
        entry: dict[str, Any] = {"task_id": task_id, "vendor": vendor, "accepted": accepted}
        if abandoned:
            entry["abandoned"] = True
        self._cancels.append(entry)

    def report(self, tasks: Iterable[Task]) -> dict[str, Any]:
        """Return the ledger as plain JSON values; no key, only fingerprints."""
        created, billed = [], []
        same: dict[tuple[str, ...], list[Task]] = defaultdict(list)
        for task in tasks:
            created.append(_created(task))
            same[task.vendor, task.account, task.order.model, task.order.prompt].append(task)
            if task.status is Status.SUCCEEDED:
                billed.append(self._billed(task))
        return {
            "billed": billed,
            "created": created,
            "cancels": list(self._cancels),
            "requests": {
                vendor: {call: dict(outcomes) for call, outcomes in calls.items()}
                for vendor, calls in self._requests.items()
            },
            "duplicates": [_duplicate(group) for group in same.values() if len(group) > 1],
            "billed_seconds": sum(entry["seconds"] for entry in billed),
            "amounts": _sums(billed),
        }

    def amount(self, task: Task) -> tuple[Decimal, str] | None:
        """Return what a finished task costs and in which currency; ``None`` where no price is known.

        Only what succeeded is billed: failed and cancelled tasks are free at all vendors.
        """
        if task.status is not Status.SUCCEEDED:
            return Decimal(0), "USD"
        order = task.order
        silent = (order.body.get("parameters") or {}).get("audio") is False
        price = price_of(task.vendor, self._settings.billing_region, order.model, order.tier, silent=silent)
        if price is None:
            return None
        return Decimal(str(order.billed_seconds)) * price.amount, price.currency

    def _billed(self, task: Task) -> dict[str, Any]:
        amount = self.amount(task)
        return {
            "task_id": task.id,
            "vendor": task.vendor,
            "model": task.order.model,
            "mode": task.order.mode,
            "resolution": task.order.tier,
            "seconds": task.order.billed_seconds,
            "input_seconds": task.order.input_seconds,
            "amount": None if amount is None else float(round(amount[0], 6)),
            "currency": None if amount is None else amount[1],
            "prompt": task.order.prompt,
        }


def _sums(billed: list[dict[str, Any]]) -> dict[str, float]:
    """Return the bill per currency; what has no price is in none of them."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in billed:
        if entry["currency"]:
            sums[entry["currency"]] += Decimal(str(entry["amount"]))
    return {currency: float(total) for currency, total in sums.items()}


def _created(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "vendor": task.vendor,
        "model": task.order.model,
        "mode": task.order.mode,
        "prompt": task.order.prompt,
        "status": task.status.value,
        "key_fingerprint": task.account,
    }


def _duplicate(group: list[Task]) -> dict[str, Any]:
    """Describe tasks that one account made from the same model and prompt: the usual trace of paying twice."""
    first = group[0]
    return {
        "vendor": first.vendor,
        "model": first.order.model,
        "prompt": first.order.prompt,
        "task_ids": [task.id for task in group],
        "created": len(group),
        "billed": sum(task.status is Status.SUCCEEDED for task in group),
    }
