"""Never pay twice: the record of a submission, the paid call, and what an attempt does with what it finds.

In: a request, a client and a ledger; out: the task to wait for, or when to come back. Imports no Airflow, waits for no
task and stores no video. Others take from here what is named below, and from nowhere inside.
"""

from airflow_provider_wan.client.recovery.search import Clue, Timing
from airflow_provider_wan.durable.attempt import Attempt, ComeBack, Policies
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
from airflow_provider_wan.durable.routing import RoutedAttempt
from airflow_provider_wan.durable.times import TIMES, SubmissionTimes

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
