"""What became of a submission whose answer was lost: found, repeated with its key, proven absent, or in doubt.

Nothing is submitted here that might make a second task; what follows is decided in ``attempt``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanRequestError,
    WanSubmissionUnknown,
    WanTransportError,
)
from airflow_provider_wan.client.recovery.search import Clue, Sought, Timing, timing_in_force
from airflow_provider_wan.client.recovery.traits import model_sent, shows_all, traits_asked
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.durable.ledger import LedgerError, Record
from airflow_provider_wan.durable.lookup import Found, Knowledge, Whose, confirm, search
from airflow_provider_wan.durable.paid_call import Obtained, PaidCall

MOST_LOSSES = 5
"""Lost submissions in a row after which an attempt leaves it to Airflow's retries."""

MOST_REPEATS = 3
"""How often one intent is sent again with its key: a host that does not heed the key makes a task each time."""

MOST_REPEATS_TRUSTED = 12
"""The same at a host that has shown that it heeds keys."""

SOON = 2.0
"""Seconds after which what another worker, or a second sending, has come to is known."""

_REFUSED_REPEAT = (
    "The answer to the submission of {:%Y-%m-%d %H:%M:%S} UTC was lost, and its repeat with the same idempotency key "
    "was refused ({}), which says nothing of the first sending"
)


@dataclass(frozen=True)
class ComeBack:
    """Nothing can be decided yet; ask again in some seconds, or with the clue of a search.

    :param sought: what has to be looked for first, where the caller can have that done elsewhere.
    """

    seconds: float
    why: str
    sought: Sought | None = None


@dataclass(frozen=True)
class NoTask:
    """It is proven that the lost submission made none.

    :param losses: so many were lost in a row.
    """

    losses: int


@dataclass(frozen=True)
class Doubt:
    """It cannot be known whether there is a task."""

    why: str
    error: WanError | None = None


@dataclass
class Recovery:
    """Looks for the task of one lost submission; see :class:`~airflow_provider_wan.durable.attempt.Attempt`.

    :param give_up: how long, from ``since``, it may go on looking.
    :param since: when that began; the moment of the intent when not given.
    :param timing: how far the vendor's task list is trusted.
    :param others: ids of tasks that are known to belong to other requests.
    :param owner: names this task instance among those whose tasks the searching side knows.
    :param can_search_elsewhere: the caller can have the task list searched (by a trigger) and come back with a clue.
    :param known: what searches before came to know of the account's tasks.
    """

    call: PaidCall
    give_up: timedelta
    since: datetime | None = None
    timing: Timing = field(default_factory=timing_in_force)
    others: Collection[str] = ()
    owner: str = ""
    can_search_elsewhere: bool = False
    known: Knowledge = field(default_factory=Knowledge)

    def __post_init__(self) -> None:
        call = self.call
        self.client, self.ledger, self.request = call.client, call.ledger, call.request
        self.times, self.log = call.times, call.log

    def recover(
        self, record: Record, lost: WanSubmissionUnknown | None = None, clue: Clue | None = None
    ) -> Obtained | ComeBack | NoTask | Doubt:
        """Find out whether a submission made a task.

        :param lost: the failure, where it was lost just now.
        :param clue: what a search elsewhere came to.
        :raises LedgerError: when what was found cannot be recorded.
        :raises WanError: when the vendor refused, or lost too many in a row.
        """
        vendor, age = self.client.vendor, utc_now() - record.intent_at
        if vendor.list_tells_time and age < self.times.list_lifetime:
            return self._search(record, clue)
        if lost is None and self._may_be_under_way(record) and self._may_come_back(record, self.timing.look_again):
            return ComeBack(
                self._pause_for_another(record),
                "Another worker may be submitting just now: what it records is waited for",
            )
        if record.idempotency_key and vendor.has_idempotency_key and age < self.times.key_lifetime:
            if lost is not None and self._may_come_back(record, self.timing.look_again):
                soon = min(self.timing.look_again, SOON)
                return ComeBack(soon, "The same idempotency key is sent again in a moment")
            return self._repeat(record)
        if vendor.has_idempotency_key and not record.idempotency_key:
            means = "and so was its idempotency key, with the ledger that a clear has deleted"
        elif vendor.has_idempotency_key or vendor.list_tells_time:
            means = "which is too long ago to be looked up"
        else:
            means = f"and {vendor.title} has neither idempotency keys nor a task list to look in"
        cause = f" ({lost.__cause__ or lost.message})" if lost else ""
        return Doubt(
            f"The answer to the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC was lost{cause}, {means}",
            lost,
        )

    def _may_be_under_way(self, record: Record) -> bool:
        """Whether the worker that wrote the intent may still be sending it."""
        return record.lost_at is None and not record.repeats and utc_now() < (record.closes_at or record.intent_at)

    def _pause_for_another(self, record: Record) -> float:
        """Seconds until the next look: a live worker needs few, a killed one is waited for till it can send no more.

        Each look may start a process, so they become fewer.
        """
        age = (utc_now() - record.intent_at).total_seconds()
        left = ((record.closes_at or record.intent_at) - utc_now()).total_seconds()
        return min(self.timing.look_again, max(SOON, min(age / 3, left)))

    def _repeat(self, record: Record) -> Obtained | ComeBack | Doubt:
        """Send a lost submission again with its key: the vendor answers with the task that it made, if it did.

        A refusal of the repeat says nothing of the first sending. Nothing is sent into an outage, and not often:
        whether this host heeds the key is not known before it has answered.
        """
        spent = record.repeats if record.series == self.call.series else 0
        if spent >= (MOST_REPEATS_TRUSTED if self.known.heeds_key else MOST_REPEATS):
            return Doubt(
                f"The answer to the submission of {record.intent_at:%Y-%m-%d %H:%M:%S} UTC was lost, and so were those "
                f"to {spent} repeats with its idempotency key",
            )
        try:
            self.call.ask_first()
        except WanTransportError as error:
            return self._repeat_later(record, error)
        self.log.info("The answer to a submission was lost: the same idempotency key is sent again")
        again = record.model_copy(update={"repeats": spent + 1, "series": self.call.series})
        try:
            sent = self.call.repeat(again)
        except LedgerError:
            raise
        except (WanQuotaError, WanAuthError, WanBillingError):
            # Certainly no second task either.
            self.ledger.keep(record)
            raise
        except (WanRejectedError, WanModerationError) as error:
            return Doubt(_REFUSED_REPEAT.format(record.intent_at, error.message), error)
        except WanRequestError:
            raise
        except WanError as error:
            # What the vendor said of the key, not what is said here of a lost answer.
            if "idempoten" in str(error.__cause__ or error).lower():
                return Doubt(_REFUSED_REPEAT.format(record.intent_at, error.message), error)
            return self._repeat_later(again, error)
        self.known.heeds_key = self.known.heeds_key or bool(sent.is_replayed)
        return replace(self.call.made(again, sent.handle), is_recovered=True)

    def _repeat_later(self, record: Record, error: WanError) -> ComeBack:
        why = f"Whether the lost submission made a task is not known yet: {error.message}"
        if self._may_come_back(record, self.timing.look_again):
            return ComeBack(self.timing.look_again, why)
        raise WanSubmissionUnknown(
            f"{why}. The next attempt repeats the same idempotency key, so nothing is paid twice",
            code=error.code,
            request_id=error.request_id,
            retryable=True,
        ) from error

    def _search(self, record: Record, clue: Clue | None) -> Obtained | ComeBack | NoTask | Doubt:
        sought = self._sought(record)
        if clue is not None and clue.intent_at == record.intent_at:
            found = confirm(self.client, sought, self.request, clue, self._whose)
        elif self.can_search_elsewhere:
            return self._search_elsewhere(sought)
        else:
            found = search(self.client, sought, self.request, self.known, self._whose)
        if found.handle is not None:
            if not self.ledger.claim(found.handle):
                return ComeBack(SOON, f"Task {found.handle.task_id} has just been adopted by another task")
            return self._take(record, found, found.handle)
        if found.is_proven_absent:
            return self._made_none(record)
        if found.come_back_in is not None and self._may_come_back(record, found.come_back_in):
            return ComeBack(found.come_back_in, found.why)
        return Doubt(found.why)

    def _sought(self, record: Record) -> Sought:
        return Sought(
            mode=self.request.mode,
            model=model_sent(self.request, self.client.vendor.model_of(self.request)),
            traits=traits_asked(self.request),
            intent_at=record.intent_at,
            until=record.lost_at or record.closes_at or record.intent_at + timedelta(minutes=5),
            request_id=record.lost_request_id,
            not_ours=frozenset(record.former) | frozenset(self.others),
            timing=self.timing,
            clock_offset=record.clock_offset,
            owner=self.owner,
        )

    @property
    def _whose(self) -> Whose:
        return Whose(self.ledger.is_anothers, self.ledger.knows_claims)

    def _search_elsewhere(self, sought: Sought) -> ComeBack:
        why = (
            f"Whether the submission of {sought.intent_at:%Y-%m-%d %H:%M:%S} UTC made a task is looked up in the task "
            "list; until that is known nothing is submitted"
        )
        return ComeBack(sought.timing.look_again, why, sought)

    def _made_none(self, record: Record) -> NoTask:
        if record.losses + 1 >= MOST_LOSSES:
            self.ledger.keep(record.model_copy(update={"losses": 0}))
            raise WanTransportError(
                f"{self.client.vendor.title} lost {MOST_LOSSES} submissions in a row; its task list shows that none of "
                "them made a task, so nothing is billed",
                request_id=record.lost_request_id,
            )
        return NoTask(record.losses + 1)

    def _take(self, record: Record, found: Found, handle: TaskHandle) -> Obtained:
        by = (
            "its request id"
            if handle.request_id and handle.request_id == record.lost_request_id
            else (
                "time, model and prompt"
                if shows_all(self.request)
                else "time, model and prompt (the vendor does not show its media)"
            )
        )
        self.log.info(
            "Found task %s, which the lost submission had made, by %s: it is adopted, nothing is paid again",
            handle.task_id,
            by,
        )
        handle = self.call.named(handle)
        self.ledger.keep(record.model_copy(update={"handle": handle, "adopted": True, "sealed": None}))
        return Obtained(handle, found.task, True, is_recovered=True)

    def _may_come_back(self, record: Record, seconds: float) -> bool:
        return utc_now() + timedelta(seconds=seconds) < (self.since or record.intent_at) + self.give_up
