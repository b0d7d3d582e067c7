"""What is measured of a contender's process: outcomes, the event loop's stalls, CPU."""

from __future__ import annotations

import asyncio
import gc
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
    floor, whose process does nothing. Python's garbage collector runs inside of those pauses; its longest turn stands
    beside them, too, because a full one grows with all that the process has ever imported.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self.worst_cpu = 0.0
        self.over_50_ms = 0
        self.away = 0.0
        self.seconds = 0.0
        self.busiest = 0.0
        self.busiest_at = 0.0
        self.collecting = 0.0
        self.full_collections = 0

    async def run(self) -> None:
        gc.callbacks.append(self._watch_collector)
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

    def _watch_collector(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collector_began = time.thread_time()
        else:
            self.collecting = max(self.collecting, time.thread_time() - self._collector_began)
            self.full_collections += info["generation"] == 2

    def report(self) -> dict[str, Any]:
        return {
            "stall": self.worst,
            "stall_cpu": self.worst_cpu,
            "busiest": self.busiest,
            "busiest_at": self.busiest_at,
            "collecting": self.collecting,
            "full_collections": self.full_collections,
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
