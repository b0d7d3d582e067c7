"""What system tests share besides their fixtures: keys, connections, shortened waits, the report of a failure."""

from __future__ import annotations

import json

from tools.airflow_rest import name
from tools.local_airflow import LocalAirflow

VENDORS = ("dashscope", "gccai", "powertokens", "freepik")
API_KEYS = {vendor: f"sk-system-{vendor}-4dd1f0c97a" for vendor in VENDORS} | {
    "quiet": "sk-system-quiet-4dd1f0c97a",  # DashScope again, where nothing runs for long
    "bad_key": "sk-invalid-system-4dd1f0c97a",  # the sandbox does not know keys that begin so
    "arrears": "sk-arrears-system-4dd1f0c97a",
}
"""The key of each connection `wan_<name>`; `wan_default` is the same as `wan_dashscope`."""

# Airflow's waits, shortened: a test should not sit through five minutes of a default. Those after which a silent
# component or task is taken for dead are lengthened, for machines that stand still for a while; who kills a component
# by `LocalAirflow.kill` need not sit through them.
QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "900",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "900",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "900",
}


def wan_connection(url: str, name: str) -> str:
    """A `wan` connection to the sandbox, in the JSON form of AIRFLOW_CONN_ variables."""
    vendor = name if name in VENDORS else "dashscope"
    fields = {"conn_type": "wan", "host": url, "password": API_KEYS[name], "extra": {"vendor": vendor}}
    return json.dumps(fields)


def explain(airflow: LocalAirflow, runs: list[tuple[str, str]], lines: int = 40) -> str:
    """What the tasks of these runs logged last, for the report of a test that failed."""
    parts = []
    try:
        for dag_id, run_id in runs:
            for task in airflow.rest.tasks(dag_id, run_id):
                parts.append(f"--- {dag_id}.{name(task)}: {task['state']}")
                for number in range(1, task["try_number"] + 1):
                    log = airflow.rest.task_log(
                        dag_id, run_id, task["task_id"], map_index=task["map_index"], try_number=number
                    )
                    parts += [f"try {number}", *log.splitlines()[-lines:]]
    except Exception as error:  # the explanation must not hide the failure that it explains
        parts.append(f"(no further task logs: {error})")
    if not parts:
        parts = ["no run was triggered; the scheduler's last lines:", airflow.component_log("scheduler", 20)]
    return "\n".join(parts)
