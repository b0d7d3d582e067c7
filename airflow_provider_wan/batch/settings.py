"""What the author of a batch asked for, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from airflow_provider_wan.client.costs.limit import MaxCost, UnknownPrice
from airflow_provider_wan.client.routing import Prefer, Route
from airflow_provider_wan.durable import Timing


@dataclass(frozen=True)
class BatchTimes:
    """Waits of a batch, in seconds; tests give shorter ones.

    :param soonest: a worker is woken no sooner, whatever there is to do.
    :param pause: the first pause at a vendor that is throttled or out of reach; the next one is twice as long.
    :param longest_pause: the longest one.
    :param submit_tries: of a submission whose outcome a repeat can settle.
    :param throttled: how long a worker is held for one throttled submission.
    :param search: how lost answers are looked for.
    :param shortest_search: a search for a lost submission gets as long at least, however little is left.
    :param store_again: until a video that could not be stored is tried again; the next time twice as long.
    :param progress: between two reports of progress.
    """

    soonest: float = 1.0
    pause: float = 30.0
    longest_pause: float = 300.0
    submit_tries: int = 4
    throttled: float = 5.0
    search: Timing = field(default_factory=Timing)
    shortest_search: float = 120.0
    store_again: float = 60.0
    progress: float = 10.0


TIMES = BatchTimes()


def times_in_force() -> BatchTimes:
    """Return the waits that a run begins with."""
    return TIMES


@dataclass(frozen=True)
class BatchSettings:
    """The parameters of :class:`~airflow_provider_wan.operators.batch.WanVideoBatchOperator`, rendered and read.

    :param requests: a list of rows, or the URI of a file with them.
    :param timeout: for each item from its submission.
    :param execution_timeout: Airflow's own, which it does not enforce on deferred tasks.
    """

    requests: Any
    defaults: Mapping[str, Any] | None
    wan_conn_id: str | tuple[str, ...]
    max_in_flight: int
    store_to: str | None
    ledger_path: str | None
    manifest_path: str | None
    on_item_failure: Literal["continue", "fail"]
    on_invalid_row: Literal["fail", "skip"]
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
    media: Literal["auto", "presign", "upload", "inline"] = "auto"
    route: Route = "failover"
    prefer: Prefer = None
    times: BatchTimes = field(default_factory=times_in_force)
