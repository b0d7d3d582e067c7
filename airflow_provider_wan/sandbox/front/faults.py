"""Decides which call goes wrong, from the settings and from what the prompt orders."""

from __future__ import annotations

import random
from typing import Any

from airflow_provider_wan.sandbox.settings import FailNext, Settings
from airflow_provider_wan.sandbox.world.directives import Directives
from airflow_provider_wan.sandbox.world.world import World


class Faults:
    """Draws the lots; one generator of its own, so that faults do not change how long generations take."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._settings = settings
        self._world = world
        self.clear()

    def clear(self) -> None:
        """Start the sequence of lots again and end an outage."""
        self._random = random.Random(self._settings.seed + 1)  # noqa: S311 - repeatable on purpose
        self._malformed = 0
        self._outage_until = 0.0
        self.start_outage(self._settings.outage)

    def start_outage(self, seconds: float) -> None:
        """Refuse every vendor call for so many seconds from now; 0 ends an outage."""
        self._outage_until = self._world.now() + seconds

    @property
    def outage(self) -> bool:
        """Whether nothing is served at the moment."""
        return self._world.now() < self._outage_until

    def drop_before(self, kind: str) -> bool:
        """Whether to close the connection before the call has any effect."""
        return kind == "submit" and self._lot(self._settings.drop_before_rate)

    def forced(self, kind: str, vendor: str) -> FailNext | None:
        """Return the answer that was ordered for the next call of this kind, if one was."""
        for order in self._settings.fail_next:
            if order.call == kind and order.times > 0 and order.vendor in (None, vendor):
                order.times -= 1
                return order
        return None

    def error(self, kind: str) -> int | None:
        """Draw an HTTP error for a call, before it has any effect."""
        return self._draw(self._settings.error_rates, kind)

    def drop_answer(self, first: bool, directives: Directives) -> bool:
        """Whether the task that has just been made is not told to its maker; ``first`` of this exact prompt."""
        if self._settings.drop_next_answers > 0:
            self._settings.drop_next_answers -= 1
            return True
        return (directives.drop_answer and first) or self._lot(self._settings.drop_answer_rate)

    def error_after_create(self, first: bool, directives: Directives) -> int | None:
        """Draw an HTTP error for a submission that did make a task."""
        if directives.error_after_create and first:
            return directives.error_after_create
        return 500 if self._lot(self._settings.error_after_create_rate) else None

    def malformed(self, kind: str) -> int | None:
        """Return the number of a malformed answer to give instead of the right one, ``None`` for the right one."""
        rates: dict[Any, float] = dict(self._settings.malformed_rate)
        if not self._lot(rates.get(kind, 0.0)):
            return None
        self._malformed += 1
        return self._malformed - 1

    def download(self, name: str) -> bool:
        """Whether to spoil this download; ``name`` is the setting that counts them down."""
        left: int = getattr(self._settings, name)
        if left > 0:
            setattr(self._settings, name, left - 1)
        return left > 0

    def _draw(self, rates: Any, kind: str) -> int | None:
        lot = self._random.random() if rates.get(kind) else 1.0
        for status, rate in rates.get(kind, {}).items():
            if lot < rate:
                return int(status)
            lot -= rate
        return None

    def _lot(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate
