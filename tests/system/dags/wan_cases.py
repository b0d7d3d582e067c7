"""DAGs for the system tests with Wan; what a run does is in its params, what a person wants later in a variable."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset

from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator

MEDIA = "https://media.example.com"
PARAMS = {"prompt": "", "conn": "wan_default", "store_to": "", "crash_at": "", "mark": ""}
WISH = "var.value.get('wish_' ~ params.mark, '')"
ARGS: dict[str, Any] = {
    "wan_conn_id": "{{ params.conn }}",
    "resolution": "720P",
    "duration": 2,
    "poll_interval": 1,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}


class CaseOperator(WanTextToVideoOperator):
    """Takes policies from a variable of its run, so that they can change before a clear."""

    template_fields = (*WanTextToVideoOperator.template_fields, "on_unknown_submission")

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("prompt", "{{ params.prompt }}")
        kwargs.setdefault("store_to", "{{ params.store_to }}")
        kwargs.setdefault("regenerate", f"{{{{ {WISH} == 'regenerate' }}}}")
        kwargs.setdefault("on_unknown_submission", f"{{{{ 'resubmit' if {WISH} == 'resubmit' else 'fail' }}}}")
        super().__init__(**kwargs)


class CrashingOperator(CaseOperator):
    """Its process is killed in the first try, at the point that the params name."""

    def execute(self, context: Any) -> Any:
        self._context = context
        return super().execute(context)

    def defer(self, **kwargs: Any) -> Any:
        self._crash("defer", self._context)
        return super().defer(**kwargs)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        self._crash("resume", context)
        result = super().execute_complete(context, event)
        self._crash("end", context)
        return result

    def _crash(self, point: str, context: Any) -> None:
        if context["params"]["crash_at"] == point and context["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)


with DAG("case_video", params=PARAMS, default_args=ARGS, schedule=None):
    CaseOperator(task_id="video", outlets=[Asset("case_clip")])

with DAG("case_crash", params=PARAMS, default_args=ARGS, schedule=None):
    CrashingOperator(task_id="video")

with DAG("case_in_worker", params=PARAMS, default_args=ARGS, schedule=None):
    CaseOperator(task_id="video", deferrable=False)

with DAG("case_deadline", params=PARAMS, default_args=ARGS | {"retries": 1}, schedule=None):
    CaseOperator(task_id="video", timeout=4)

# Its attempts cost nothing, each adopts; there are enough of them for a test to look in time.
with DAG("case_overdue", params=PARAMS, default_args=ARGS | {"retries": 20}, schedule=None):
    CaseOperator(task_id="video", timeout=4)

with DAG("case_overdue_in_worker", params=PARAMS, default_args=ARGS | {"retries": 20}, schedule=None):
    CaseOperator(task_id="video", timeout=4, deferrable=False)

with DAG("case_execution_timeout", params=PARAMS, default_args=ARGS | {"retries": 0}, schedule=None):
    CaseOperator(task_id="video", execution_timeout=timedelta(seconds=6))

with DAG("case_modes", params=PARAMS, default_args=ARGS, schedule=None):
    CaseOperator(task_id="text_to_video", prompt="{{ params.prompt }} text", store_to="{{ params.store_to }}")
    WanImageToVideoOperator(
        task_id="image_to_video", prompt="{{ params.prompt }} image", first_frame=f"{MEDIA}/fox.png"
    )
    WanReferenceToVideoOperator(
        task_id="reference_to_video",
        prompt="{{ params.prompt }} reference: Image 1 in a cafe",
        reference_images=[f"{MEDIA}/guitar.png"],
        ratio="9:16",
    )
    # One vendor documents no edits, so the limits are warnings here.
    WanVideoEditOperator(
        task_id="video_edit", prompt="{{ params.prompt }} edit", video=f"{MEDIA}/street.mp4", strict=False
    )

with DAG("case_mapped", params=PARAMS, default_args=ARGS, schedule=None):
    CaseOperator.partial(task_id="video").expand(seed=[1, 2, 3])

with DAG("case_handed_over", params=PARAMS, default_args=ARGS, schedule=None):
    submit = CaseOperator(task_id="submit", wait_for_completion=False, store_to=None)
    wait = WanTaskSensor(
        task_id="wait", handle=submit.output, wan_conn_id="{{ params.conn }}", poke_interval=1, retries=0
    )
    WanVideoToObjectStorageOperator(
        task_id="store", result=wait.output, wan_conn_id="{{ params.conn }}", store_to="{{ params.store_to }}"
    )
