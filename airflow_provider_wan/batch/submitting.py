"""Fills the window: submits what there is room for, at the account's pace, and recovers lost answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import Backoff, Stop
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.tasks import TaskStatus, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import Attempt, ComeBack, Knowledge, LedgerError, PaidCall, Policies, Timing
from airflow_provider_wan.hooks.wan import WanHook

SUBMIT_PATIENCE = Patience(throttled=5.0)
PAUSE_SECONDS = 30.0
LONGEST_PAUSE = 300.0
SOONEST = 1.0
EVERYTHING = "*"
TIMING = Timing()
"""How lost answers are looked for."""


class Submitting:
    """Submits the items of one batch; one round of it holds a worker.

    :param meanwhile: called between two submissions: others have small things to do.
    """

    def __init__(self, batch: Batch, hook: WanHook, meanwhile: Sequence[Callable[[], None]] = ()) -> None:
        self._batch = batch
        self._hook = hook
        self._meanwhile = meanwhile
        self._next_at = 0.0
        self._eased: set[str] = set()
        self._doubted: set[tuple[str, str | None]] = set()
        self._known = Knowledge()
        self._is_shaken = False
        """An answer was lost and none has come since: the vendor may be in trouble."""

    def refill(self) -> None:
        """Look for lost answers that are due, then submit up to the window.

        :raises LedgerError: when the ledger could not be written; nothing is submitted unrecorded.
        """
        self._eased.clear()
        entries = list(self._batch)
        doubtful = [item for item, entry in entries if entry.is_in_doubt]
        self._doubted = {_looks_of(item) for item in doubtful}
        for item in doubtful:
            if self._is_due(item) and self._may_submit(item):
                self._obtain(item)
        room = self._batch.settings.max_in_flight - sum(entry.is_in_flight or entry.is_in_doubt for _, entry in entries)
        for item, entry in entries:
            if room <= 0 or self._batch.is_stopped:
                return
            if entry.is_open and self._is_due(item) and self._may_submit(item) and not self._has_doubted_twin(item):
                self._obtain(item)
                now_known = self._batch.entry(item)
                room -= now_known.is_in_flight or now_known.is_in_doubt

    def wake_at(self, has_room: bool) -> datetime | None:
        """Return the moment at which something can be submitted or looked for again, if only time is in the way."""
        if self._batch.is_stopped:
            return None
        soonest = utc_now() + timedelta(seconds=SOONEST)
        moments = []
        for item, entry in self._batch:
            if entry.is_in_doubt or (entry.is_open and has_room and not self._has_doubted_twin(item)):
                reasons = [entry.again_at or soonest, *(backoff.until for backoff in self._pauses_of(item))]
                moments.append(max(soonest, *reasons))
        return min(moments, default=None)

    def is_more(self) -> bool:
        """Whether there is anything left to submit."""
        return not self._batch.is_stopped and any(entry.is_open for _, entry in self._batch)

    def hear(self, models: set[str]) -> None:
        """Take note that tasks of some models have ended: a queue that was full has room again."""
        for model in models & self._pauses.keys():
            self._pauses[model].until = min(self._pauses[model].until, utc_now())

    # -- one item -------------------------------------------------------------------------------------

    def _obtain(self, item: Item) -> None:
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + 1.0 / self._hook.account.submits_per_second
        batch = self._batch
        try:
            obtained = self._attempt(item).obtain()
        except LedgerError:
            raise
        except (WanQuotaError, WanTransportError) as error:
            self._pause(item, error)
        except (WanAuthError, WanBillingError) as error:
            batch.stop(Stop(message=str(error)))
        except WanSubmissionUnknown as error:
            self._is_shaken = True
            batch.give_up(item, error, TaskStatus.UNKNOWN)
        except WanError as error:
            batch.give_up(item, error)
        else:
            self._go_on(item, obtained if isinstance(obtained, ComeBack) else None)
        if not batch.entry(item).is_in_doubt:
            self._doubted.discard(_looks_of(item))
        for work in self._meanwhile:
            work()

    def _go_on(self, item: Item, come_back: ComeBack | None) -> None:
        self._is_shaken = come_back is not None
        if come_back is None:
            self._ease(item)
            self._batch.change(item, again_at=None, looking_since=None)
            return
        self._doubted.add(_looks_of(item))
        self._batch.log.info("Row %s: %s. The others go on", item.id, come_back.why)
        since = self._batch.entry(item).looking_since or utc_now()
        again_at = utc_now() + timedelta(seconds=come_back.seconds)
        self._batch.change(item, again_at=again_at, looking_since=since)

    def _attempt(self, item: Item) -> Attempt:
        batch, settings = self._batch, self._batch.settings
        return Attempt(
            call=PaidCall(
                client=self._hook.get_conn(),
                ledger=batch.ledger.of_item(item.key),
                request=item.request,
                account_name=settings.wan_conn_id,
                patience=SUBMIT_PATIENCE,
                asks_first=self._is_shaken,
                log=batch.log,
            ),
            policies=Policies(on_unknown_submission=settings.on_unknown_submission),
            give_up=settings.timeout,
            since=batch.entry(item).looking_since or utc_now(),
            timing=TIMING,
            others=batch.ledger.task_ids,
            known=self._known,
        )

    # -- what is in the way ---------------------------------------------------------------------------

    @property
    def _pauses(self) -> dict[str, Backoff]:
        return self._batch.ledger.head.pauses

    def _pauses_of(self, item: Item) -> list[Backoff]:
        return [backoff for model in (item.model, EVERYTHING) if (backoff := self._pauses.get(model))]

    def _pause(self, item: Item, error: WanError) -> None:
        """Leave a vendor that is throttled alone, longer each time: a full queue takes a while to run dry.

        The vendors count by model; one that cannot be reached is so for all.
        """
        model = item.model if isinstance(error, WanQuotaError) else EVERYTHING
        now, last = utc_now(), self._pauses.get(model)
        seconds = min(LONGEST_PAUSE, 2 * last.seconds) if last else PAUSE_SECONDS
        until = now + timedelta(seconds=max(seconds, error.retry_after or 0.0))
        since = last.since if last else now
        self._pauses[model] = Backoff(until=until, seconds=seconds, since=since)
        self._batch.ledger.keep_head()
        self._batch.log.info("Submitting%s pauses: %s", "" if model == EVERYTHING else f" to {model}", error)
        if now - since > self._batch.settings.timeout:
            why = f"nothing could be submitted since {since:%H:%M} UTC: {error}"
            self._batch.stop(Stop(message=why, retryable=True))

    def _ease(self, item: Item) -> None:
        """Take note of a success: once a round, so that a queue that keeps filling up is not tried all the time."""
        for model in {item.model, EVERYTHING} & self._pauses.keys() - self._eased:
            self._eased.add(model)
            backoff, now = self._pauses.pop(model), utc_now()
            if backoff.seconds / 2 >= PAUSE_SECONDS:
                self._pauses[model] = Backoff(until=now, seconds=backoff.seconds / 2, since=now)

    def _may_submit(self, item: Item) -> bool:
        now = utc_now()
        return not self._batch.is_stopped and all(backoff.until <= now for backoff in self._pauses_of(item))

    def _is_due(self, item: Item) -> bool:
        again_at = self._batch.entry(item).again_at
        return again_at is None or again_at <= utc_now()

    def _has_doubted_twin(self, item: Item) -> bool:
        """Whether a lost task may be this item's as well, by what a task list tells: then first things first."""
        return not self._hook.vendor.has_idempotency_key and _looks_of(item) in self._doubted


def _looks_of(item: Item) -> tuple[str, str | None]:
    return (item.model, item.request.prompt)
