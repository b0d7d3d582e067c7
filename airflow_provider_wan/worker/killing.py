"""What a worker that is killed may cancel: it asks first what became of its Airflow task, as the trigger does."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.durable import StateStore
from airflow_provider_wan.triggers.killed import KillReason, is_to_be_cancelled, kill_reason_within
from airflow_provider_wan.worker.ledgers import survives_clear

ASK_SECONDS = 1.0
KILL_SECONDS = 2.0
"""Together three: Airflow ends a worker for good five seconds after it was told to stop."""


def why_left_alone(context: Any, *, durable: bool, store: StateStore | None) -> str | None:
    """Return why the tasks of a killed worker are not cancelled; ``None`` when they are wanted by nobody any more.

    A worker that is drained, or whose task was cleared, has a successor that adopts what is recorded. So may one that
    Airflow does not answer: a worker that stood still until it was replaced gets no answer in time on a busy machine,
    and would cancel what its successor waits for.
    """
    reason = kill_reason_within(ASK_SECONDS, context["ti"])
    if reason is KillReason.UNREADABLE and durable:
        return reason.text
    if reason not in (KillReason.RESTARTED, KillReason.MOVED):
        return None
    if is_to_be_cancelled(reason, durable=durable, survives_clear=survives_clear(store)):
        return None
    return reason.text
