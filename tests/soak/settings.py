"""What a soak is made of: how many videos, which faults, what happens in the middle of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Literal

from airflow_provider_wan.durable import Timing

VENDORS = ("dashscope", "gccai")
"""The one that is recovered through its task list, and the one that is recovered through idempotency keys."""


@dataclass(frozen=True)
class Moment:
    """Something that happens once, when a share of all videos has come so far.

    :param stage: ``waiting`` counts those that have had a trigger, ``landed`` those that are on disk.
    :param seconds: how much later it happens; of an outage: how long it lasts.
    """

    stage: Literal["waiting", "landed"]
    share: float
    what: Literal["outage", "kill triggerer", "kill worker"]
    seconds: float = 0.0


@dataclass(frozen=True)
class Soak:
    """One run; times in seconds.

    :param each: videos per vendor.
    :param sandbox: the sandbox's settings, faults included.
    :param orders: the sandbox's orders that stand in prompts: of each ``every`` videos, the first, the second, ...
    :param connection: more of the connections' extra fields.
    :param slots: Airflow tasks that a worker process runs at once.
    :param retries: attempts that may fail, as Airflow's ``retries``; pauses are none.
    :param timing: how far the vendor's list is trusted, in seconds, as ``durability.Timing``.
    :param patience: for how long a submission waits on a worker for a throttled vendor.
    :param throttled_pause: for how long a throttled submission leaves the worker.
    :param has_ledger: whether submissions are recorded as objects, as with ``ledger_path``.
    :param patience_of_all: after so long what is not delivered is lost.
    """

    each: int
    sandbox: dict[str, Any]
    moments: tuple[Moment, ...] = ()
    orders: tuple[str, ...] = ()
    every: int = 10
    connection: dict[str, Any] = field(default_factory=dict)
    vendors: tuple[str, ...] = VENDORS
    workers: int = 2
    slots: int = 6
    retries: int = 4
    retry_delay: float = 5.0
    poll_interval: float = 15.0
    timing: dict[str, float] = field(default_factory=dict)
    patience: float = 15.0
    throttled_pause: float = 60.0
    patience_of_all: float = 1800.0
    has_ledger: bool = False

    def prompt(self, vendor: str, number: int) -> str:
        """A prompt that no other video has."""
        place = number % self.every
        order = f" [sandbox {self.orders[place]}]" if place < len(self.orders) else ""
        return f"Soak {vendor} {number}{order}"

    def for_children(self) -> dict[str, Any]:
        """What the other processes have to know, as JSON."""
        names = ("slots", "poll_interval", "timing", "patience", "throttled_pause", "patience_of_all", "has_ledger")
        return {name: value for name, value in asdict(self).items() if name in names}


def timing_of(given: dict[str, float]) -> Timing:
    """Read ``Soak.timing``."""
    spans = {name: timedelta(seconds=value) for name, value in given.items() if name != "look_again"}
    return Timing(**spans, **{name: value for name, value in given.items() if name == "look_again"})


def conn_id(vendor: str) -> str:
    return f"wan_{vendor}"
