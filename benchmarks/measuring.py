"""What is measured of a contender's process: outcomes, the event loop's stalls, CPU."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from typing import Any

TICK = 0.01


class StallMeter:
    """A task on the event loop that should run every 10 ms, and notes how late it was at worst.

    On a shared machine the process may simply have been off the CPU, so the CPU time that the loop's thread used
    during the worst pause stands beside it. A call that blocks on the network uses none either: compare with the
    floor, whose process does nothing.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self.worst_cpu = 0.0
        self.over_50_ms = 0
        self.away = 0.0
        self.seconds = 0.0
        self.busiest = 0.0
        self.busiest_at = 0.0

    async def run(self) -> None:
        began = last = time.monotonic()
        cpu = time.thread_time()
        while True:
            await asyncio.sleep(TICK)
            now, used = time.monotonic(), time.thread_time()
            late, own = now - last - TICK, used - cpu
            self.over_50_ms += late > 0.05
            self.away += max(0.0, late)
            self.seconds = now - began
            if own > self.busiest:
                self.busiest, self.busiest_at = own, now - began
            if late > self.worst:
                self.worst, self.worst_cpu = late, own
            last, cpu = now, used

    def report(self) -> dict[str, Any]:
        return {
            "stall": self.worst,
            "stall_cpu": self.worst_cpu,
            "busiest": self.busiest,
            "busiest_at": self.busiest_at,
            "stalls_over_50_ms": self.over_50_ms,
            "away": self.away / self.seconds if self.seconds else 0.0,
        }


def cpu_seconds() -> float:
    """User and system time of this process until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the values does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
