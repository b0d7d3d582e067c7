"""Fills the window: submits what there is room for, at the account's pace, and recovers lost answers.

An item whose answer was lost holds up nobody but its twins: the triggerer looks for its task, beside the waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.item_ledger import ledger_of
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import Backoff, ItemRecord, Stop
from airflow_provider_wan.batch.storing import Storing
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.polling.window import SearchItem
from airflow_provider_wan.client.recovery.search import Sought
from airflow_provider_wan.client.tasks import TaskStatus, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import (
    Attempt,
    Clue,
    ComeBack,
    HeldCall,
    Knowledge,
    LedgerError,
    Obtained,
    PaidCall,
    Policies,
    SubmissionHeld,
)
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.telemetry import metrics

EVERYTHING = "*"
CLOCK_DOUBT = timedelta(hours=1)
"""Tasks that are older than a lost submission by more than this are not taken for it, whatever the clocks."""


class Submitting:
    """Submits the items of one batch; one round of it holds a worker.

    :param meanwhile: called between two submissions: others have small things to do.
    :param clues: by item, what searches for lost submissions came to.
    :param storing: while that is in trouble, nothing more is submitted.
    """

    def __init__(
        self,
        batch: Batch,
        hook: WanHook,
        meanwhile: Sequence[Callable[[], None]] = (),
        clues: Mapping[str, Clue] | None = None,
        storing: Storing | None = None,
    ) -> None:
        self._batch = batch
        self._hook = hook
        self._times = batch.settings.times
        self._meanwhile = meanwhile
        self._clues = dict(clues or {})
        self._storing = storing
        self._sought: dict[str, Sought] = {}
        self._next_at = 0.0
        self._shortened: set[str] = set()
        self._doubted: set[tuple[str, str | None]] = set()
        self._known = Knowledge()
        self._is_shaken = False
        """An answer was lost and none has come since: the vendor may be in trouble."""

    def refill(self) -> None:
        """Take what is known of lost answers, then submit up to the window.

        :raises LedgerError: when the ledger could not be written; nothing is submitted unrecorded.
        """
        self._shortened.clear()
        self._batch.stop_if_overdue()
        entries = list(self._batch)
        doubtful = [item for item, entry in entries if entry.is_in_doubt]
        self._doubted = {_looks_of(item) for item in doubtful}
        # Another worker may have been the one that met the trouble.
        self._is_shaken = self._is_shaken or bool(doubtful)
        for item in doubtful:
            if self._is_due(item) and self._may_ask_again(item):
                self._obtain(item)
        if self._is_storage_in_trouble:
            return
        in_flight, in_doubt = self._batch.under_way
        for item, entry in entries:
            if self._room(in_flight, in_doubt) <= 0 or self._batch.is_stopped:
                return
            if entry.is_open and self._is_due(item) and self._may_submit(item) and not self._has_doubted_twin(item):
                self._obtain(item)
                now_known = self._batch.entry(item)
                in_flight, in_doubt = in_flight + now_known.is_in_flight, in_doubt + now_known.is_in_doubt
                self._batch.stop_if_overdue()

    @property
    def _is_storage_in_trouble(self) -> bool:
        return self._storing is not None and self._storing.is_in_trouble

    def _room(self, in_flight: int, in_doubt: int) -> int:
        """Return how many may be submitted; lost ones count only where they are many, for they may all have failed."""
        most = self._batch.settings.max_in_flight
        return most - in_flight - max(0, in_doubt - most)

    @property
    def searches(self) -> list[SearchItem]:
        """The lost submissions that are to be looked for beside the waits."""
        if not self._sought:
            return []
        oldest = min(sought.intent_at for sought in self._sought.values())
        others = self._batch.task_ids_since(oldest - CLOCK_DOUBT)
        return [
            SearchItem(key, replace(sought, not_ours=others), self._search_deadline(self._batch.ledger.get(key)))
            for key, sought in self._sought.items()
        ]

    def wake_at(self) -> datetime | None:
        """Return the moment at which something can be submitted or asked again, if only time is in the way."""
        soonest = utc_now() + timedelta(seconds=self._times.soonest)
        may_submit = self._room(*self._batch.under_way) > 0 and not self._batch.is_stopped
        may_submit = may_submit and not self._is_storage_in_trouble
        moments = []
        for item, entry in self._batch:
            if entry.is_in_doubt and item.key not in self._sought:
                pauses = [] if self._batch.is_stopped else [backoff.until for backoff in self._pauses_of(item)]
                moments.append(max(soonest, entry.again_at or soonest, *pauses))
            elif entry.is_open and may_submit and not self._has_doubted_twin(item):
                reasons = [entry.again_at or soonest, *(backoff.until for backoff in self._pauses_of(item))]
                moments.append(max(soonest, *reasons))
        return min(moments, default=None)

    def is_more(self) -> bool:
        """Whether there is anything left to submit."""
        return not self._batch.is_stopped and any(entry.is_open for _, entry in self._batch)

    def end_pauses(self, models: set[str]) -> None:
        """Take note that tasks of some models have ended: a queue that was full has room again."""
        for model in models & self._pauses.keys():
            self._pauses[model].until = min(self._pauses[model].until, utc_now())

    # -- one item -------------------------------------------------------------------------------------

    def _obtain(self, item: Item) -> None:
        batch, was_in_doubt = self._batch, self._batch.entry(item).is_in_doubt
        attempt = self._attempt(item, is_held=was_in_doubt and not self._may_submit(item))
        if not was_in_doubt or attempt.clue is not None or not self._hook.vendor.list_tells_time:
            self._keep_pace()
        try:
            obtained = attempt.obtain()
        except LedgerError:
            raise
        except SubmissionHeld:
            self._hold(item, attempt)
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
            if isinstance(obtained, Obtained):
                metrics.obtained(obtained.handle, is_adopted=obtained.is_adopted, is_recovered=obtained.is_recovered)
            self._go_on(item, obtained if isinstance(obtained, ComeBack) else None)
        if not batch.entry(item).is_in_doubt:
            self._doubted.discard(_looks_of(item))
        for work in self._meanwhile:
            work()

    def _keep_pace(self) -> None:
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + 1.0 / self._hook.account.submits_per_second

    def _go_on(self, item: Item, come_back: ComeBack | None) -> None:
        batch = self._batch
        if come_back is None:
            self._is_shaken = False
            self._shorten_pauses(item)
            batch.change(item, again_at=None, looking_since=None)
            return
        self._doubted.add(_looks_of(item))
        entry, now = batch.entry(item), utc_now()
        if entry.looking_since is None:
            self._is_shaken = True
            batch.log.info("Row %s: %s. The others go on", item.id, come_back.why)
        since = entry.looking_since or now
        again_at = None
        if come_back.sought is not None:
            self._sought[item.key] = come_back.sought
        else:
            # Each further look needs a worker: they become rarer.
            longer = min((now - since).total_seconds() / 2, self._times.longest_pause)
            again_at = now + timedelta(seconds=max(come_back.seconds, longer))
        batch.change(item, again_at=again_at, looking_since=since)

    def _hold(self, item: Item, attempt: Attempt) -> None:
        """Keep what is known of a lost submission where nothing may be submitted now."""
        entry = self._batch.entry(item)
        if attempt.policies.on_unknown_submission == "fail":
            self._batch.log.info("Row %s: its lost submission made no task; it is as if it had not been sent", item.id)
            self._batch.ledger.put(item.key, entry.left_behind(entry.tries))
        else:
            # It may be that it is only not known; that is asked again once something may be submitted.
            until = max((backoff.until for backoff in self._pauses_of(item)), default=utc_now())
            self._batch.change(item, again_at=until)

    def _attempt(self, item: Item, *, is_held: bool) -> Attempt:
        batch, settings = self._batch, self._batch.settings
        kind = HeldCall if is_held else PaidCall
        return Attempt(
            call=kind(
                client=self._hook.get_conn(),
                ledger=ledger_of(batch.ledger, item.key),
                request=item.request,
                account_name=settings.wan_conn_id,
                patience=Patience(tries=self._times.submit_tries, throttled=self._times.throttled),
                asks_first=self._is_shaken,
                reach=batch.reach,
                log=batch.log,
            ),
            policies=Policies(on_unknown_submission="fail" if batch.is_stopped else settings.on_unknown_submission),
            give_up=settings.timeout,
            since=batch.entry(item).looking_since or utc_now(),
            timing=self._times.search,
            others=batch.ledger.task_ids,
            owner=batch.owner,
            can_search_elsewhere=True,
            clue=self._clues.pop(item.key, None),
            known=self._known,
        )

    def _search_deadline(self, entry: ItemRecord) -> datetime:
        """A search gets a little time at least, however little is left of the time-out."""
        now, batch = utc_now(), self._batch
        deadline = (entry.looking_since or now) + batch.settings.timeout
        deadline = max(deadline, now + timedelta(seconds=self._times.shortest_search))
        return min(deadline, batch.ends_at) if batch.ends_at else deadline

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
        seconds = min(self._times.longest_pause, 2 * last.seconds) if last else self._times.pause
        until = now + timedelta(seconds=max(seconds, error.retry_after or 0.0))
        since = last.since if last else now
        self._pauses[model] = Backoff(until=until, seconds=seconds, since=since)
        if self._batch.entry(item).is_in_doubt:
            self._batch.change(item, again_at=until)
        self._batch.ledger.keep_head()
        self._batch.log.info("Submitting%s pauses: %s", "" if model == EVERYTHING else f" to {model}", error)
        if now - since > self._batch.settings.timeout:
            why = f"nothing could be submitted since {since:%H:%M} UTC: {error}"
            self._batch.stop(Stop(message=why, retryable=True))

    def _shorten_pauses(self, item: Item) -> None:
        """Take note of a success: once a round, so that a queue that keeps filling up is not tried all the time."""
        for model in {item.model, EVERYTHING} & self._pauses.keys() - self._shortened:
            self._shortened.add(model)
            backoff, now = self._pauses.pop(model), utc_now()
            if backoff.seconds / 2 >= self._times.pause:
                self._pauses[model] = Backoff(until=now, seconds=backoff.seconds / 2, since=now)

    def _may_submit(self, item: Item) -> bool:
        now = utc_now()
        return not self._batch.is_stopped and all(backoff.until <= now for backoff in self._pauses_of(item))

    def _may_ask_again(self, item: Item) -> bool:
        """Whether a lost submission may be asked for: where that is a repeat with its key, in no pause."""
        return self._hook.vendor.list_tells_time or self._batch.is_stopped or self._may_submit(item)

    def _is_due(self, item: Item) -> bool:
        again_at = self._batch.entry(item).again_at
        return again_at is None or again_at <= utc_now()

    def _has_doubted_twin(self, item: Item) -> bool:
        """Whether a lost task may be this item's as well, by what a task list shows: then first things first."""
        return not self._hook.vendor.has_idempotency_key and _looks_of(item) in self._doubted


def _looks_of(item: Item) -> tuple[str, str | None]:
    return (item.model, item.request.prompt)
