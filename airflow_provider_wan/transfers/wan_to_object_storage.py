"""The transfer: lands a result that was not stored when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_wan.operators.parameters import TRANSFER_RULES, check_literals, read_values

if TYPE_CHECKING:
    from airflow.sdk import Context

OWN_PARAMETERS = ("result", "store_to", "wan_conn_id")


class WanVideoToObjectStorageOperator(BaseOperator):
    """Download a finished video and put it into object storage, whole or not at all.

    :param result: what an operator or the sensor returned, or a task handle.
    :param store_to: object-storage URI; one that ends with ``/`` gets ``<task_id>.mp4``.
    :param wan_conn_id: the connection whose account made the video; the one that it names, when not given.

    Returns the result with ``uri``, ``bytes`` and ``sha256``. A retry or a clear downloads nothing twice.
    """

    template_fields: Sequence[str] = ("result", "store_to", "wan_conn_id")
    template_fields_renderers = {"result": "json"}
    ui_color = "#e7e3ff"

    def __init__(
        self, *, result: dict[str, Any] | str, store_to: str, wan_conn_id: str = "wan_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pushes_own_keys = "multiple_outputs" not in kwargs
        self.result = result
        self.store_to = store_to
        self.store_to_written = store_to
        self.wan_conn_id = wan_conn_id
        check_literals(self._parameters(), task_id=self.task_id, rules=TRANSFER_RULES)

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OWN_PARAMETERS}

    def execute(self, context: Context) -> dict[str, Any]:
        """Land the video; ask for its present address first."""
        from airflow_provider_wan.worker.transfer import transfer

        return transfer(lambda: read_values(self._parameters(), TRANSFER_RULES), self.result, self, context)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was read and stored, for OpenLineage's provider, which calls this."""
        from airflow_provider_wan.worker.lineage import openlineage_of

        return openlineage_of(self)
