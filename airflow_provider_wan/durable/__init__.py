"""Never pay twice: the record of a submission, the paid call, and what an attempt does with what it finds.

In: a request, a client and a ledger; out: the task to wait for, or when to come back. Imports no Airflow, waits for no
task and stores no video. Others take from here what is named below, and from nowhere inside.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wan.client.recovery.search import Clue, Timing
    from airflow_provider_wan.durable.attempt import Attempt, Policies
    from airflow_provider_wan.durable.ledger import (
        STATE_KEY,
        ExclusiveStore,
        IntentTaken,
        Ledger,
        LedgerError,
        Record,
        StateStore,
        heal,
    )
    from airflow_provider_wan.durable.lookup import Knowledge
    from airflow_provider_wan.durable.paid_call import HeldCall, Lost, Obtained, PaidCall, SubmissionHeld
    from airflow_provider_wan.durable.recovery import ComeBack
    from airflow_provider_wan.durable.routing import RoutedAttempt
    from airflow_provider_wan.durable.times import TIMES, SubmissionTimes

_HOMES = ("ledger", "times", "paid_call", "lookup", "recovery", "attempt", "routing")
"""Loaded when asked for: each task is a process of its own, and one that only finishes needs the first of them."""

__all__ = [
    "STATE_KEY",
    "TIMES",
    "Attempt",
    "Clue",
    "ComeBack",
    "ExclusiveStore",
    "HeldCall",
    "IntentTaken",
    "Knowledge",
    "Ledger",
    "LedgerError",
    "Lost",
    "Obtained",
    "PaidCall",
    "Policies",
    "Record",
    "RoutedAttempt",
    "StateStore",
    "SubmissionHeld",
    "SubmissionTimes",
    "Timing",
    "heal",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
