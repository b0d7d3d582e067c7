"""Obtaining the task of a run: the request, the accounts it may go to, and what holds before it is paid."""

from __future__ import annotations

import time
from functools import cached_property, partial
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.routing import Candidate
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import (
    Attempt,
    Clue,
    HeldCall,
    Knowledge,
    PaidCall,
    Policies,
    Record,
    RoutedAttempt,
)
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.inputs.inputs import Inputs
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.worker.costs import check_cost
from airflow_provider_wan.worker.inputs import inputs_of
from airflow_provider_wan.worker.ledgers import ObjectStore
from airflow_provider_wan.worker.settings import series_of
from airflow_provider_wan.worker.task_run import TaskRun
from airflow_provider_wan.worker.turns import HELD_SECONDS, LATE_SECONDS, NotYet, next_turn


class Obtaining:
    """Brings the task of a run; only a process that may submit makes one.

    :param clue: what a search in the triggerer has found.
    :param turn: when this task may submit, in seconds since the epoch.
    """

    def __init__(self, run: TaskRun, clue: Clue | None = None, turn: float | None = None) -> None:
        self._run = run
        self.clue = clue
        self.turn = turn
        self._known: dict[str, Knowledge] = {}
        self._is_place_proven = False
        self._cost_checked: set[str] = set()

    @cached_property
    def request(self) -> VideoRequest:
        """The request, with the models of all vendors where it names several."""
        request = self._run.operator.build_request(self._run.context)
        if self._run.accounts.is_choice:
            return self._inputs.identified(request)
        own = self._run.accounts.request_for(self._run.conn_id, request)
        checked = self._inputs.checked(own, self._run.hook.account)
        for warning in checked.warnings:
            self._run.log.warning("%s", warning)
        return self._inputs.identified(request)

    @cached_property
    def _inputs(self) -> Inputs:
        return inputs_of(self._run.operator, self._run.context, self._run.settings.media, self._run.store)

    def attempt(self) -> Attempt | RoutedAttempt:
        """Return what brings the task: from the one account, or from the recorded or the best of several."""
        clue, self.clue = self.clue, None
        if not self._run.accounts.is_choice and not self._was_choice():
            return self._attempt_on(self._run.conn_id, PaidCall, clue)
        settings = self._run.settings

        def may_leave(record: Record) -> bool:
            return settings.regenerate and record.series != series_of(self._run.context)

        return RoutedAttempt(
            ledger=self._run.ledger,
            accounts=self._run.accounts.names,
            candidates=self._candidates,
            attempt_on=partial(self._attempt_on, clue=clue),
            route=settings.route,
            prefer=settings.prefer,
            before=self._prove_place,
            may_leave=may_leave,
            note=self._run.accounts.note,
            log=self._run.log,
        )

    def _was_choice(self) -> bool:
        """Whether an earlier attempt, which had several accounts, recorded one of them."""
        is_first = not self._run.is_begun and int(getattr(self._run.context["ti"], "try_number", 1) or 1) <= 1
        record = None if is_first else self._run.record()
        return record is not None and record.wan_conn_id is not None

    def _candidates(self) -> list[Candidate]:
        settings = self._run.settings
        counts = settings.route == "spread"
        return [
            self._run.accounts.candidate(
                name,
                self.request,
                settings.max_cost,
                settings.on_unknown_price,
                counts_others=counts,
                check=self._inputs.checked,
            )
            for name in self._run.accounts.names
        ]

    def _attempt_on(self, conn_id: str, kind: type[PaidCall], clue: Clue | None) -> Attempt:
        settings, hook = self._run.settings, self._run.accounts.usable(conn_id)
        request = self._run.accounts.request_for(conn_id, self.request)
        before = partial(self._before_paying, hook, request)
        # With others to go to, or another turn to take, a throttled account holds no worker.
        has_other_way = len(self._run.accounts.names) > 1 or self.takes_turns
        patience = Patience(throttled=0.0 if has_other_way else settings.times.submit)
        return Attempt(
            call=kind(
                client=hook.get_conn(),
                ledger=self._run.ledger,
                request=request,
                account_name=conn_id,
                series=series_of(self._run.context),
                patience=patience,
                before=self._before_leaving if issubclass(kind, HeldCall) else before,
                reach=self._inputs.reachable,
                expected_cost=hook.costs.expected_cost(request),
                is_choice=self._run.accounts.is_choice,
                log=self._run.log,
            ),
            policies=Policies(
                regenerate=settings.regenerate,
                on_changed_request=settings.on_changed_request,
                on_unknown_submission=settings.on_unknown_submission,
            ),
            is_alive=partial(self._is_alive, hook),
            is_stored=self._is_stored,
            give_up=settings.timeout,
            since=self._run.since,
            can_search_elsewhere=self._run.defers,
            owner=owner_of(self._run.context["ti"]),
            clue=clue,
            known=self._known.setdefault(conn_id, Knowledge()),
        )

    def _before_paying(self, hook: WanHook, request: VideoRequest) -> None:
        """Refuse what costs too much, and see that the video can be stored."""
        if hook.wan_conn_id not in self._cost_checked:
            settings = self._run.settings
            if self._run.accounts.is_choice:
                for warning in self._inputs.checked(request, hook.account).warnings:
                    self._run.log.warning("%s", warning)
            check_cost(hook, request, settings.max_cost, settings.on_unknown_price, self._run.log)
            self._cost_checked.add(hook.wan_conn_id)
        self._prove_place()
        self._wait_for_turn(hook.account)

    @property
    def takes_turns(self) -> bool:
        """Whether workers keep the pace of the account together, by the ledger that they share."""
        return not self._run.accounts.is_choice and isinstance(self._run.store, ObjectStore)

    def _wait_for_turn(self, account: Account) -> None:
        """Keep the pace of the account together with all workers that share its ledger.

        :raises NotYet: when the worker is freed meanwhile.
        """
        store = self._run.store
        if not (self.takes_turns and isinstance(store, ObjectStore)):
            return
        if self.turn is None or self.turn < time.time() - LATE_SECONDS:
            # Those that come late would come together.
            self.turn = next_turn(store, account)
        left = self.turn - time.time()
        if left > HELD_SECONDS and self._run.defers:
            raise NotYet(self.turn, left)
        time.sleep(max(0.0, left))

    def _before_leaving(self) -> None:
        """See that some account can take the new request, before what is recorded is left behind for it."""
        refusals = {one.name: one.refusal for one in self._candidates()}
        if all(refusals.values()):
            reasons = "".join(f"\n  - {name}: {why}" for name, why in refusals.items())
            raise WanRequestError(f"No account can take the request, nothing was submitted:{reasons}")
        self._prove_place()

    def _prove_place(self) -> None:
        """See that the video can be stored, before it is paid for."""
        if self._run.settings.store_to and self._run.settings.wait_for_completion and not self._is_place_proven:
            from airflow_provider_wan.delivery.storage import prove

            prove(self._run.settings.store_to)
            self._is_place_proven = True

    def _is_alive(self, hook: WanHook, task: VideoTask) -> bool:
        from airflow_provider_wan.delivery.landing import is_alive

        return is_alive(task, hook.account)

    def _is_stored(self, stored: dict[str, Any]) -> bool:
        from airflow_provider_wan.delivery.storage import is_stored

        return is_stored(stored)
