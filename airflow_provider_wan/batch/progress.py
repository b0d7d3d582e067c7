"""How a batch is getting on (task log, task state, manifest; at a humane rate), and what it comes to in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.costs import costs_of, counted
from airflow_provider_wan.batch.manifest import status_of, write_manifest
from airflow_provider_wan.client.costs import money, sum_costs
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskStatus

SHARE = 0.05
"""Most of a worker's time that goes into progress."""


class Progress:
    """Reports on one batch.

    :param show: shows the items to whoever looks on.
    """

    def __init__(self, batch: Batch, show: Callable[[Batch], None] = lambda batch: None) -> None:
        self._batch = batch
        self._show = show
        self._next_at = time.monotonic() + batch.settings.times.progress

    def tick(self) -> None:
        """Report, if the last time is long enough ago."""
        if time.monotonic() >= self._next_at:
            try:
                self.report()
            except WanError as error:
                self._batch.log.warning("%s", error)

    def report(self) -> None:
        """Keep the ledger, then say how it stands.

        :raises WanError: when the manifest could not be written.
        """
        began = time.monotonic()
        batch = self._batch
        batch.ledger.flush()
        counts = Counter(status_of(entry) for _, entry in batch)
        costs = costs_of(batch)["costs"]
        accounts = accounts_of(batch)
        more = ({"costs": costs} if costs else {}) | ({"accounts": accounts} if accounts else {})
        batch.ledger.show({"total": len(batch.items), **counts} | more)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        spent = "".join(f"; {money(cost['amount'])} {cost['currency']} so far" for cost in costs)
        batch.log.info("%s: %s%s", counted(len(batch.items), "video"), shown, spent)
        for name, figures in accounts.items():
            if not figures:
                continue
            batch.log.info("%s: %s", name, ", ".join(f"{count} {what}" for what, count in figures.items() if count))
        self._show(batch)
        try:
            if batch.settings.manifest_path:
                write_manifest(batch.settings.manifest_path, batch)
        finally:
            now = time.monotonic()
            self._next_at = now + max(batch.settings.times.progress, (now - began) / SHARE)


def accounts_of(batch: Batch) -> dict[str, dict[str, int]]:
    """Return how many items are in which state at each of several accounts; nothing where there is one."""
    accounts = batch.accounts
    if accounts is None or not accounts.is_choice:
        return {}
    found: dict[str, Counter[str]] = {name: Counter() for name in accounts.names}
    for _, entry in batch:
        if entry.record is not None:
            name = accounts.of_record(entry.record)
            found.setdefault(name, Counter())["in_doubt" if entry.is_in_doubt else status_of(entry)] += 1
    return {name: dict(counts) for name, counts in found.items()}


def _costs_by_account(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    accounts = batch.accounts
    if accounts is None:
        return {}
    entries = [(accounts.of_record(entry.record), entry.cost) for _, entry in batch if entry.record]
    return {name: sum_costs(cost for of, cost in entries if of == name) for name in accounts.names}


def _figures(batch: Batch) -> dict[str, Any]:
    """Return the figures of each account, where there are several."""
    counts, costs = accounts_of(batch), _costs_by_account(batch)
    found = {name: {"counts": states, "costs": costs.get(name, [])} for name, states in counts.items()}
    return {"accounts": found} if found else {}


def _missing(batch: Batch) -> str:
    """Say what became of the videos that are not there: some may have been paid."""
    entries = [entry for _, entry in batch if status_of(entry) != TaskStatus.SUCCEEDED]
    counts = {
        "made and paid, but not stored": sum(entry.status is TaskStatus.SUCCEEDED for entry in entries),
        "submitted and may be billed": sum(
            entry.status is TaskStatus.UNKNOWN or entry.is_in_flight or entry.is_in_doubt for entry in entries
        ),
        "not submitted": sum(entry.is_open for entry in entries),
    }
    counts = {"not made": len(entries) - sum(counts.values())} | counts
    verb = "was" if len(batch.items) == 1 else "were"
    first, *others = [f"{count} {verb} {what}" for what, count in counts.items() if count]
    count, _, what = first.partition(" ")
    return "; ".join([f"{count} of {counted(len(batch.items), 'video')} {what}", *others])


def summary_of(batch: Batch) -> dict[str, Any]:
    """Return the operator's XCom: counts and one short entry per item."""
    entries = []
    counts: dict[str, int] = {}
    for item, entry in batch:
        status = status_of(entry)
        counts[status] = counts.get(status, 0) + 1
        short = {"id": item.id, "status": status}
        if entry.stored:
            short["uri"] = entry.stored["uri"]
        elif entry.video_url:
            short["video_url"] = entry.video_url
        if entry.error_code:
            short["error_code"] = entry.error_code
        entries.append(short)
    succeeded = counts.get("succeeded", 0)
    return {
        "total": len(entries),
        "succeeded": succeeded,
        "failed": len(entries) - succeeded,
        "counts": counts,
        "manifest": batch.settings.manifest_path,
        **costs_of(batch),
        **_figures(batch),
        **({"skipped": len(batch.skipped)} if batch.skipped else {}),
        "items": entries,
    }


def verdict(batch: Batch, summary: dict[str, Any]) -> WanError | None:
    """Return the error that the whole batch ends with, ``None`` when it may count as done.

    It is retryable when another attempt has something to go on with.
    """
    failed, total = int(summary["failed"]), int(summary["total"])
    stop = batch.ledger.head.stop
    if stop is None and not _is_failed(batch.settings.fail_if, failed, total):
        return None
    if stop is not None and failed == 0:
        return None
    message = _missing(batch)
    if (first := batch.first_failed()) is not None:
        item, entry = first
        message = f"{message}; the first: row {item.id}: {entry.error_code}: {entry.error_message}"
    if stop is not None:
        message = f"{message}. Submitting was stopped: {stop.message}"
    may_mend = sum(entry.retryable for _, entry in batch)
    is_retryable = may_mend > 0 if stop is None else stop.retryable
    if is_retryable:
        message = f"{message}. The next attempt goes on from here; nothing that was made is paid again"
    return WanError(message, retryable=is_retryable)


def _is_failed(limit: str | float, failed: int, total: int) -> bool:
    if limit == "any":
        return failed > 0
    if limit == "all":
        return failed == total
    return failed / total > float(limit)


def stored_results(batch: Batch) -> list[dict[str, Any]]:
    """Return the fields of each video that was stored, for asset events."""
    found = []
    for item, entry in batch:
        if entry.stored and entry.record and entry.record.handle:
            asked = item.request.model_dump(mode="json", include={"resolution", "ratio", "duration", "seed"})
            cost = {"cost": entry.cost} if entry.cost else {}
            found.append(entry.record.handle.to_dict() | asked | cost | entry.stored)
    return found
