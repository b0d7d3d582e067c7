"""A batch as it stands: its items, their entries, and what can be asked of both."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.records import ItemRecord, Stop
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.batch.targets import Targets
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.window import WindowItem
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, utc_now


class Batch:
    """The items with their entries; all changes of entries go through it."""

    def __init__(self, settings: BatchSettings, items: list[Item], ledger: BatchLedger, log: Any = None) -> None:
        self.settings = settings
        self.items = {item.key: item for item in items}
        self.ledger = ledger
        self.targets = Targets(settings.store_to)
        self.log = log or logging.getLogger(__name__)

    def entry(self, item: Item) -> ItemRecord:
        """Return what is known of an item."""
        return self.ledger.get(item.key)

    def change(self, item: Item, **update: Any) -> None:
        """Change some fields of an item's entry."""
        self.ledger.put(item.key, self.entry(item).model_copy(update=update))

    def __iter__(self) -> Iterator[tuple[Item, ItemRecord]]:
        for key, item in self.items.items():
            yield item, self.ledger.get(key)

    # -- what there is --------------------------------------------------------------------------------

    def is_finished(self, item: Item, entry: ItemRecord) -> bool:
        """Whether the item has its video, where it is wanted."""
        if entry.status is not TaskStatus.SUCCEEDED:
            return False
        return entry.stored is not None or not self.targets.is_wanted(item)

    def is_landing(self, item: Item, entry: ItemRecord) -> bool:
        """Whether the item's video is still to be stored."""
        return (
            entry.status is TaskStatus.SUCCEEDED
            and entry.stored is None
            and entry.error_code is None
            and self.targets.is_wanted(item)
        )

    def window(self) -> list[WindowItem]:
        """Return the tasks to wait for."""
        return [
            WindowItem(item.key, entry.record.handle, self.deadline_of(entry.record.handle), item.profile)
            for item, entry in self
            if entry.is_in_flight and entry.record and entry.record.handle
        ]

    def deadline_of(self, handle: TaskHandle) -> datetime:
        """Count from submission; a task whose time was over when this attempt began gets a new time-out."""
        began = self.ledger.head.began_at or utc_now()
        deadline = handle.submitted_at + self.settings.timeout
        if deadline <= began:
            deadline = began + self.settings.timeout
        return min(deadline, began + self.settings.limit) if self.settings.limit else deadline

    # -- giving up ------------------------------------------------------------------------------------

    def give_up(self, item: Item, error: WanError, status: TaskStatus = TaskStatus.FAILED) -> None:
        """Note why this attempt brings no video for an item; ``unknown`` and ``succeeded`` keep its task."""
        self.log.warning("Row %s: %s", item.id, error)
        self.ledger.put(item.key, self.entry(item).with_error(error, status))
        if self.settings.on_item_failure == "fail" and self.ledger.head.stop is None:
            self.stop(Stop(message=f"row {item.id} failed, and on_item_failure is 'fail'", retryable=error.retryable))

    def stop(self, stop: Stop) -> None:
        """Submit nothing more in this attempt.

        :raises LedgerError: when that could not be kept.
        """
        self.log.error("Nothing more is submitted: %s", stop.message)
        self.ledger.head.stop = stop
        self.ledger.keep_head()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more may be submitted: it was stopped, or the whole batch is out of time."""
        head, limit = self.ledger.head, self.settings.limit
        if head.stop is None and limit and head.began_at and utc_now() >= head.began_at + limit:
            self.stop(Stop(message=f"the execution_timeout of {limit} is over", retryable=True))
        return head.stop is not None

    def first_failed(self) -> tuple[Item, ItemRecord] | None:
        """Return the first item that has an error."""
        return next(((item, entry) for item, entry in self if entry.error_code), None)
