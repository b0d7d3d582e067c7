"""Fills the window: submits what there is room for, at the pace of each account, and recovers lost answers.

An item whose answer was lost holds up nobody but its twins: the triggerer looks for its task, beside the waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_wan.batch.accounts import BatchAccounts
from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.item_ledger import ledger_of
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.pauses import Pauses
from airflow_provider_wan.batch.records import ItemRecord, Stop
from airflow_provider_wan.batch.storing import Storing
from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanRequestError,
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
    LedgerError,
    Obtained,
    PaidCall,
    Policies,
    SubmissionHeld,
)
from airflow_provider_wan.hooks.account import with_account
from airflow_provider_wan.telemetry import metrics

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
        accounts: BatchAccounts,
        meanwhile: Sequence[Callable[[], None]] = (),
        clues: Mapping[str, Clue] | None = None,
        storing: Storing | None = None,
    ) -> None:
        self._batch = batch
        self._accounts = accounts
        self._times = batch.settings.times
        self._meanwhile = meanwhile
        self._clues = dict(clues or {})
        self._storing = storing
        self._sought: dict[str, Sought] = {}
        self.pauses = Pauses(batch, accounts)
        self._doubted: set[tuple[str, str, str | None]] = set()
        self._refused: dict[str, dict[str, WanError]] = {}
        """By item and connection, what was said of the request itself."""
        self._in_flight: Counter[str] = Counter()
        self._passed_over: set[str] | None = None

    def refill(self) -> None:
        """Take what is known of lost answers, then submit up to the window.

        :raises LedgerError: when the ledger could not be written; nothing is submitted unrecorded.
        """
        self.pauses.begin_round()
        self._batch.stop_if_overdue()
        entries = list(self._batch)
        doubtful = [item for item, entry in entries if entry.is_in_doubt]
        self._doubted = {self._looks_of(item, self._name_of(item)) for item in doubtful}
        for item in doubtful:
            # Another worker may have been the one that met the trouble.
            self._accounts.pace(self._name_of(item)).is_shaken = True
        for item in doubtful:
            if self._is_due(item) and self._may_ask_again(item):
                self._obtain(item, self._name_of(item))
        if self._is_storage_in_trouble:
            return
        in_flight, in_doubt = self._batch.under_way
        self._in_flight = Counter(self._name_of(item) for item, entry in self._batch if entry.is_in_flight)
        for item, entry in entries:
            if self._room(in_flight, in_doubt) <= 0 or self._batch.is_stopped:
                return
            if not self._accounts.has_room(self._in_flight):
                return
            if not (entry.is_open and self._is_due(item)):
                continue
            # An account that refuses hands the item to the next.
            while self._batch.entry(item).is_open and self._is_due(item) and not self._batch.is_stopped:
                name = self._choose(item)
                if name is None:
                    break
                self._obtain(item, name)
                now_known = self._batch.entry(item)
                in_flight, in_doubt = in_flight + now_known.is_in_flight, in_doubt + now_known.is_in_doubt
                self._in_flight[name] += now_known.is_in_flight
                self._batch.stop_if_overdue()
                if not self._accounts.is_choice:
                    break

    def _choose(self, item: Item) -> str | None:
        """Return the account that is given an item now, ``None`` when there is none for the moment."""
        excluded: dict[str, str] = {}
        for name in self._accounts.of_item(item):
            if self._accounts.is_choice and not self._accounts.may_express(name, item):
                continue
            if not self.pauses.may_submit(item, name):
                excluded[name] = "it pauses"
            elif self._has_doubted_twin(item, name):
                excluded[name] = "a lost submission there may be of the same prompt"
        refused = self._refused.get(item.key, {})
        excluded_too = excluded | dict.fromkeys(refused, "it refused the request")
        choice = self._accounts.choose(item, self._in_flight, excluded_too)
        left = [name for name in self._accounts.of_item(item) if self._accounts.may_express(name, item)]
        if choice.name is None and left and all(name in refused or self._accounts.is_dead(name) for name in left):
            why = f"No account that can take it is left: {self._accounts.described()}"
            self._batch.give_up(item, list(refused.values())[-1] if refused else WanBillingError(why))
        if self._accounts.is_choice and choice.name and choice.passed_over.keys() != self._passed_over:
            self._passed_over = set(choice.passed_over)
            self._batch.log.info("Row %s and others like it: %s", item.id, choice)
        return choice.name

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
            SearchItem(
                key,
                replace(sought, not_ours=others),
                self._search_deadline(self._batch.ledger.get(key)),
                self._account_of(key),
            )
            for key, sought in self._sought.items()
        ]

    def _account_of(self, key: str) -> str | None:
        record = self._batch.ledger.get(key).record
        return record.wan_conn_id if record else None

    def wake_at(self) -> datetime | None:
        """Return the moment at which something can be submitted or asked again, if only time is in the way."""
        soonest = utc_now() + timedelta(seconds=self._times.soonest)
        may_submit = self._room(*self._batch.under_way) > 0 and not self._batch.is_stopped
        may_submit = may_submit and not self._is_storage_in_trouble
        moments = []
        in_flight = Counter(self._name_of(item) for item, entry in self._batch if entry.is_in_flight)
        may_submit = may_submit and self._accounts.has_room(in_flight)
        for item, entry in self._batch:
            if entry.is_in_doubt and item.key not in self._sought:
                pauses = self.pauses.of(item, self._name_of(item))
                ends = [] if self._batch.is_stopped else [backoff.until for backoff in pauses]
                moments.append(max(soonest, entry.again_at or soonest, *ends))
            elif entry.is_open and may_submit:
                names = self._accounts.of_item(item)
                found = [moment for name in names if (moment := self._moment(item, name, in_flight))]
                if found:
                    moments.append(max(soonest, entry.again_at or soonest, min(found)))
        return min(moments, default=None)

    def _moment(self, item: Item, name: str, in_flight: Counter[str]) -> datetime | None:
        """Return from when on an account may be sent an item, ``None`` when not time alone is in the way."""
        is_out = self._accounts.is_choice and (
            not self._accounts.may_express(name, item) or in_flight[name] >= self._accounts.window(name)
        )
        if is_out or self._has_doubted_twin(item, name) or name in self._refused.get(item.key, {}):
            return None
        again_at = self._accounts.again_at(name)
        return max(utc_now(), again_at or utc_now(), *(backoff.until for backoff in self.pauses.of(item, name)))

    def is_more(self) -> bool:
        """Whether there is anything left to submit."""
        return not self._batch.is_stopped and any(entry.is_open for _, entry in self._batch)

    # -- one item -------------------------------------------------------------------------------------

    def _obtain(self, item: Item, name: str) -> None:
        batch, was_in_doubt = self._batch, self._batch.entry(item).is_in_doubt
        try:
            attempt = self._attempt(item, name, is_held=was_in_doubt and self._is_held(item, name))
        except WanRequestError as error:
            batch.give_up(item, error, TaskStatus.UNKNOWN if was_in_doubt else TaskStatus.FAILED)
            return
        if not was_in_doubt or attempt.clue is not None or not self._accounts.vendor(name).list_tells_time:
            self._accounts.keep_pace(name)
        try:
            obtained = attempt.obtain()
        except LedgerError:
            raise
        except SubmissionHeld:
            self._hold(item, attempt)
        except (WanQuotaError, WanTransportError) as error:
            self._accounts.refused(name, error, self._in_flight[name])
            self.pauses.begin(item, name, error)
        except (WanAuthError, WanBillingError) as error:
            self._died(item, name, error)
        except WanSubmissionUnknown as error:
            self._accounts.pace(name).is_shaken = True
            batch.give_up(item, error, TaskStatus.UNKNOWN)
        except WanRequestError as error:
            self._refused.setdefault(item.key, {})[name] = error
            if was_in_doubt or not self._accounts.is_choice:
                self._give_up(item, error)
        except WanError as error:
            self._give_up(item, error)
        else:
            if isinstance(obtained, Obtained):
                metrics.obtained(obtained.handle, is_adopted=obtained.is_adopted, is_recovered=obtained.is_recovered)
            self._go_on(item, name, obtained if isinstance(obtained, ComeBack) else None)
        if not batch.entry(item).is_in_doubt:
            self._doubted.discard(self._looks_of(item, name))
        for work in self._meanwhile:
            work()

    def _give_up(self, item: Item, error: WanError) -> None:
        """Give an item up; while its submission is in doubt, no refusal of anything else says that it made no task."""
        is_in_doubt = self._batch.entry(item).is_in_doubt
        self._batch.give_up(item, error, TaskStatus.UNKNOWN if is_in_doubt else TaskStatus.FAILED)

    def _died(self, item: Item, name: str, error: WanError) -> None:
        """Leave an account alone that cannot be paid with; its items go to the others, while there are any."""
        if isinstance(error, WanAuthError):
            error = with_account(error, name, self._accounts.account(name))
        self._accounts.refused(name, error, self._in_flight[name])
        if self._accounts.is_choice and self._batch.entry(item).is_in_doubt:
            # What is lost there can only be found there.
            self._batch.change(item, again_at=utc_now() + timedelta(seconds=self._times.longest_pause))
        if not self._accounts.is_choice:
            self._batch.stop(Stop(message=str(error)))
        elif not self._accounts.is_any_left():
            self._batch.stop(Stop(message=f"no account is left: {self._accounts.described()}"))
        else:
            self._batch.log.warning("Account %s is given nothing more for now, the others go on: %s", name, error)
            self._batch.ledger.keep_head()

    def _is_held(self, item: Item, name: str) -> bool:
        """Whether nothing may be submitted on its account in the place of a lost submission that made no task.

        Once that is known, the item is as open as any other, and may go elsewhere.
        """
        return not self.pauses.may_submit(item, name) or self._accounts.again_at(name) is not None

    def _go_on(self, item: Item, name: str, come_back: ComeBack | None) -> None:
        batch = self._batch
        if come_back is None:
            self._accounts.pace(name).is_shaken = False
            self._accounts.took(name)
            self.pauses.shorten(item, name)
            batch.change(item, again_at=None, looking_since=None)
            return
        self._doubted.add(self._looks_of(item, name))
        entry, now = batch.entry(item), utc_now()
        if entry.looking_since is None:
            self._accounts.pace(name).is_shaken = True
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
            pauses = self.pauses.of(item, self._name_of(item))
            until = max((backoff.until for backoff in pauses), default=utc_now())
            self._batch.change(item, again_at=until)

    def _attempt(self, item: Item, name: str, *, is_held: bool) -> Attempt:
        batch, settings, pace = self._batch, self._batch.settings, self._accounts.pace(name)
        kind = HeldCall if is_held else PaidCall
        patience = Patience(tries=self._times.submit_tries, throttled=self._times.throttled)
        if self._accounts.is_choice:
            # One that is throttled holds up the others no longer than its answer takes.
            patience = replace(patience, throttled=0.0)
        return Attempt(
            call=kind(
                client=self._accounts.client(name),
                ledger=ledger_of(batch.ledger, item.key),
                request=item.request.for_vendor(self._accounts.account(name).vendor),
                account_name=name,
                patience=patience,
                asks_first=pace.is_shaken,
                is_choice=self._accounts.is_choice,
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
            known=pace.known,
        )

    def _search_deadline(self, entry: ItemRecord) -> datetime:
        """A search gets a little time at least, however little is left of the time-out."""
        now, batch = utc_now(), self._batch
        deadline = (entry.looking_since or now) + batch.settings.timeout
        deadline = max(deadline, now + timedelta(seconds=self._times.shortest_search))
        return min(deadline, batch.ends_at) if batch.ends_at else deadline

    # -- what is in the way ---------------------------------------------------------------------------

    def _name_of(self, item: Item) -> str:
        """Return the account of an item's submission."""
        return self._accounts.of_record(self._batch.entry(item).record)

    def _may_ask_again(self, item: Item) -> bool:
        """Whether a lost submission may be asked for: where that is a repeat with its key, in no pause."""
        name = self._name_of(item)
        try:
            lists = self._accounts.vendor(name).list_tells_time
        except WanRequestError:
            # Said when it is tried.
            return True
        return lists or self._batch.is_stopped or self.pauses.may_submit(item, name)

    def _is_due(self, item: Item) -> bool:
        again_at = self._batch.entry(item).again_at
        return again_at is None or again_at <= utc_now()

    def _has_doubted_twin(self, item: Item, name: str) -> bool:
        """Whether a lost task may be this item's as well, by what a task list shows: then first things first."""
        if not self._doubted or self._looks_of(item, name) not in self._doubted:
            return False
        return not self._accounts.vendor(name).has_idempotency_key

    def _looks_of(self, item: Item, name: str) -> tuple[str, str, str | None]:
        try:
            model = self.pauses.model(item, name)
        except WanRequestError:
            model = item.model
        return (name, model, item.request.prompt)
