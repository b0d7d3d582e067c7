"""What became of the Airflow task whose trigger was cancelled, asked of Airflow from inside the trigger."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from enum import StrEnum
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

ENDED_STATES = frozenset({"success", "failed", "skipped", "removed", "upstream_failed"})


class KillReason(StrEnum):
    """Why a trigger may have been cancelled."""

    MOVED = "moved"
    """The task is still deferred: another triggerer has the trigger now."""

    RESTARTED = "restarted"
    """The task was cleared: its next try will look at the record and adopt."""

    ENDED = "ended"
    """A person marked the task as failed or successful."""

    GONE = "gone"
    """Airflow knows neither the run nor the task any more: nobody will adopt."""

    IN_A_LOOP = "in_a_loop"
    """The task is one of a Task Loop, whose latest iteration is all that Airflow shows the state of."""

    UNREADABLE = "unreadable"

    @property
    def text(self) -> str:
        """What happened to the Airflow task, for the log."""
        return _TEXTS[self]


_TEXTS = {
    KillReason.MOVED: "the Airflow task is still deferred, only its trigger moved",
    KillReason.RESTARTED: "the Airflow task was cleared and runs again",
    KillReason.ENDED: "the Airflow task was ended by hand",
    KillReason.GONE: "the run of the Airflow task was deleted",
    KillReason.IN_A_LOOP: "Airflow shows the state of a loop's latest iteration only, which may be another one",
    KillReason.UNREADABLE: "the state of the Airflow task could not be looked up",
}


CLEARS_DELETE_STATE = (3, 4)
"""From this Airflow on a clear deletes the task state store of what it clears, unless a person keeps it."""


@cache
def airflow_version() -> tuple[int, int]:
    """Return the major and minor version of the Airflow that runs."""
    from airflow import __version__

    major, minor = re.findall(r"\d+", __version__)[:2]
    return int(major), int(minor)


def as_trigger_sees(reason: KillReason) -> KillReason:
    """Return what a reason means where a trigger is killed.

    From Airflow 3.4 on a trigger that moves is dropped without being told: one that is told, while its task waits, has
    been cleared, and the next try waits already.
    """
    is_told_of_moves = airflow_version() < CLEARS_DELETE_STATE
    return KillReason.RESTARTED if reason is KillReason.MOVED and not is_told_of_moves else reason


def is_to_be_cancelled(reason: KillReason, *, durable: bool, survives_clear: bool) -> bool:
    """Whether the vendor's task is wanted by nobody any more.

    A task that was cleared adopts what is recorded. Where the clear may have deleted the record, what is still queued
    is cancelled (not billed); with a record that was kept, its task comes back cancelled and is submitted once more.

    :param durable: whether the submission is recorded at all.
    :param survives_clear: whether the record is where no clear reaches it.
    """
    if reason is not KillReason.RESTARTED:
        return reason in (KillReason.ENDED, KillReason.GONE)
    return not (durable and (survives_clear or airflow_version() < CLEARS_DELETE_STATE))


async def kill_reason_of(task_instance: Any) -> KillReason:
    """Ask Airflow for the task's state and say what it means."""
    if task_instance is None:
        return KillReason.UNREADABLE
    try:
        from asgiref.sync import sync_to_async

        states = await sync_to_async(_states)(task_instance)
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises, nothing is known
        log.warning("The state of the Airflow task could not be read: %s", type(error).__name__)
        return KillReason.UNREADABLE
    if not states:
        return KillReason.GONE
    if "deferred" in states:
        return KillReason.MOVED
    if _is_in_a_loop(task_instance) and ENDED_STATES & set(states):
        return KillReason.IN_A_LOOP
    return KillReason.ENDED if ENDED_STATES.issuperset(states) else KillReason.RESTARTED


def kill_reason_within(seconds: float, task_instance: Any) -> KillReason:
    """Ask Airflow why a worker is killed; ``UNREADABLE`` when it does not answer in time.

    The worker may have been stopped in the middle of another question to Airflow, which holds this one up for ever.
    """
    found = [KillReason.UNREADABLE]
    thread = threading.Thread(target=lambda: found.append(asyncio.run(kill_reason_of(task_instance))), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[-1]


def _is_in_a_loop(task_instance: Any) -> bool:
    region = str(getattr(task_instance, "region_id", None) or "").replace("-", "")
    return bool(region.strip("0")) or getattr(task_instance, "region_index", None) not in (None, -1)


def _states(task_instance: Any) -> list[str]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    return [str(state or "none") for run in found.values() for state in run.values()]
