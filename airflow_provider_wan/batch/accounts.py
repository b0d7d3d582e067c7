"""The accounts of one batch: which are listed, which each item may go to, and how each is getting on.

Where the batch has one account, all of this is that account. What has to outlive a worker is in the batch's head.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import AccountRecord, BatchRecord, ItemRecord
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import CostEstimate, NoPrice
from airflow_provider_wan.client.errors import Violation, WanError, WanQuotaError, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, with_stand_ins
from airflow_provider_wan.client.routing import AccountState, Candidate, Choice, choose, learn
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Vendor
from airflow_provider_wan.durable import Knowledge, Record
from airflow_provider_wan.hooks.costs import AccountCosts
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.worker.accounts import Accounts
from airflow_provider_wan.worker.known import KnownAccounts
from airflow_provider_wan.worker.ledgers import configured_path

SEVERAL = "*"
"""Stands in place of an account in the keys of a batch that has several: no connection is called so."""


@dataclass
class _Pace:
    """What one worker knows of an account besides what is kept.

    :param next_at: by the monotonic clock: no submission sooner.
    :param is_shaken: an answer was lost and none has come since: the vendor may be in trouble.
    """

    next_at: float = 0.0
    is_shaken: bool = False
    known: Knowledge = field(default_factory=Knowledge)


class BatchAccounts:
    """The accounts of one batch.

    :param head: what is kept of the batch.
    """

    def __init__(self, settings: BatchSettings, head: BatchRecord) -> None:
        self._settings = settings
        self._head = head
        self._known = KnownAccounts(settings.ledger_path or configured_path())
        self._accounts = Accounts(settings.wan_conn_id, self._known)
        self._paces: dict[str, _Pace] = defaultdict(_Pace)
        self._candidates: dict[tuple[str, str], Candidate] = {}
        self._names: list[str] = list(self._accounts.names)
        self._runtimes: dict[str, float] = {}
        self.is_choice = self._accounts.is_choice

    # -- which there are ------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The connections that the batch or one of its rows lists."""
        return tuple(self._names)

    @property
    def listed(self) -> tuple[str, ...]:
        """The connections that the batch lists, in the order given."""
        return self._accounts.names

    def add(self, items: Iterable[Item]) -> None:
        """Take in the connections that rows name."""
        for item in items:
            if item.wan_conn_ids:
                self.is_choice = True
                self._names += [name for name in item.wan_conn_ids if name not in self._names]

    def of_item(self, item: Item) -> tuple[str, ...]:
        """Return the connections that an item may go to."""
        return item.wan_conn_ids or self._accounts.names

    @property
    def default(self) -> str:
        """The connection of what is recorded without one: the batch had only that."""
        former = self._head.account[3] if self._head.account else None
        return former if former and former != SEVERAL else self._accounts.names[0]

    def of_record(self, record: Record | None) -> str:
        """Return the connection that a submission was made on."""
        return self.of_handle(record.handle if record else None, record.wan_conn_id if record else None)

    def of_handle(self, handle: TaskHandle | None, recorded: str | None = None) -> str:
        """Return the connection that a task was made on."""
        return recorded or (handle.wan_conn_id if handle else None) or self.default

    def first_vendor(self) -> Vendor:
        """Return the vendor of the first listed account that is usable.

        :raises WanRequestError: naming what is wrong with each, when none is.
        """
        wrong: list[str] = []
        for name in self.listed:
            try:
                return self.vendor(name)
            except WanRequestError as error:
                wrong.append(error.message)
                if not self.is_choice:
                    raise
        raise WanRequestError("\n".join(["No account of the batch is usable, nothing was submitted:", *wrong]))

    def vendors(self, names: tuple[str, ...]) -> list[Vendor]:
        """Return the vendors of the accounts that a row may go to.

        :raises WanRequestError: as :meth:`accounts`.
        """
        return [vendor_of(account.vendor) for account in self.accounts(names)]

    def accounts(self, names: tuple[str, ...]) -> list[Account]:
        """Return the accounts that a row may go to.

        :param names: the connections that it names for itself, if it does.
        :raises WanRequestError: when none of them is usable.
        """
        found: list[Account] = []
        wrong: list[Violation] = []
        for name in names or self.listed:
            try:
                found.append(self.account(name))
            except WanRequestError as error:
                wrong.append(Violation("wan_conn_id", "is a usable connection", name, error.message, hard=True))
        if not found:
            raise WanRequestError(violations=wrong)
        return found

    def costs_of(self, item: Item, entry: ItemRecord) -> AccountCosts:
        """Return what an item costs at the account of its submission, or before that at its first one."""
        names = self.of_item(item)
        return self.costs(self.of_record(entry.record) if entry.record or not self.is_choice else names[0])

    @property
    def usable(self) -> str:
        """A connection that can be looked up, the default one if it can."""
        for name in (self.default, *self._names):
            try:
                self.account(name)
            except WanRequestError:
                continue
            return name
        return self.default

    # -- one of them ----------------------------------------------------------------------------------

    def hook(self, name: str) -> WanHook:
        """Return the hook of a connection.

        :raises WanRequestError: when there is no such connection, or it is not usable.
        """
        return self._accounts.usable(name)

    def client(self, name: str) -> WanClient:
        """Return the blocking client of a connection."""
        return self.hook(name).get_conn()

    def account(self, name: str) -> Account:
        """Return the account of a connection."""
        return self._accounts.account(name)

    def vendor(self, name: str) -> Vendor:
        """Return the vendor of a connection."""
        return self.hook(name).vendor

    def costs(self, name: str) -> AccountCosts:
        """Return what videos cost on an account."""
        return self.hook(name).costs

    def close(self) -> None:
        """Close the connections of all."""
        self._accounts.close()

    # -- whose turn it is -----------------------------------------------------------------------------

    def choose(self, item: Item, in_flight: Counter[str], excluded: dict[str, str]) -> Choice:
        """Choose the account for an item.

        :param in_flight: by connection, the tasks of the batch that are under way.
        :param excluded: by connection, why it may not be given this item now.
        """
        if not self.is_choice:
            (name,) = self.listed
            is_full = in_flight[name] >= self.window(name)
            return Choice(None if is_full or name in excluded else name)
        now, found = utc_now(), []
        for name in self.of_item(item):
            candidate = self._candidate(name, item)
            if candidate.refusal is None:
                state, room = self.state(name), self.window(name) - in_flight[name]
                died = self._record(name).died and state.is_out(now)
                candidate = replace(
                    candidate,
                    state=state,
                    under_way=in_flight[name],
                    seconds=self._runtimes.get(name, candidate.seconds),
                    has_room=room > 0,
                    refusal=state.described() if died else excluded.get(name),
                )
            found.append(candidate)
        return choose(found, self._settings.route, now, self._settings.prefer)

    def may_express(self, name: str, item: Item) -> bool:
        """Whether an account can take an item at all."""
        return self._candidate(name, item).refusal is None

    def _candidate(self, name: str, item: Item) -> Candidate:
        key = (name, item.key)
        if key not in self._candidates:
            found = self._accounts.candidate(name, item.request, counts_others=False, check=_check)
            is_limited = self._settings.max_cost is not None and self._settings.on_unknown_price == "fail"
            if is_limited and not found.refusal and found.cost is None:
                found = replace(found, refusal="its price is not known, and max_cost is set")
            self._candidates[key] = found
        return self._candidates[key]

    def estimates(self, item: Item) -> Iterator[CostEstimate | NoPrice]:
        """Yield what an item would cost at each account that can take it."""
        for name in self.of_item(item):
            if self.may_express(name, item):
                yield self.costs(name).estimate(item.request.for_vendor(self.account(name).vendor))

    # -- pace and window ------------------------------------------------------------------------------

    def keep_pace(self, name: str) -> None:
        """Wait until an account may be sent another submission."""
        pace = self._paces[name]
        time.sleep(max(0.0, pace.next_at - time.monotonic()))
        pace.next_at = time.monotonic() + 1.0 / self.account(name).submits_per_second

    def window(self, name: str) -> int:
        """Return how many tasks an account may have under way: what it runs and queues, or less where it said so."""
        if not self.is_choice:
            return self._settings.max_in_flight
        most, learnt = self._most(name), self._record(name).window
        return most if learnt is None else min(most, int(learnt))

    def has_room(self, in_flight: Counter[str]) -> bool:
        """Whether any account may be given another task, as far as windows go."""
        return not self.is_choice or any(self._is_open(name, in_flight[name]) for name in self._names)

    def _is_open(self, name: str, under_way: int) -> bool:
        try:
            return self.window(name) > under_way
        except WanRequestError:
            # A connection that is not usable.
            return False

    def ended(self, name: str, count: int) -> None:
        """Take note that tasks of an account have ended: a window that was lowered opens again, little by little."""
        record = self._head.accounts.get(name)
        if record is None or record.window is None:
            return
        with suppress(WanRequestError):
            record.window = learn.after_success(record.window, count, self._most(name))

    def learn_runtimes(self, entries: Iterable[ItemRecord]) -> None:
        """Learn from what has ended how long tasks run on each account."""
        spans: dict[str, list[float]] = defaultdict(list)
        for entry in entries:
            if entry.started_at and entry.finished_at and entry.record:
                seconds = (entry.finished_at - entry.started_at).total_seconds()
                spans[self.of_record(entry.record)].append(max(0.1, seconds))
        if len(spans) > 1:
            recent = {name: found[-20:] for name, found in spans.items()}
            self._runtimes = {name: sum(found) / len(found) for name, found in recent.items()}
            # One that nothing is known of is taken for a usual one.
            usual = sum(self._runtimes.values()) / len(self._runtimes)
            self._runtimes |= {name: usual for name in self.names if name not in self._runtimes}

    def _most(self, name: str) -> int:
        account = self.account(name)
        return account.running_limit + account.queue_limit

    # -- how each is getting on -----------------------------------------------------------------------

    def pace(self, name: str) -> _Pace:
        """Return what this worker knows of an account."""
        return self._paces[name]

    def state(self, name: str) -> AccountState:
        """Return what keeps an account from being asked: its key or its money, or what another worker met there.

        What it answered this batch itself when it was throttled or out of reach is in the batch's pauses.
        """
        own = AccountState.of(self._record(name).state or {})
        if own.is_out(utc_now()) and self._record(name).died:
            return own
        found = self._known.state_of(self.account(name))
        return AccountState() if found == own else found

    def refused(self, name: str, error: WanError, in_flight: int) -> None:
        """Take what an account answered in place of a task."""
        if not self.is_choice:
            return
        record, state = self._record(name), self._known.note(self.account(name), error)
        record.state = state.to_dict()
        record.died = state.trouble is not None and not state.trouble.may_pass
        if isinstance(error, WanQuotaError) and learn.is_too_many(error):
            record.window = learn.after_refusal(in_flight)

    def took(self, name: str) -> None:
        """Take note that an account made a task."""
        if self.is_choice:
            record = self._record(name)
            record.state, record.died = None, False
            self._known.note(self.account(name), None)

    def begin_anew(self) -> None:
        """Ask all again: a new attempt may find them mended. What they take at once is still known."""
        for record in self._head.accounts.values():
            record.state, record.died = None, False

    def is_any_left(self) -> bool:
        """Whether there is an account that time or nothing at all is needed for."""
        return any(not self.is_dead(name) for name in self._names)

    def is_dead(self, name: str) -> bool:
        """Whether a person has to mend an account before it can be paid with: its key, its money, its connection."""
        if not self.is_choice:
            return False
        try:
            self.account(name)
        except WanRequestError:
            return True
        return self._record(name).died

    def again_at(self, name: str) -> datetime | None:
        """Return the moment to which an account is left alone, if it is."""
        if not self.is_choice:
            return None
        state = self.state(name)
        return state.until if state.is_out(utc_now()) else None

    def _record(self, name: str) -> AccountRecord:
        return self._head.accounts.setdefault(name, AccountRecord())

    def described(self) -> str:
        """Say of each account that is out of order why."""
        now = utc_now()
        states = {name: AccountState.of(self._record(name).state or {}) for name in self._names}
        return "; ".join(f"{name}: {state.described()}" for name, state in states.items() if state.is_out(now))


def _check(request: VideoRequest, account: Account) -> None:
    """Check what a vendor can express; media were looked at when the attempt began."""
    vendor_of(account.vendor).check(with_stand_ins(request))
