"""The batch operator: any number of generations in one Airflow task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from airflow_provider_wan.links.wan import WanVideosLink
from airflow_provider_wan.operators.parameters import BATCH_RULES, check_literals, drop_unknown_policy, read_values

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_wan.batch.run import BatchRun

OWN_PARAMETERS = (
    "wan_conn_id",
    "route",
    "prefer",
    "max_in_flight",
    "store_to",
    "ledger_path",
    "manifest_path",
    "on_item_failure",
    "on_invalid_row",
    "fail_if",
    "item_retries",
    "strict",
    "deferrable",
    "poll_interval",
    "timeout",
    "durable",
    "regenerate",
    "on_unknown_submission",
    "cancel_on_kill",
    "cancel_on_timeout",
    "max_cost",
    "on_unknown_price",
    "media",
)
"""What the run is asked to do; the rest is rows."""


class WanVideoBatchOperator(BaseOperator):
    """Make any number of videos, of any modes, in one Airflow task that holds a worker only to submit and to store.

    :param requests: a list of request dicts, or the URI of a ``.jsonl``, ``.csv``, ``.tsv``, ``.json`` or ``.parquet``
        file, in whose folder relative paths of media are looked for. A row holds the fields of its mode's operator,
        ``mode`` (text to video when not given), and may hold ``id``, ``store_to``, ``takes`` (how many videos of it),
        ``seeds`` (one for each) and ``wan_conn_id`` (one, or a list).
    :param defaults: request fields for rows that do not have their own, such as ``{"resolution": "720P"}``.
    :param max_in_flight: most tasks submitted and not finished at a time.
    :param store_to: folder (object-storage URI) for the videos, or a pattern with ``{id}``, ``{index}``,
        ``{take}`` or ``{task_id}`` in it.
    :param manifest_path: URI of the JSONL manifest, one line per item.
    :param on_item_failure: ``continue`` with the others, or ``fail``: stop submitting and fail once the rest is done.
    :param on_invalid_row: ``fail``: nothing is submitted while a row breaks a rule; or ``skip`` such rows.
    :param fail_if: when the whole task fails in the end: ``any`` item failed, ``all`` did, or more than this
        fraction (0 to 1) did.
    :param item_retries: new tasks for an item whose task failed for a reason that may pass.
    :param max_cost: the most that all items that are not paid yet may cost, a number or ``"12.50 USD"``: above it
        nothing is sent.
    :param timeout: for each item from its submission, seconds or a timedelta.

    The other parameters are those of :class:`~airflow_provider_wan.operators.base.WanVideoOperator`. Returns counts,
    the manifest's URI and one short entry per item. Each item is recorded on its own: after a crash, a retry or a
    clear no item is paid twice, and a changed row pays for that row only.
    """

    __supports_durable_execution: ClassVar[bool] = True

    operator_extra_links = (WanVideosLink(),)

    template_fields: Sequence[str] = (
        "requests",
        "defaults",
        "store_to",
        "ledger_path",
        "manifest_path",
        "max_in_flight",
        "wan_conn_id",
        "regenerate",
        "poll_interval",
        "max_cost",
        "on_unknown_price",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"requests": "json", "defaults": "json"}
    ui_color = "#e7e3ff"

    def __init__(
        self,
        *,
        requests: Sequence[dict[str, Any]] | str,
        defaults: dict[str, Any] | None = None,
        max_in_flight: int | str = 100,
        store_to: str | None = None,
        manifest_path: str | None = None,
        on_item_failure: Literal["continue", "fail"] = "continue",
        on_invalid_row: Literal["fail", "skip"] = "fail",
        fail_if: Literal["any", "all"] | float = "any",
        item_retries: int = 2,
        strict: bool = True,
        wan_conn_id: str | Sequence[str] = "wan_default",
        route: Literal["failover", "spread"] = "failover",
        prefer: Literal["cost"] | None = None,
        deferrable: bool = True,
        poll_interval: float = 15,
        timeout: float | timedelta = timedelta(hours=6),
        durable: bool = True,
        regenerate: bool | str = False,
        on_unknown_submission: Literal["fail", "resubmit"] = "fail",
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        ledger_path: str | None = None,
        max_cost: float | str | None = None,
        on_unknown_price: Literal["fail", "allow"] = "fail",
        media: Literal["auto", "presign", "upload", "inline"] = "auto",
        **kwargs: Any,
    ) -> None:
        drop_unknown_policy(kwargs)
        super().__init__(**kwargs)
        self.requests = requests
        self.defaults = defaults
        self.max_in_flight = max_in_flight
        self.store_to = store_to
        self.store_to_written = store_to
        self.ledger_path = ledger_path
        self.manifest_path = manifest_path
        self.manifest_path_written = manifest_path
        self.on_item_failure = on_item_failure
        self.on_invalid_row = on_invalid_row
        self.fail_if = fail_if
        self.item_retries = item_retries
        self.strict = strict
        self.wan_conn_id = wan_conn_id
        self.route = route
        self.prefer = prefer
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.durable = durable
        self.regenerate = regenerate
        self.on_unknown_submission = on_unknown_submission
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.max_cost = max_cost
        self.on_unknown_price = on_unknown_price
        self.media = media
        self.video_link: str | None = None
        self.link_is_pushed = False
        self._running: BatchRun | None = None
        check_literals(self._parameters(), task_id=self.task_id, rules=BATCH_RULES)

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OWN_PARAMETERS}

    def _begun(self, context: Context) -> BatchRun:
        """Return the worker side of one round.

        :raises WanRequestError: naming every parameter whose rendered value breaks its rule.
        """
        from airflow_provider_wan.batch.run import begun

        rows = {"requests": self.requests, "defaults": self.defaults, "execution_timeout": self.execution_timeout}
        self._running = begun(lambda: rows | read_values(self._parameters(), BATCH_RULES), self, context)
        return self._running

    def execute(self, context: Context) -> Any:
        """Check all items, then submit, wait and store until all are done."""
        return self._begun(context).start()

    def execute_round(self, context: Context, event: dict[str, Any]) -> Any:
        """Take what ended, store it, and submit what there is room for."""
        return self._begun(context).resume(event)

    def on_kill(self) -> None:
        """Cancel what a worker that is killed has submitted and not handed to the trigger."""
        if self._running is not None:
            self._running.on_kill()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was read and stored, for OpenLineage's provider, which calls this."""
        from airflow_provider_wan.worker.lineage import openlineage_of

        return openlineage_of(self)
