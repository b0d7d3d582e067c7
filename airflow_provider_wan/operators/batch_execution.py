"""The worker side of a batch: rounds of taking what ended, storing it and submitting what there is room for."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.batch.book import Book, Entry
from airflow_provider_wan.batch.items import Item, build_items, read_rows
from airflow_provider_wan.batch.manifest import summary_of, write_manifest
from airflow_provider_wan.batch.waiting import Waited
from airflow_provider_wan.client.endings import error_of
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.flows import Patience
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask, utc_now
from airflow_provider_wan.client.waiting import Ending, EndingStatus
from airflow_provider_wan.durability import ComeBack, Policies, Submitter
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.operators.execution import truth
from airflow_provider_wan.operators.failing import fail

if TYPE_CHECKING:
    from airflow_provider_wan.operators.batch import WanVideoBatchOperator

REFILL_FRACTION = 0.2
"""Share of the window that has to end before a worker is woken to refill it."""

LANDING_THREADS = 4
MANIFEST_SECONDS = 10.0
"""Least time between two rewrites of the manifest while items are being submitted or stored."""

SUBMIT_PATIENCE = Patience(throttled=5.0)
THROTTLED_PAUSE = 30.0
BACKSTOP = timedelta(minutes=10)
SERIES_KEY = "wan_batch_series"


class BatchExecution:
    """One round of a batch on a worker."""

    def __init__(self, operator: WanVideoBatchOperator, context: Any) -> None:
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._hook = WanHook(operator.wan_conn_id)
        self._again_at: dict[str, datetime] = {}
        self._stopped_by: WanError | None = None
        self._manifest_at = 0.0
        self._store = context.get("task_state_store") if operator.durable else None
        self._book = Book(self._store)

    # -- rounds ---------------------------------------------------------------------------------------

    def start(self) -> Any:
        """Begin, or go on after a crash or a clear."""
        if self._operator.durable and self._store is None:
            self._log.warning(
                "This Airflow keeps no task state (3.3 and newer do): a retry of this task may submit, and pay, again"
            )
        try:
            for warning in self._warnings[:20]:
                self._log.warning("%s", warning)
            self._book.load()
            self._open_book()
        except WanError as error:
            fail(error)
        return self._round()

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event."""
        try:
            self._book.load(event.get("carry"))
            for key, ending in (event.get("endings") or {}).items():
                if key in self._items:
                    self._take(self._items[key], Ending.from_event(ending))
        except WanError as error:
            fail(error)
        return self._round()

    def _round(self) -> Any:
        try:
            while True:
                self._land()
                self._submit()
                self._write_manifest()
                self._tell()
                window = self._window()
                if not window and (not self._again_at or self._is_stopped()):
                    return self._end()
                if self._operator.deferrable:
                    self._defer(window)
                for key, ending in self._wait_here(window).items():
                    self._take(self._items[key], ending)
                self._again_at.clear()
        except WanError as error:
            fail(error)
        finally:
            self._hook.close()

    # -- items ----------------------------------------------------------------------------------------

    @cached_property
    def _built(self) -> tuple[list[Item], list[str]]:
        operator, account = self._operator, self._hook.account
        defaults = {"strict": operator.strict, **(operator.defaults or {})}
        names = (account.vendor, account.base_url, account.workspace_id, operator.wan_conn_id)
        return build_items(read_rows(operator.requests), defaults, self._hook.vendor, names)

    @property
    def _warnings(self) -> list[str]:
        return self._built[1]

    @cached_property
    def _items(self) -> dict[str, Item]:
        return {item.key: item for item in self._built[0]}

    def _open_book(self) -> None:
        """Compare the book with the rows as they are now."""
        series = str(getattr(self._context["ti"], "max_tries", ""))
        is_new_series = self._store is not None and self._store.get(SERIES_KEY) != series
        if truth("regenerate", self._operator.regenerate) and is_new_series:
            self._log.info("regenerate is set: what is recorded is forgotten, all items are paid anew")
            self._book.forget_all()
        if self._store is not None and is_new_series:
            self._store.set(SERIES_KEY, series)
        known = dict(self._book)
        for key, entry in known.items():
            if key not in self._items:
                self._abandon(key, entry)
        done = sum(1 for key in self._items if self._is_done(key, known.get(key)))
        flying = sum(1 for key in self._items if key in known and known[key].is_in_flight)
        self._log.info(
            "%d items; %d are done already and %d are running (adopted, nothing is paid again)",
            len(self._items),
            done,
            flying,
        )

    def _is_done(self, key: str, entry: Entry | None) -> bool:
        """Whether an item needs nothing more; one that failed, or whose video is lost, is made anew."""
        if entry is None or entry.status is None:
            return False
        if entry.status is TaskStatus.UNKNOWN:
            # Its task may exist: look for it, do not pay again.
            self._book.put(key, Entry(record=entry.record, tries=entry.tries))
            return False
        if entry.status is TaskStatus.SUCCEEDED:
            if entry.is_finished(self._wants_storing(self._items[key])):
                return True
            if entry.url_expires_at is None or entry.url_expires_at > utc_now():
                self._book.put(key, entry.model_copy(update={"error_code": None, "error_message": None}))
                return False
            self._log.warning(
                "The video of row %s has expired and was not stored: it is made and paid anew", self._items[key].id
            )
        self._book.put(key, Entry())
        return False

    def _wants_storing(self, item: Item) -> bool:
        return bool(item.store_to or self._operator.store_to)

    def _abandon(self, key: str, entry: Entry) -> None:
        """Cancel, where possible, the task of a row that is not wanted any more."""
        if not entry.is_in_flight or entry.record is None or entry.record.handle is None:
            return
        handle = entry.record.handle
        try:
            is_cancelled = self._hook.cancel_task(handle, Patience(tries=2))
        except WanError:
            is_cancelled = False
        fate = "cancelled, it is not billed" if is_cancelled else "left to run, it will be billed"
        self._log.info("Task %s belongs to a row that has changed or is gone: %s", handle.task_id, fate)
        self._book.put(key, entry.model_copy(update={"status": TaskStatus.CANCELLED}))

    # -- submitting -----------------------------------------------------------------------------------

    def _submit(self) -> None:
        room = max(1, int(self._operator.max_in_flight)) - len(self._window())
        spacing = 1.0 / self._hook.account.submits_per_second
        for key, item in self._items.items():
            if room <= 0 or self._is_stopped():
                return
            entry = self._book.get(key)
            if entry.status is not None or entry.is_in_flight:
                continue
            began = time.monotonic()
            if not self._submit_one(key, item):
                return
            room -= 1
            if time.monotonic() - self._manifest_at > MANIFEST_SECONDS:
                self._write_manifest()
            time.sleep(max(0.0, spacing - (time.monotonic() - began)))

    def _submit_one(self, key: str, item: Item) -> bool:
        """Submit one item; ``False`` when nothing more can be submitted now."""
        try:
            obtained = self._submitter(key, item).obtain()
        except (WanQuotaError, WanTransportError) as error:
            pause = max(error.retry_after or 0.0, THROTTLED_PAUSE)
            self._log.info("Submitting pauses for %.0f s: %s", pause, error)
            self._again_at[key] = utc_now() + timedelta(seconds=pause)
            return False
        except (WanAuthError, WanBillingError) as error:
            self._log.error("Nothing more is submitted: %s", error)
            self._stopped_by = error
            return False
        except WanSubmissionUnknown as error:
            self._give_up(key, item, error, TaskStatus.UNKNOWN)
            return True
        except WanError as error:
            self._give_up(key, item, error)
            return True
        if isinstance(obtained, ComeBack):
            self._again_at[key] = utc_now() + timedelta(seconds=obtained.seconds)
        return True

    def _submitter(self, key: str, item: Item) -> Submitter:
        return Submitter(
            client=self._hook.get_conn(),
            ledger=self._book.ledger(key),
            policies=Policies(on_unknown_submission=self._operator.on_unknown_submission),
            request=item.request,
            account_name=self._operator.wan_conn_id,
            give_up=self._timeout,
            patience=SUBMIT_PATIENCE,
            log=self._log,
        )

    def _is_stopped(self) -> bool:
        if self._stopped_by is not None:
            return True
        if self._operator.on_item_failure != "fail":
            return False
        return any(entry.error_code is not None for key, entry in self._book if key in self._items)

    def _give_up(self, key: str, item: Item, error: WanError, status: TaskStatus = TaskStatus.FAILED) -> None:
        """Note why this run brings no video for an item; ``unknown`` and ``succeeded`` keep its task for the next."""
        self._log.warning("Row %s: %s", item.id, error)
        entry = self._book.get(key)
        update: dict[str, Any] = {"status": status, "error_code": error.code or type(error).__name__}
        self._book.put(key, entry.model_copy(update=update | {"error_message": error.message[:300]}))

    # -- what ended -----------------------------------------------------------------------------------

    def _take(self, item: Item, ending: Ending) -> None:
        entry = self._book.get(item.key)
        if not entry.is_in_flight:
            return
        task = ending.task
        if ending.status is EndingStatus.SUCCESS:
            update = {
                "status": TaskStatus.SUCCEEDED,
                "video_url": task.video_url,
                "url_expires_at": task.url_expires_at,
            }
            self._book.put(item.key, entry.model_copy(update=update))
            return
        error = error_of(ending)
        is_lost = ending.status in (EndingStatus.TIMEOUT, EndingStatus.ERROR)
        if error.retryable and not is_lost and entry.tries < self._operator.item_retries:
            self._log.info("Row %s is made anew (%s)", item.id, error)
            self._book.put(item.key, Entry(tries=entry.tries + 1))
            return
        if isinstance(error, WanBillingError | WanAuthError):
            self._stopped_by = error
        self._give_up(item.key, item, error, TaskStatus.UNKNOWN if is_lost else TaskStatus.FAILED)

    def _land(self) -> None:
        waiting = [
            (item, entry)
            for key, entry in self._book
            if (item := self._items.get(key))
            and self._wants_storing(item)
            and entry.status is TaskStatus.SUCCEEDED
            and not (entry.stored or entry.error_code)
        ]
        with ThreadPoolExecutor(LANDING_THREADS) as pool:
            for (item, entry), landed in zip(waiting, pool.map(self._land_one, waiting), strict=True):
                if isinstance(landed, WanError):
                    self._give_up(item.key, item, landed, TaskStatus.SUCCEEDED)
                else:
                    self._book.put(item.key, entry.model_copy(update={"stored": landed}))
                if time.monotonic() - self._manifest_at > MANIFEST_SECONDS:
                    self._write_manifest()

    def _land_one(self, waiting: tuple[Item, Entry]) -> dict[str, Any] | WanError:
        from airflow_provider_wan.delivery import land

        item, entry = waiting
        handle = entry.record.handle if entry.record else None
        if handle is None:
            return WanError("the task is not recorded")
        task = VideoTask(
            task_id=handle.task_id,
            vendor=handle.vendor,
            mode=handle.mode,
            status=TaskStatus.SUCCEEDED,
            video_url=entry.video_url,
        )
        try:
            return land(task, self._target(item, handle.task_id), self._hook.account).to_dict()
        except WanError as error:
            return error

    def _target(self, item: Item, task_id: str) -> str:
        pattern = str(item.store_to or self._operator.store_to)
        names = {"{id}": item.id, "{index}": str(item.index), "{task_id}": task_id}
        if item.store_to is None and not any(name in pattern for name in names):
            pattern = pattern.rstrip("/") + "/{id}.mp4"
        for name, value in names.items():
            pattern = pattern.replace(name, value.replace("/", "_"))
        return pattern

    # -- waiting --------------------------------------------------------------------------------------

    @property
    def _timeout(self) -> timedelta:
        timeout = self._operator.timeout
        return timeout if isinstance(timeout, timedelta) else timedelta(seconds=float(timeout))

    def _window(self) -> list[Waited]:
        found = []
        now = utc_now()
        for key, entry in self._book:
            item = self._items.get(key)
            if item is None or not entry.is_in_flight:
                continue
            record = entry.record
            if record is None or record.handle is None:
                continue
            deadline = record.handle.submitted_at + self._timeout
            if deadline <= now:
                deadline = now + self._timeout
            request = item.request
            profile = f"{record.handle.model}/{request.resolution}/{request.duration}"
            found.append(Waited(key, record.handle, deadline, profile))
        return found

    def _enough(self, window: list[Waited]) -> int:
        """Refill often while there is something to refill with; else wait for the rest together."""
        is_more = any(not entry.is_in_flight and entry.status is None for entry in map(self._book.get, self._items))
        if not is_more or self._is_stopped():
            return max(1, len(window))
        return max(1, int(min(len(window), int(self._operator.max_in_flight)) * REFILL_FRACTION))

    def _wake_at(self) -> datetime | None:
        return min(self._again_at.values(), default=None)

    def _defer(self, window: list[Waited]) -> Any:
        from airflow_provider_wan.triggers.wan import WanBatchTrigger

        operator, wake_at = self._operator, self._wake_at()
        trigger = WanBatchTrigger(
            wan_conn_id=operator.wan_conn_id,
            window=[item.to_list() for item in window],
            enough=self._enough(window),
            poll_interval=max(0.1, float(operator.poll_interval)),
            wake_at=wake_at.isoformat() if wake_at else None,
            cancel_on_kill=operator.cancel_on_kill,
            cancel_on_timeout=operator.cancel_on_timeout,
            durable=self._book.is_durable,
            carry=self._book.carry(),
        )
        operator.defer(trigger=trigger, method_name="execute_round", timeout=self._timeout + BACKSTOP)

    def _wait_here(self, window: list[Waited]) -> dict[str, Ending]:
        interval = max(0.1, float(self._operator.poll_interval))
        return asyncio.run(self._hook.await_some(window, interval, self._enough(window), self._wake_at()))

    # -- telling --------------------------------------------------------------------------------------

    def _write_manifest(self) -> None:
        self._manifest_at = time.monotonic()
        if self._operator.manifest_path:
            write_manifest(self._operator.manifest_path, self._items.values(), self._book)

    def _tell(self) -> None:
        entries = [self._book.get(key) for key in self._items]
        progress = {
            "total": len(entries),
            "succeeded": sum(entry.status is TaskStatus.SUCCEEDED for entry in entries),
            "failed": sum(entry.error_code is not None for entry in entries),
            "in_flight": sum(entry.is_in_flight for entry in entries),
        }
        self._book.tell(progress)
        counts = (progress["succeeded"], progress["total"], progress["failed"], progress["in_flight"])
        self._log.info("%d of %d videos are made, %d failed, %d are in flight", *counts)

    def _end(self) -> dict[str, Any]:
        summary = summary_of(self._items.values(), self._book, self._operator.manifest_path)
        failed, total = int(summary["failed"]), int(summary["total"])
        limit = self._operator.fail_if
        is_failed = failed > 0
        if limit == "all":
            is_failed = failed == total
        elif not isinstance(limit, str):
            is_failed = failed > limit * total
        if self._stopped_by is None and not is_failed:
            return summary
        self._context["ti"].xcom_push(key="return_value", value=summary)
        first = next((entry for entry in map(self._book.get, self._items) if entry.error_message), None)
        why = f"; the first: {first.error_code}: {first.error_message}" if first else ""
        message = f"{failed} of {total} videos were not made{why}"
        if self._stopped_by is not None:
            message = f"{message}. Submitting was stopped: {self._stopped_by}"
        entries = [self._book.get(key) for key in self._items]
        kept = sum(entry.status in _KEPT and entry.error_code is not None for entry in entries)
        if kept and self._stopped_by is None:
            raise WanError(f"{message}. {kept} of them have a task that the next attempt goes on with", retryable=True)
        raise AirflowFailException(message)


_KEPT = (TaskStatus.UNKNOWN, TaskStatus.SUCCEEDED)
"""States of items without a video whose tasks the next attempt goes on with."""
