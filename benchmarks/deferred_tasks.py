"""Writes deferred task instances with their triggers straight into Airflow's database; the triggers as JSON on stdin.

Deferring ten thousand tasks through the scheduler takes most of an hour and is not the subject.
"""

from __future__ import annotations

import json
import sys

from airflow._shared.timezones import timezone
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.serialization.serialized_objects import DagSerialization  # noqa: F401 - makes the models complete
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import delete

DAG_ID = "deferred"


def write(triggers: list[tuple[str, dict[str, object]]]) -> None:
    """Replace what is there by one run with a deferred task instance for each trigger."""
    now = timezone.utcnow()
    with create_session() as session:
        session.execute(delete(TaskInstance))
        session.execute(delete(Trigger))
        session.execute(delete(DagRun))
        dag = SerializedDagModel.get(DAG_ID, session=session).dag
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        run = dag.create_dagrun(
            run_id=f"bench__{now:%H%M%S%f}",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        session.execute(delete(TaskInstance))
        task = dag.get_task("wait")
        for index, (classpath, kwargs) in enumerate(triggers):
            trigger = Trigger(classpath=classpath, kwargs=kwargs)
            instance = TaskInstance(task, version.id, run_id=run.run_id, map_index=index)
            instance.state = TaskInstanceState.DEFERRED
            instance.try_number = 1
            instance.start_date = now
            instance.next_method = "execute_complete"
            instance.trigger = trigger
            session.add(instance)


if __name__ == "__main__":
    write(json.load(sys.stdin))
