"""How a batch is getting on (task log, task state, manifest; at a humane rate), and what it comes to in the end."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.manifest import status_of, write_manifest
from airflow_provider_wan.client.errors import WanError

SHARE = 0.05
"""Most of a worker's time that goes into progress."""


class Progress:
    """Reports on one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
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
        batch.ledger.show({"total": len(batch.items), **counts})
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        batch.log.info("%d videos: %s", len(batch.items), shown)
        try:
            if batch.settings.manifest_path:
                write_manifest(batch.settings.manifest_path, batch)
        finally:
            now = time.monotonic()
            self._next_at = now + max(batch.settings.times.progress, (now - began) / SHARE)


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
    message = f"{failed} of {total} videos were not made"
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
