"""Tells how a batch is getting on: the task log, the task state and the manifest, at a humane rate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.manifest import status_of, write_manifest
from airflow_provider_wan.client.errors import WanError

LEAST_SECONDS = 10.0
SHARE = 0.05
"""Most of a worker's time that goes into progress."""


class Progress:
    """Tells of one batch.

    :param show: shows the items to whoever looks on.
    """

    def __init__(self, batch: Batch, show: Callable[[Batch], None] = lambda batch: None) -> None:
        self._batch = batch
        self._show = show
        self._next_at = time.monotonic() + LEAST_SECONDS

    def tick(self) -> None:
        """Keep and tell, if the last time is long enough ago."""
        if time.monotonic() >= self._next_at:
            try:
                self.tell()
            except WanError as error:
                self._batch.log.warning("%s", error)

    def tell(self) -> None:
        """Keep the ledger, then tell of it.

        :raises WanError: when the manifest could not be written.
        """
        began = time.monotonic()
        batch = self._batch
        batch.ledger.flush()
        counts = Counter(status_of(entry) for _, entry in batch)
        batch.ledger.tell({"total": len(batch.items), **counts})
        shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        batch.log.info("%d videos: %s", len(batch.items), shown)
        self._show(batch)
        try:
            if batch.settings.manifest_path:
                write_manifest(batch.settings.manifest_path, batch)
        finally:
            now = time.monotonic()
            self._next_at = now + max(LEAST_SECONDS, (now - began) / SHARE)
