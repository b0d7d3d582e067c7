"""The worker side of a batch: rounds of taking what ended, storing it and submitting what there is room for."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.cancelling import cancel_before_exit, cancel_overdue
from airflow_provider_wan.batch.ending import take_ending, verdict
from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.manifest import summary_of
from airflow_provider_wan.batch.plan_values import settings_of
from airflow_provider_wan.batch.progress import Progress
from airflow_provider_wan.batch.reconcile import is_changed, open_batch
from airflow_provider_wan.batch.rows import read_rows
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.batch.shown import ShownItems
from airflow_provider_wan.batch.storing import Storing
from airflow_provider_wan.batch.submitting import Submitting
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending
from airflow_provider_wan.client.polling.window import WindowItem, linger_for
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.worker.failing import fail

if TYPE_CHECKING:
    from airflow_provider_wan.operators.batch import WanVideoBatchOperator

REFILL_FRACTION = 0.2
"""Share of the window that has to end before a worker is woken to refill it."""

BACKSTOP = timedelta(minutes=10)
WARNINGS_SHOWN = 20


class BatchRun:
    """One round of a batch on a worker; after a deferral there is a new one, in a new process."""

    def __init__(self, operator: WanVideoBatchOperator, context: Any) -> None:
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._hook = WanHook(operator.wan_conn_id)
        self._ledger = BatchLedger(context.get("task_state_store") if operator.durable else None)
        self._batch: Batch | None = None

    # -- steps ----------------------------------------------------------------------------------------

    def start(self) -> Any:
        """Begin, or go on after a crash or a clear."""
        if self._operator.durable and not self._ledger.is_durable:
            self._log.warning(
                "This Airflow keeps no task state (3.3 and newer do): a retry of this task may submit, and pay, again"
            )
        try:
            batch = self._read()
            self._ledger.load()
            open_batch(batch, self._hook, self._series)
            return self._rounds(batch)
        except WanError as error:
            fail(error)
        finally:
            self._hook.close()

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event and go on."""
        try:
            # The rows were checked when the batch was begun, which takes most of the time of reading them.
            batch = self._read(is_checking=False)
            self._ledger.load(event.get("carry"))
            if is_changed(batch):
                self._log.warning("The rows are not those that the batch was begun with: they are compared anew")
                batch = self._read()
                open_batch(batch, self._hook, self._series, is_new_attempt=False)
            endings = _endings_in(event)
            return self._rounds(batch, endings)
        except WanError as error:
            fail(error)
        finally:
            self._hook.close()

    def _rounds(self, batch: Batch, endings: dict[str, Ending] | None = None) -> Any:
        self._batch = batch
        progress = Progress(batch, ShownItems(self._operator, self._context).show)
        if endings is None:
            # Before anything is paid: a place that cannot be written to is better known now.
            progress.tell()
        while True:
            storing = Storing(batch, self._hook.account)
            submitting = Submitting(batch, self._hook, (storing.collect, progress.tick))
            self._take(batch, submitting, endings or {})
            try:
                storing.begin()
                submitting.refill()
                while not storing.is_done_within(1.0):
                    progress.tick()
            finally:
                storing.close()
            progress.tell()
            window = batch.window()
            has_room = len(window) < batch.settings.max_in_flight
            moments = [moment for moment in (submitting.wake_at(has_room), storing.wake_at()) if moment]
            if not window and not moments:
                return self._end(batch)
            endings = self._wait(batch, window, _enough(batch, window, submitting), min(moments, default=None))

    def _take(self, batch: Batch, submitting: Submitting, endings: dict[str, Ending]) -> None:
        known = {key: ending for key, ending in endings.items() if key in batch.items}
        for key, ending in known.items():
            take_ending(batch, batch.items[key], ending)
        submitting.hear({batch.items[key].model for key in known})
        self._ledger.flush()

    # -- items ----------------------------------------------------------------------------------------

    def _read(self, *, is_checking: bool = True) -> Batch:
        """Read the rows, and check them all."""
        operator, account = self._operator, self._hook.account
        settings = settings_of(operator)
        defaults = {"strict": operator.strict, **(operator.defaults or {})}
        names = (account.vendor, account.base_url, account.workspace_id, operator.wan_conn_id)
        rows = read_rows(operator.requests)
        items, warnings = build_items(rows, defaults, self._hook.vendor, names, is_checking=is_checking)
        for warning in warnings[:WARNINGS_SHOWN]:
            self._log.warning("%s", warning)
        return Batch(settings, items, self._ledger, self._log)

    @property
    def _series(self) -> str:
        return str(getattr(self._context["ti"], "max_tries", ""))

    # -- waiting --------------------------------------------------------------------------------------

    def _wait(self, batch: Batch, window: list[WindowItem], enough: int, wake_at: datetime | None) -> dict[str, Ending]:
        settings = batch.settings
        linger = linger_for(len(batch.items))
        if not settings.deferrable:
            return asyncio.run(self._wait_here(settings, window, enough, wake_at, linger))
        return self._defer(settings, window, enough, wake_at, linger)

    def _defer(
        self, settings: BatchSettings, window: list[WindowItem], enough: int, wake_at: datetime | None, linger: float
    ) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanBatchTrigger

        trigger = WanBatchTrigger(
            wan_conn_id=settings.wan_conn_id,
            window=[item.to_list() for item in window],
            enough=enough,
            poll_interval=settings.poll_interval,
            wake_at=wake_at.isoformat() if wake_at else None,
            linger=linger,
            cancel_on_kill=settings.cancel_on_kill,
            cancel_on_timeout=settings.cancel_on_timeout,
            durable=self._ledger.is_durable,
            carry=self._ledger.carry(),
        )
        self._log.info("The worker is free now; %d tasks are waited for", len(window))
        self._operator.defer(trigger=trigger, method_name="execute_round", timeout=settings.timeout + BACKSTOP)

    async def _wait_here(
        self, settings: BatchSettings, window: list[WindowItem], enough: int, wake_at: datetime | None, linger: float
    ) -> dict[str, Ending]:
        endings = await self._hook.await_some(window, settings.poll_interval, enough, wake_at, linger)
        if settings.cancel_on_timeout:
            await cancel_overdue(self._hook, window, endings)
        return endings

    def on_kill(self) -> None:
        """Cancel what is queued when the worker is killed; the rest is adopted by the next attempt."""
        batch = self._batch
        if batch is None or not batch.settings.cancel_on_kill:
            return
        handles = [waited.handle for waited in batch.window()]
        cancelled = cancel_before_exit(WanHook(batch.settings.wan_conn_id), handles)
        self._log.info(
            "%d of %d tasks were cancelled while queued (not billed); the others may run on and be billed, and stay "
            "recorded",
            cancelled,
            len(handles),
        )

    # -- the end --------------------------------------------------------------------------------------

    def _end(self, batch: Batch) -> dict[str, Any]:
        summary = summary_of(batch)
        error = verdict(batch, summary)
        if error is not None:
            self._context["ti"].xcom_push(key="return_value", value=summary)
            fail(error)
        return summary


def _enough(batch: Batch, window: list[WindowItem], submitting: Submitting) -> int:
    """Refill often while there is something to refill with; else wait for the rest together."""
    if not submitting.is_more():
        return max(1, len(window))
    return max(1, int(min(len(window), batch.settings.max_in_flight) * REFILL_FRACTION))


def _endings_in(event: dict[str, Any]) -> dict[str, Ending]:
    try:
        return {key: Ending.from_event(ending) for key, ending in (event.get("endings") or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise WanError(
        "The trigger's event is not understood; the tasks stay recorded and the next attempt adopts them",
        retryable=True,
    )
