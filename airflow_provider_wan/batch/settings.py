"""What the author of a batch asked for, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from airflow_provider_wan.client.costs.limit import MaxCost, UnknownPrice


@dataclass(frozen=True)
class BatchSettings:
    """The parameters of :class:`~airflow_provider_wan.operators.batch.WanVideoBatchOperator`, rendered and read.

    :param requests: a list of rows, or the URI of a file with them.
    :param timeout: for each item from its submission.
    :param execution_timeout: Airflow's own, which it does not enforce on deferred tasks.
    """

    requests: Any
    defaults: Mapping[str, Any] | None
    wan_conn_id: str
    max_in_flight: int
    store_to: str | None
    ledger_path: str | None
    manifest_path: str | None
    on_item_failure: Literal["continue", "fail"]
    fail_if: str | float
    item_retries: int
    strict: bool
    on_unknown_submission: Literal["resubmit", "fail"]
    regenerate: bool
    poll_interval: float
    timeout: timedelta
    execution_timeout: timedelta | None
    durable: bool
    cancel_on_kill: bool
    cancel_on_timeout: bool
    deferrable: bool
    max_cost: MaxCost | None = None
    on_unknown_price: UnknownPrice = "fail"
