"""The sensor: waits for a task that was submitted elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator

from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.links.wan import WanVideoLink


class WanTaskSensor(BaseSensorOperator):
    """Wait for a task by its handle; its XCom is the result, as the operators return it.

    :param handle: what an operator with ``wait_for_completion=False`` or ``WanHook.submit`` returned.
    :param wan_conn_id: the connection whose account made the task.
    :param deferrable: wait in the triggerer; ``False`` pokes from a worker.
    :param poke_interval: seconds between two looks at the task.
    :param timeout: seconds from the start of the sensor.

    The task is never cancelled by its sensor: it belongs to whoever submitted it.
    """

    template_fields: Sequence[str] = ("handle", "wan_conn_id")
    template_fields_renderers = {"handle": "json"}
    operator_extra_links = (WanVideoLink(),)
    ui_color = "#e7e3ff"

    def __init__(
        self,
        *,
        handle: dict[str, Any] | str,
        wan_conn_id: str = "wan_default",
        deferrable: bool = True,
        poke_interval: float = 15,
        timeout: float | timedelta = timedelta(hours=6),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.handle = handle
        self.wan_conn_id = wan_conn_id
        self.deferrable = deferrable
        self.video_link: str | None = None

    def execute(self, context: Any) -> Any:
        """Look once; when the task is not done, wait in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        result = self._look(context, utc_now())
        if result is not None:
            return result
        from airflow_provider_wan.triggers.wan import WanTaskTrigger

        deadline = utc_now() + self._delta()
        return self.defer(
            trigger=WanTaskTrigger(
                wan_conn_id=self.wan_conn_id,
                handle=self._handle().to_dict(),
                deadline=deadline.isoformat(),
                poll_interval=float(self.poke_interval),
                cancel_on_kill=False,
                cancel_on_timeout=False,
            ),
            method_name="execute_complete",
            timeout=self._delta() + timedelta(minutes=5),
        )

    def poke(self, context: Any) -> Any:
        """Look once, from a worker."""
        from airflow.sdk import PokeReturnValue

        result = self._look(context, utc_now())
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Take the trigger's event."""
        from airflow_provider_wan.client.polling.watch import Ending

        return self._end(context, Ending.from_event(event))

    def _delta(self) -> timedelta:
        return timedelta(seconds=float(self.timeout))

    def _handle(self) -> TaskHandle:
        from airflow_provider_wan.operators.handles import read_handle

        return read_handle(self.handle)

    def _look(self, context: Any, now: datetime) -> Any:
        from airflow_provider_wan.client.errors import WanError
        from airflow_provider_wan.client.polling.watch import Watch
        from airflow_provider_wan.hooks.wan import WanHook

        hook, handle = WanHook(self.wan_conn_id), self._handle()
        WanVideoLink().show(self, context, hook.vendor.task_page(handle, hook.account))
        watch = Watch(handle, hook.vendor, now + self._delta())
        try:
            ending = watch.see(hook.get_task(handle))
        except WanError as error:
            self.log.info("The task's state is not known now: %s", error)
            ending = watch.see_error(error)
        finally:
            hook.close()
        return None if ending is None else self._end(context, ending)

    def _end(self, context: Any, ending: Any) -> Any:
        from airflow_provider_wan.client.polling.watch import EndingStatus, error_of
        from airflow_provider_wan.client.tasks import result_of
        from airflow_provider_wan.worker.failing import fail

        if ending.status is not EndingStatus.SUCCESS:
            fail(error_of(ending))
        result = result_of(ending.task)
        WanVideoLink().show(self, context, result["video_url"])
        return result
