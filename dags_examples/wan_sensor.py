"""Submit now, wait later: the handle travels by XCom, a sensor waits for its task and a transfer stores the video."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator

with DAG(dag_id="wan_sensor", schedule=None, catchup=False, tags=["wan"]):
    submit = WanTextToVideoOperator(
        task_id="submit",
        prompt="A lighthouse blinks through the fog",
        resolution="720P",
        duration=2,
        wait_for_completion=False,
    )

    wait = WanTaskSensor(task_id="wait", handle=submit.output, poke_interval=2)

    store = WanVideoToObjectStorageOperator(
        task_id="store",
        result=wait.output,
        store_to="{{ var.value.get('wan_store', 'file:///tmp/wan_clips') }}/{{ run_id }}/",
    )
