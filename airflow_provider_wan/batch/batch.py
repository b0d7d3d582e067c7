"""A batch as it stands: its items, their entries, what can be asked of both, and what an ending changes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.records import USAGE_LIMIT, ItemRecord, Stop
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.batch.targets import Targets
from airflow_provider_wan.client.errors import WanAuthError, WanBillingError, WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.polling.window import WindowItem
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.hooks.costs import AccountCosts
from airflow_provider_wan.telemetry import metrics
from airflow_provider_wan.worker.settings import deadline_of

if TYPE_CHECKING:
    from airflow_provider_wan.batch.accounts import BatchAccounts

NOT_SEEN = (EndingStatus.TIMEOUT, EndingStatus.ERROR)
"""Endings of a wait, not of its task."""


class Batch:
    """The items with their entries; all changes of entries go through it."""

    def __init__(
        self,
        settings: BatchSettings,
        items: list[Item],
        ledger: BatchLedger,
        log: Any = None,
        costs: Callable[[Item, ItemRecord], AccountCosts] | None = None,
    ) -> None:
        self.settings = settings
        self.items = {item.key: item for item in items}
        self.ledger = ledger
        self.targets = Targets(settings.store_to)
        self.log = log or logging.getLogger(__name__)
        self.name: str | None = None
        """Names the task instance in the manifest."""
        self.owner = ""
        """Names the task instance among those whose tasks the triggerer knows."""
        self.reach: Callable[[VideoRequest, WanClient], VideoRequest] = lambda request, client: request
        """Gives a request addresses that the vendor can fetch, when it is about to be sent."""
        self.skipped: dict[int, str] = {}
        """By number, why a row was left out."""
        self.ends_at: datetime | None = None
        """When the ``execution_timeout`` is over, if there is one; see :func:`~worker.settings.ends_at`."""
        self.costs = costs
        """What an item costs at the account that it is of."""
        self.accounts: BatchAccounts | None = None

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
        return deadline_of(handle.submitted_at, began, self.settings.timeout, self.ends_at)

    @property
    def under_way(self) -> tuple[int, int]:
        """How many items are in flight, and of how many that is in doubt."""
        entries = [entry for _, entry in self]
        return sum(entry.is_in_flight for entry in entries), sum(entry.is_in_doubt for entry in entries)

    def task_ids_since(self, moment: datetime) -> frozenset[str]:
        """Return the ids of the batch's tasks that may be younger than a moment."""
        found: set[str] = set()
        for _, entry in self.ledger:
            handle = entry.record.handle if entry.record else None
            found.update(entry.former)
            if handle is not None and handle.submitted_at >= moment:
                found.add(handle.task_id)
        return frozenset(found)

    # -- what becomes of an item ----------------------------------------------------------------------

    def take(self, item: Item, ending: Ending, cost: dict[str, Any] | None = None) -> None:
        """Note how the wait for an item's task ended: its video, another try, or why there is none.

        :param cost: what the task cost, as far as that is known.
        """
        entry = self.entry(item)
        if not entry.is_in_flight or entry.task_id != ending.task.task_id:
            # An event that comes twice, or late: the item has gone on.
            return
        self.change(item, cost=cost)
        if ending.status is EndingStatus.SUCCESS:
            task = ending.task
            usage = task.usage if len(json.dumps(task.usage, default=str)) <= USAGE_LIMIT else None
            made: dict[str, Any] = {"video_url": task.video_url, "url_expires_at": task.url_expires_at, "landings": 0}
            made |= {"started_at": task.started_at, "finished_at": task.finished_at, "usage": usage or None}
            self.change(item, status=TaskStatus.SUCCEEDED, **made)
            metrics.delivered(task, cost)
            return
        error = error_of(ending)
        if ending.status in NOT_SEEN:
            # The task may still end and be billed: it stays recorded.
            self.give_up(item, error, TaskStatus.UNKNOWN)
        elif error.retryable and entry.tries < self._most_tries(entry, ending):
            self.log.info("Row %s is made anew, which is not billed twice: %s", item.id, error)
            self.ledger.put(item.key, entry.left_behind(entry.tries + 1))
        else:
            self.give_up(item, error)
            is_one = self.accounts is None or not self.accounts.is_choice
            if is_one and isinstance(error, WanBillingError | WanAuthError) and self.ledger.head.stop is None:
                self.stop(Stop(message=str(error)))

    def _most_tries(self, entry: ItemRecord, ending: Ending) -> int:
        """Return how many new tasks an item gets; the kill of a former attempt may have reached an adopted task."""
        began, record = self.ledger.head.began_at, entry.record
        is_adopted = bool(began and record and record.handle and record.handle.submitted_at < began)
        return self.settings.item_retries + (ending.status is EndingStatus.CANCELLED and is_adopted)

    # -- giving up ------------------------------------------------------------------------------------

    def give_up(self, item: Item, error: WanError, status: TaskStatus = TaskStatus.FAILED) -> None:
        """Note why this attempt brings no video for an item; ``unknown`` and ``succeeded`` keep its task."""
        self.log.warning("Row %s: %s", item.id, error)
        handle = entry.record.handle if (entry := self.entry(item)).record else None
        metrics.failed(error, handle.vendor if handle else None, item.model)
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
        """Whether nothing more may be submitted in this attempt."""
        return self.ledger.head.stop is not None

    def stop_if_overdue(self) -> None:
        """Stop when the whole batch is out of time.

        :raises LedgerError: when that could not be kept.
        """
        if not self.is_stopped and self.ends_at is not None and utc_now() >= self.ends_at:
            why = f"the execution_timeout of {self.settings.execution_timeout} is over"
            self.stop(Stop(message=why, retryable=True))

    def first_failed(self) -> tuple[Item, ItemRecord] | None:
        """Return the first item that has an error."""
        return next(((item, entry) for item, entry in self if entry.error_code), None)
