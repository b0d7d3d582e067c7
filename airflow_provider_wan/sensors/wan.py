"""The sensor: waits for a task that was submitted elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.operators.parameters import SENSOR_RULES, check_literals, read_values

if TYPE_CHECKING:
    from airflow.sdk import Context, PokeReturnValue

    from airflow_provider_wan.worker.sensor import Sensing

OWN_PARAMETERS = ("handle", "wan_conn_id", "poke_interval", "timeout")


class WanTaskSensor(BaseSensorOperator):
    """Wait for a task by its handle; its XCom is the result, as the operators return it.

    :param handle: what an operator with ``wait_for_completion=False`` or ``WanHook.submit`` returned.
    :param wan_conn_id: the connection whose account made the task; the one that it names, when not given.
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
        given = {"handle": handle, "wan_conn_id": wan_conn_id, "deferrable": deferrable}
        check_literals(
            given | {"poke_interval": poke_interval, "timeout": timeout},
            task_id=str(kwargs.get("task_id", "")),
            rules=SENSOR_RULES,
        )
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.pushes_own_keys = "multiple_outputs" not in kwargs
        self.handle = handle
        self.wan_conn_id = wan_conn_id
        self.deferrable = deferrable
        self.video_link: str | None = None

    def _begun(self, context: Context) -> Sensing:
        """Return the worker side of one run.

        :raises WanRequestError: naming every parameter whose rendered value breaks its rule.
        """
        from airflow_provider_wan.worker.sensor import begun

        given = {name: getattr(self, name) for name in OWN_PARAMETERS}
        return begun(
            lambda: {"execution_timeout": self.execution_timeout} | read_values(given, SENSOR_RULES), self, context
        )

    def execute(self, context: Context) -> Any:
        """Look once; when the task is not done, wait in the triggerer."""
        return self._begun(context).start() if self.deferrable else super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, from a worker."""
        return self._begun(context).poke()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the trigger's event."""
        return self._begun(context).resume(event)
