"""Several pollers of one account, in as many processes, before one vendor on one virtual clock."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

from .fake_vendor import FakeVendor, World
from .simulation import Report, Simulation

TICK = 0.02
"""Seconds: the order of what they do is true to this."""


COUNTED_EVERY = 10.0
"""Seconds."""


class Triggerers:
    """Simulations side by side whose requests count against one limit.

    :param is_counted: whether each one is told from time to time what part of all the waits are its own.
    """

    def __init__(self, count: int, tasks: int, *, is_counted: bool = False, **settings: Any) -> None:
        self._is_counted = is_counted
        worlds = [World(tasks=tasks // count, seed=number, **settings) for number in range(count)]
        limit: dict[str, deque[float]] = {"query": deque(), "page": deque()}
        self.pollers = []
        for world in worlds:
            vendor = FakeVendor(world)
            vendor._window = limit
            self.pollers.append(Simulation(world, vendor))

    def run(self) -> list[Report]:
        """Run until nobody waits any more."""
        for poller in self.pollers:
            poller.begin()
        now = 0.0
        while any(poller.is_busy for poller in self.pollers):
            now += TICK
            if self._is_counted and now % COUNTED_EVERY < TICK:
                self._tell()
            for poller in self.pollers:
                poller.go_to(now)
        return [poller.finished() for poller in self.pollers]

    def _tell(self) -> None:
        waits = [len(poller.schedule) for poller in self.pollers]
        for poller, own in zip(self.pollers, waits, strict=True):
            poller.schedule.take_part(own / max(1, *waits, sum(waits)))


def throttled_share(reports: list[Report]) -> float:
    """Return the part of all requests that was refused."""
    asked = sum(report.queries + report.pages for report in reports)
    return sum(report.throttled for report in reports) / asked


def merged(reports: list[Report]) -> list[float]:
    """Return how late each ending was known, sorted."""
    return list(heapq.merge(*(sorted(report.late) for report in reports)))
