"""One request, several accounts: the recorded one is adopted from, the next one only follows a proof of no task.

Everything that decides which account is sent a paid call is in this file and in ``client/routing``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanQuotaError,
    WanRejectedError,
    WanRequestError,
    WanResponseError,
    WanServerError,
    WanTransportError,
)
from airflow_provider_wan.client.routing import Candidate, Choice, Prefer, Route, choose
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.durable.attempt import Attempt
from airflow_provider_wan.durable.ledger import IntentTaken, Ledger, Record
from airflow_provider_wan.durable.paid_call import HeldCall, Lost, Obtained, PaidCall, SubmissionHeld, log, named
from airflow_provider_wan.durable.recovery import SOON, ComeBack

PROOFS = (
    WanAuthError,
    WanBillingError,
    WanQuotaError,
    WanRejectedError,
    WanTransportError,
    WanServerError,
    WanResponseError,
)
"""What a paid call raises when it is certain that no task was made, and another account may take the request.

Not moderation: what one vendor refuses to show is not carried to the next. Not the ledger's errors: those are nobody's.
"""

AttemptOn = Callable[[str, type[PaidCall]], Attempt]


@dataclass
class RoutedAttempt:
    """Obtains the task of one request from one of several accounts.

    :param accounts: the listed connection ids, in the order given.
    :param candidates: returns what is known of each listed account now.
    :param attempt_on: makes an attempt on one account with the given kind of paid call; all share the ledger.
    :param before: called before an account is chosen; what it raises keeps all of them from being asked.
    :param may_leave: whether the author wants what is recorded left behind, although it may be paid.
    :param note: is told what an account answered to a submission; ``None``: it took it.
    """

    ledger: Ledger
    accounts: Sequence[str]
    candidates: Callable[[], list[Candidate]]
    attempt_on: AttemptOn
    route: Route = "failover"
    prefer: Prefer = None
    before: Callable[[], None] = lambda: None
    may_leave: Callable[[Record], bool] = lambda record: False
    note: Callable[[str, WanError | None], None] = lambda name, error: None
    log: Any = log
    _refused: dict[str, WanError] = field(default_factory=dict)

    def obtain(self) -> Obtained | ComeBack:
        """Return the task to wait for: what is recorded at its own account, else a new one.

        :raises LedgerError: when the record cannot be read or written; nothing was submitted.
        :raises WanSubmissionUnknown: when it cannot be known whether a task exists and the policy is to fail.
        :raises WanError: when no account takes the request.
        """
        try:
            record = self.ledger.read()
            return self._submit(None) if record is None else self._go_on(record)
        except IntentTaken as error:
            return ComeBack(SOON, f"{error.message}. What it records is adopted")

    def resubmit(self) -> Obtained | ComeBack:
        """Submit anew, whatever is recorded (an adopted task came back cancelled)."""
        return self._submit(self.ledger.read())

    def owner_of(self, record: Record) -> str:
        """Return the connection that a record is of.

        One from before there was a choice names none: it is of the account whose fingerprint it has.
        """
        if record.wan_conn_id:
            return record.wan_conn_id
        for name in self.accounts:
            try:
                call = self.attempt_on(name, HeldCall).call
            except WanRequestError:
                continue
            if record.fingerprint == call.fingerprint or (record.request and record.request == call.what_is_asked):
                return name
        return self.accounts[0]

    # -- what is recorded -----------------------------------------------------------------------------

    def _go_on(self, record: Record) -> Obtained | ComeBack:
        name = self.owner_of(record)
        if name not in self.accounts:
            self.log.info("%s is of connection %r, which is not listed any more", named(record).capitalize(), name)
        try:
            attempt = self.attempt_on(name, HeldCall)
        except WanRequestError as error:
            if self.may_leave(record):
                self.log.warning("%s is left behind and cannot be cancelled: %s", named(record).capitalize(), error)
                return self._submit(record)
            raise WanRequestError(
                f"{named(record).capitalize()} was made on connection {name!r}, which cannot be used now: "
                f"{error.message}. Nothing was submitted, for it would be paid twice: restore the connection, or set "
                "regenerate and clear the task",
                task_id=record.handle.task_id if record.handle else None,
            ) from error
        return self._settled(name, attempt.obtain)

    def _settled(self, name: str, find: Callable[[], Obtained | ComeBack]) -> Obtained | ComeBack:
        """Let the recorded account say what became of its submission; only then the choice is open again."""
        try:
            found = find()
        except SubmissionHeld as held:
            return self._submit(held.previous, held.losses)
        if isinstance(found, Obtained) and found.handle.wan_conn_id is None:
            found = replace(found, handle=found.handle.model_copy(update={"wan_conn_id": name}))
        return found

    # -- a new submission -----------------------------------------------------------------------------

    def _submit(self, previous: Record | None, losses: int = 0) -> Obtained | ComeBack:
        self.before()
        while True:
            choice = self._choose()
            if choice.name is None:
                raise self._none_left(choice)
            self.log.info("%s", choice)
            attempt = self.attempt_on(choice.name, PaidCall)
            try:
                sent = attempt.send(previous, losses)
            except PROOFS as error:
                self._refused[choice.name] = error
                self.note(choice.name, error)
                self.log.warning("Account %s made no task: %s", choice.name, error)
                continue
            if isinstance(sent, Lost):
                return self._settled(choice.name, partial(self.attempt_on(choice.name, HeldCall).recover, sent))
            self.note(choice.name, None)
            return sent

    def _choose(self) -> Choice:
        fresh = [one for one in self.candidates() if one.name not in self._refused]
        choice = choose(fresh, self.route, utc_now(), self.prefer)
        refused = {name: f"it made no task: {error.message}" for name, error in self._refused.items()}
        return replace(choice, passed_over=refused | choice.passed_over)

    def _none_left(self, choice: Choice) -> WanError:
        """Return the error that gives the most hope, with the reasons of all accounts."""
        reasons = "".join(f"\n  - {name}: {why}" for name, why in choice.passed_over.items())
        message = f"None of the {len(choice.passed_over)} accounts took the request, nothing was submitted:{reasons}"
        errors = list(self._refused.values())
        waits = [error for error in errors if isinstance(error, WanQuotaError)]
        if waits or choice.again_at:
            seconds = [error.retry_after for error in waits if error.retry_after]
            if choice.again_at:
                seconds.append(max(0.0, (choice.again_at - utc_now()).total_seconds()))
            return WanQuotaError(message, retry_after=min(seconds, default=None))
        passing = [error for error in errors if error.retryable]
        kinds = {type(error) for error in passing or errors}
        kind = kinds.pop() if len(kinds) == 1 else WanError
        if not errors:
            kind = WanRequestError
        return kind(message, retryable=bool(passing))
