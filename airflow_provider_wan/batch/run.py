"""The worker side of a batch: rounds of taking what ended, storing it and submitting what there is room for."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_wan.batch.accounts import SEVERAL, BatchAccounts
from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.costs import cost_of_ending, counted
from airflow_provider_wan.batch.item_ledger import read_objects
from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.batch.ledger import HEAD_KEY, BatchLedger
from airflow_provider_wan.batch.manifest import take_back
from airflow_provider_wan.batch.media import BatchMedia
from airflow_provider_wan.batch.progress import Progress, stored_results, summary_of, verdict
from airflow_provider_wan.batch.reconcile import check_batch, is_changed, open_batch
from airflow_provider_wan.batch.rows import read_rows
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.batch.shown import ShownItems
from airflow_provider_wan.batch.snapshot import Snapshot, keep_rows, kept_rows, known_contents
from airflow_provider_wan.batch.storing import Storing
from airflow_provider_wan.batch.submitting import Submitting
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.cancelling import by_connection, cancel_all, cancel_all_within, overdue
from airflow_provider_wan.client.polling.watch import EndingStatus
from airflow_provider_wan.client.polling.window import (
    SearchItem,
    WindowItem,
    WindowOutcome,
    linger_for,
    searches_to_dict,
)
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.durable import ExclusiveStore, LedgerError
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.links.wan import WanVideosLink
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.worker.assets import add_batch_to_events
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.inputs import beside_dag
from airflow_provider_wan.worker.killing import KILL_SECONDS, why_left_alone
from airflow_provider_wan.worker.ledgers import NO_TASK_STATE, is_iterated, parts_of, store_for, survives_clear
from airflow_provider_wan.worker.lineage import note_batch
from airflow_provider_wan.worker.machines import warn_of_local_paths
from airflow_provider_wan.worker.places import own_place, own_places
from airflow_provider_wan.worker.settings import TIMES, TaskOperator, ends_at, series_of

if TYPE_CHECKING:
    from airflow.sdk import Context

REFILL_FRACTION = 0.2
"""Share of the window that has to end before a worker is woken to refill it."""

BACKSTOP = timedelta(minutes=10)
WARNINGS_SHOWN = 20


@dataclass(frozen=True)
class _Wait:
    """What a round waits for, and how long; see :func:`~airflow_provider_wan.client.polling.window.wait_for_some`."""

    window: list[WindowItem]
    searches: list[SearchItem]
    enough: int
    wake_at: datetime | None
    linger: float


def begun(settings: Callable[[], Mapping[str, Any]], operator: TaskOperator, context: Context) -> BatchRun:
    """Return a run whose settings are an operator's rendered parameters; wrong ones make Airflow's retries useless."""
    try:
        values = settings()
        own = {
            "requests": beside_dag(operator, values["requests"]),
            "store_to": own_places(values["store_to"], operator, context),
            "manifest_path": own_place(values["manifest_path"], operator, context, "manifest_path"),
        }
        return BatchRun(BatchSettings(**{**values, **own}), operator, context)
    except WanError as error:
        fail(error)


class BatchRun:
    """One round of a batch on a worker; after a deferral there is a new one, in a new process."""

    def __init__(self, settings: BatchSettings, operator: TaskOperator, context: Context) -> None:
        self._settings = settings
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._store = store_for(context, settings.ledger_path) if settings.durable else None
        self._ledger = BatchLedger(self._store)
        self._accounts = BatchAccounts(settings, self._ledger.head)
        self._batch: Batch | None = None
        self._rows = Snapshot([], {}, {})

    # -- steps ----------------------------------------------------------------------------------------

    def start(self) -> Any:
        """Begin, or go on after a crash or a clear."""
        if self._settings.durable and not self._ledger.is_durable:
            self._log.warning(NO_TASK_STATE)
        rows = getattr(self._operator, "requests", None)
        beside_the_dag = isinstance(rows, str) and not rows.startswith(("/", "file:"))
        given = {name: getattr(self._settings, name) for name in ("ledger_path", "store_to", "manifest_path")}
        warn_of_local_paths(given | ({} if beside_the_dag else {"requests": rows}), self._log)
        try:
            self._load(None)
            batch = self._begin()
            if self._ledger.is_new and not self._settings.regenerate:
                self._take_back(batch)
            check_batch(batch, series_of(self._context))
            self._keep_rows(batch)
            open_batch(batch, self._accounts, series_of(self._context))
            return self._rounds(batch)
        except WanError as error:
            fail(error)
        finally:
            self._accounts.close()

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event and go on."""
        try:
            self._load(event.get("carry"))
            batch = self._go_on()
            return self._rounds(batch, _outcome_in(event))
        except WanError as error:
            fail(error)
        finally:
            self._accounts.close()

    def _load(self, carried: dict[str, Any] | None) -> None:
        self._ledger.load(carried)
        if self._ledger.missing and not self._settings.regenerate and not isinstance(self._store, ExclusiveStore):
            raise LedgerError(
                f"{self._ledger.missing} of the {self._ledger.head.chunks} parts of the batch's ledger (task state "
                f"{HEAD_KEY}_…) are gone: Airflow drops what is older than [state_store] default_retention_days. Their "
                "items may have been paid, so nothing was submitted. To go on from the manifest, delete the task state "
                f"{HEAD_KEY}; to pay all anew, set regenerate; then clear the task",
                retryable=False,
            )
        self._accounts = BatchAccounts(self._settings, self._ledger.head)
        read_objects(self._ledger)

    def _take_back(self, batch: Batch) -> None:
        count = take_back(batch, self._accounts.vendor, self._accounts.default)
        if count:
            self._log.warning(
                "The ledger of this batch is empty, as after a clear that deleted it; %d of its items are known from "
                "its manifest: they are not paid again",
                count,
            )

    def _rounds(self, batch: Batch, outcome: WindowOutcome | None = None) -> Any:
        self._batch = batch
        began = self._ledger.head.began_at or utc_now()
        batch.ends_at = ends_at(self._context, began, self._settings.execution_timeout, TIMES)
        # Rounds can be long, and Airflow itself asks for links only when a worker lets go of its task.
        WanVideosLink().show(self._operator, self._context, None, now=outcome is None)
        progress = Progress(batch, ShownItems(self._operator, self._context).show)
        if outcome is None:
            # Before anything is paid: a place that cannot be written to is better known now.
            progress.report()
        while True:
            known = outcome or WindowOutcome()
            storing = Storing(batch, lambda handle: self._accounts.account(self._accounts.of_handle(handle)))
            submitting = Submitting(batch, self._accounts, (storing.collect, progress.tick), known.clues, storing)
            self._take(batch, submitting, known)
            try:
                storing.begin()
                submitting.refill()
                while not storing.is_done_within(1.0):
                    progress.tick()
            finally:
                storing.close()
            progress.report()
            window, searches = batch.window(), submitting.searches
            moments = [moment for moment in (submitting.wake_at(), storing.wake_at()) if moment]
            if not window and not searches and not moments:
                return self._end(batch)
            wait = _Wait(
                window=window,
                searches=searches,
                enough=_enough(batch, len(window), len(searches), submitting),
                wake_at=min(moments, default=None),
                linger=linger_for(len(batch.items)),
            )
            outcome = self._wait(batch.settings, wait)

    def _take(self, batch: Batch, submitting: Submitting, outcome: WindowOutcome) -> None:
        known = {key: ending for key, ending in outcome.endings.items() if key in batch.items}
        for key, ending in known.items():
            item = batch.items[key]
            batch.take(item, ending, cost_of_ending(batch, item, ending))
        accounts, ended = self._accounts, Counter[str]()
        models: set[tuple[str, str]] = set()
        for key, ending in known.items():
            record = batch.entry(batch.items[key]).record
            if record is None or record.handle is None:
                continue
            name = accounts.of_record(record)
            models.add((name, record.handle.model if accounts.is_choice else batch.items[key].model))
            ended[name] += ending.status is EndingStatus.SUCCESS
        submitting.pauses.end(models)
        if accounts.is_choice:
            for name, count in ended.items():
                accounts.ended(name, count)
            self._ledger.keep_head()
        self._ledger.flush()

    # -- items ----------------------------------------------------------------------------------------

    def _begin(self) -> Batch:
        """Read the rows and check them all; what is read now is what this attempt works on."""
        settings = self._settings
        rows, defaults = read_rows(settings.requests), {"strict": settings.strict, **(settings.defaults or {})}
        self._media.known = known_contents(self._ledger)
        self._rows = Snapshot(rows, defaults, {})
        return self._batch_of(rows, defaults, is_checking=True)

    def _keep_rows(self, batch: Batch) -> None:
        """Keep the rows of an attempt that is not refused: what is kept of the one before is needed until then."""
        snapshot = replace(self._rows, skipped=batch.skipped, contents=self._media.digests)
        if not keep_rows(self._ledger, snapshot) and isinstance(self._settings.requests, str):
            self._log.info("The rows are read again by each worker: do not change their file while the batch runs")

    def _go_on(self) -> Batch:
        """Return the batch with the rows that it was begun with."""
        kept = kept_rows(self._ledger)
        if kept is not None:
            self._media.before = kept.contents
            return self._batch_of(kept.rows, kept.defaults, is_checking=False, skipped=kept.skipped)
        # Begun by 0.1.0, or with nowhere to keep them. They were checked then, which takes most of the time of reading.
        settings = self._settings
        rows, defaults = read_rows(settings.requests), {"strict": settings.strict, **(settings.defaults or {})}
        batch = self._batch_of(rows, defaults, is_checking=False)
        if is_changed(batch):
            self._log.warning("The rows are not those that the batch was begun with: they are compared anew")
            batch = self._batch_of(rows, defaults, is_checking=True)
            check_batch(batch, series_of(self._context), is_new_attempt=False)
            open_batch(batch, self._accounts, series_of(self._context), is_new_attempt=False)
        return batch

    def _batch_of(
        self,
        rows: Sequence[Mapping[str, Any]],
        defaults: Mapping[str, Any],
        *,
        is_checking: bool,
        skipped: Mapping[int, str] | None = None,
    ) -> Batch:
        settings, accounts = self._settings, self._accounts
        built = build_items(
            rows,
            defaults,
            accounts.first_vendor(),
            self._account_names(),
            is_checking=is_checking,
            is_skipping=settings.on_invalid_row == "skip",
            skipped=skipped,
            media=self._media,
            vendors=accounts.vendors,
        )
        for warning in built.warnings[:WARNINGS_SHOWN]:
            self._log.warning("%s", warning)
        accounts.add(built.items)
        batch = Batch(settings, built.items, self._ledger, self._log, accounts.costs_of)
        batch.accounts = accounts
        accounts.learn_runtimes(entry for _, entry in batch)
        batch.skipped, batch.name = built.skipped, _name_of(self._context)
        batch.owner, batch.reach = owner_of(self._context["ti"]), self._media.reachable
        if built.skipped and is_checking:
            first = next(iter(built.skipped.items()))
            self._log.warning("%d rows are skipped; the first: row %s: %s", len(built.skipped), *first)
        return batch

    @cached_property
    def _media(self) -> BatchMedia:
        return BatchMedia(self._operator, self._context, self._settings, self._store, self._accounts)

    def _account_names(self) -> tuple[str | None, ...]:
        """Return what tells accounts apart; where address or workspace alone has changed, items keep their keys.

        A key that belongs to another workspace makes the same videos: what was made is not paid again.
        """
        head, given = self._ledger.head, self._accounts.listed
        if head.account and (head.account[3] == SEVERAL or (self._accounts.is_choice and head.account[3] in given)):
            # Made among several, or by one that is among them now: whatever the list is, nothing is paid again.
            return tuple(head.account)
        if self._accounts.is_choice:
            head.account = [None, None, None, SEVERAL]
            return tuple(head.account)
        account = self._accounts.account(given[0])
        names = (account.vendor, account.base_url, account.workspace_id, given[0])
        if head.account and (head.account[0], head.account[3]) == (names[0], names[3]):
            return tuple(head.account)
        head.account = list(names)
        return names

    # -- waiting --------------------------------------------------------------------------------------

    def _wait(self, settings: BatchSettings, wait: _Wait) -> WindowOutcome:
        if not settings.deferrable or is_iterated(self._context):
            return asyncio.run(self._wait_here(settings, wait))
        return self._defer(settings, wait)

    def _defer(self, settings: BatchSettings, wait: _Wait) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanBatchTrigger

        trigger = WanBatchTrigger(
            wan_conn_id=self._accounts.usable,
            window=[item.to_list() for item in wait.window],
            enough=wait.enough,
            poll_interval=settings.poll_interval,
            wake_at=wait.wake_at.isoformat() if wait.wake_at else None,
            linger=wait.linger,
            cancel_on_kill=settings.cancel_on_kill,
            cancel_on_timeout=settings.cancel_on_timeout,
            durable=self._ledger.is_durable,
            carry=self._ledger.carry(),
            searches=searches_to_dict(wait.searches),
            survives_clear=survives_clear(self._store),
            stops_at_failure=settings.on_item_failure == "fail",
        )
        sought = f", {len(wait.searches)} lost ones are looked for" if wait.searches else ""
        self._log.info(
            "The worker is free now: the triggerer waits for %s%s", counted(len(wait.window), "task"), sought
        )
        self._operator.defer(trigger=trigger, method_name="execute_round", timeout=settings.timeout + BACKSTOP)

    async def _wait_here(self, settings: BatchSettings, wait: _Wait) -> WindowOutcome:
        hook = WanHook(self._accounts.usable)
        outcome = await hook.await_some(
            wait.window,
            settings.poll_interval,
            wait.enough,
            wait.wake_at,
            wait.linger,
            wait.searches,
            owner_of(self._context["ti"]),
            is_ended_by_failure=settings.on_item_failure == "fail",
        )
        if settings.cancel_on_timeout:
            for name, handles in by_connection(overdue(wait.window, outcome.endings), self._accounts.default).items():
                await cancel_all(WanHook(name).aget_conn, handles)
        return outcome

    def on_kill(self) -> None:
        """Cancel what is queued when the worker is killed; the rest is adopted by the next attempt."""
        batch = self._batch
        if batch is None or not batch.settings.cancel_on_kill:
            return
        left = why_left_alone(self._context, durable=self._ledger.is_durable, store=self._store)
        if left is not None:
            self._log.info("Nothing is cancelled, the next attempt adopts it: %s", left)
            return
        handles = [waited.handle for waited in batch.window()]
        groups = by_connection(handles, self._accounts.default)
        with ThreadPoolExecutor(len(groups) or 1, "wan-kill") as pool:
            cancelled = sum(pool.map(self._cancel_within, groups.items()))
        self._log.info(
            "%d of %d tasks were cancelled while queued (not billed); the others may run on and be billed, and stay "
            "recorded",
            cancelled,
            len(handles),
        )

    def _cancel_within(self, group: tuple[str, list[TaskHandle]]) -> int:
        name, handles = group
        try:
            return cancel_all_within(KILL_SECONDS, self._accounts.client(name), handles)
        except WanError:
            return 0

    # -- the end --------------------------------------------------------------------------------------

    def _end(self, batch: Batch) -> dict[str, Any]:
        summary = summary_of(batch)
        stored = stored_results(batch)
        add_batch_to_events(self._operator.outlets, self._context, summary, stored)
        note_batch(self._operator, batch.settings.requests, stored, summary.get("manifest"))
        error = verdict(batch, summary)
        if error is not None:
            self._context["ti"].xcom_push(key="return_value", value=summary)
            fail(error)
        return summary


def _name_of(context: Context) -> str:
    """Return a short name of the task instance, the same in all its tries."""
    return hashlib.sha256("\n".join(parts_of(context)).encode()).hexdigest()[:16]


def _enough(batch: Batch, waiting: int, searching: int, submitting: Submitting) -> int:
    """Refill often while there is something to refill with; else wait for the rest together."""
    if not submitting.is_more():
        return max(1, waiting + searching)
    return max(1, int(min(waiting, batch.settings.max_in_flight) * REFILL_FRACTION))


def _outcome_in(event: dict[str, Any]) -> WindowOutcome:
    try:
        return WindowOutcome.of(event)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise WanError(
        "The trigger's event is not understood; the tasks stay recorded and the next attempt adopts them",
        retryable=True,
    )
