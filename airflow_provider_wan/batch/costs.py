"""What a batch costs: the estimate of what is to be paid, held to ``max_cost``, and the sum of what was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import ItemRecord
from airflow_provider_wan.client.costs import CostEstimate, NoPrice, Part, check_max_cost, sum_costs, sum_line
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus


def counted(count: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def check_cost(batch: Batch, due: Iterable[Item]) -> None:
    """Log what the items that are to be paid will cost, and refuse them above ``max_cost``.

    :raises WanRequestError: with the sum and its parts; nothing was submitted.
    """
    if batch.costs is None:
        return
    parts = [Part(f"row {item.id}", _estimate(batch, item)) for item in due]
    if parts:
        batch.log.info("Estimated cost of %s to be paid: %s", counted(len(parts), "video"), sum_line(parts))
    check_max_cost(parts, batch.settings.max_cost, batch.settings.on_unknown_price)


def _estimate(batch: Batch, item: Item) -> CostEstimate | NoPrice:
    """Return what an item will cost; where there are several accounts, at the dearest that may be given it."""
    if batch.costs is not None and (batch.accounts is None or not batch.accounts.is_choice):
        return batch.costs(item, ItemRecord()).estimate(item.request)
    found = list(batch.accounts.estimates(item)) if batch.accounts else []
    known = [one for one in found if isinstance(one, CostEstimate)]
    missing = [one for one in found if isinstance(one, NoPrice)]
    if missing and (not known or batch.settings.on_unknown_price == "allow"):
        return missing[0] if not known else max(known, key=lambda one: one.amount)
    if not known:
        return NoPrice("no account can take it")
    if len({one.currency for one in known}) > 1 and batch.settings.max_cost is not None:
        return NoPrice("the accounts' prices are in several currencies, and nothing is converted")
    return max(known, key=lambda one: one.amount)


def cost_of_ending(batch: Batch, item: Item, ending: Ending) -> dict[str, Any] | None:
    """Return what an item's task cost; the estimate when nobody has seen its end, for then it may be billed."""
    if batch.costs is None:
        return None
    try:
        costs = batch.costs(item, batch.entry(item))
    except WanRequestError:
        # Its connection is gone, and with it the prices that hold there.
        return None
    if ending.status in (EndingStatus.TIMEOUT, EndingStatus.ERROR):
        return costs.expected_cost(item.request)
    return costs.cost_of(ending.task, item.request)


def costs_of(batch: Batch) -> dict[str, Any]:
    """Return the sums: ``cost`` where all are in one currency, ``costs`` by currency, and how many are not known."""
    sums = sum_costs(entry.cost for _, entry in batch)
    cost = {name: sums[0][name] for name in ("amount", "currency", "basis")} if len(sums) == 1 else None
    # What the vendor refused made no task, so it has no cost that could be unknown.
    unknown = sum(entry.cost is None and entry.status is not None and entry.record is not None for _, entry in batch)
    return {"cost": cost, "costs": sums, "without_cost": unknown}
