"""What the author of a batch asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True)
class BatchSettings:
    """The parameters of :class:`~airflow_provider_wan.operators.batch.WanVideoBatchOperator` as values.

    :param timeout: for each item from its submission.
    :param limit: Airflow's ``execution_timeout``, which it does not enforce on deferred tasks.
    """

    wan_conn_id: str
    max_in_flight: int
    store_to: str | None
    manifest_path: str | None
    on_item_failure: str
    fail_if: str | float
    item_retries: int
    on_unknown_submission: Literal["resubmit", "fail"]
    regenerate: bool
    poll_interval: float
    timeout: timedelta
    limit: timedelta | None
    cancel_on_kill: bool
    cancel_on_timeout: bool
    deferrable: bool
