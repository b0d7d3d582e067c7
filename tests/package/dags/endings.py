"""A DAG for each ending that somebody on call reads about."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

ENDINGS = {
    "fine": {"prompt": "A boat"},
    "moderated": {"prompt": "A boat [sandbox fail=DataInspectionFailed]"},
    "late": {"prompt": "A boat [sandbox run-forever]", "timeout": 0.5},
    "refused": {"prompt": "A boat", "seed": "{{ 'many' }}"},
    "lost": {"prompt": "A boat [sandbox drop-answer]", "wan_conn_id": "wan_freepik"},
}

for name, given in ENDINGS.items():
    with DAG(f"ending_{name}", schedule=None):
        WanTextToVideoOperator(task_id="video", resolution="720P", poll_interval=0.1, **given)
