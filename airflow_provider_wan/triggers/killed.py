"""What became of the Airflow task whose trigger was cancelled, asked of Airflow from inside the trigger."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any

log = logging.getLogger(__name__)

ENDED_STATES = frozenset({"success", "failed", "skipped", "removed", "upstream_failed"})


class Fate(StrEnum):
    """Why a trigger may have been cancelled."""

    MOVED = "moved"
    """The task is still deferred: another triggerer has the trigger now."""

    RESTARTED = "restarted"
    """The task was cleared: its next try will look at the record and adopt."""

    ENDED = "ended"
    """A person marked the task as failed or successful."""

    UNREADABLE = "unreadable"

    @property
    def story(self) -> str:
        """What happened to the Airflow task, for the log."""
        return _STORIES[self]


_STORIES = {
    Fate.MOVED: "the Airflow task is still deferred, only its trigger moved",
    Fate.RESTARTED: "the Airflow task was cleared and runs again",
    Fate.ENDED: "the Airflow task was ended by hand",
    Fate.UNREADABLE: "the state of the Airflow task could not be looked up",
}


async def fate_of(task_instance: Any) -> Fate:
    """Ask Airflow for the task's state and say what it means."""
    if task_instance is None:
        return Fate.UNREADABLE
    try:
        from asgiref.sync import sync_to_async

        states = await sync_to_async(_states)(task_instance)
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises, nothing is known
        log.warning("The state of the Airflow task could not be read: %s", type(error).__name__)
        return Fate.UNREADABLE
    if "deferred" in states:
        return Fate.MOVED
    return Fate.ENDED if states and ENDED_STATES.issuperset(states) else Fate.RESTARTED


def _states(task_instance: Any) -> list[str]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    return [str(state or "none") for run in found.values() for state in run.values()]
