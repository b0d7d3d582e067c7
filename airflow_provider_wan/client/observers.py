"""Who is told of what the clients of this process do: for statistics, which this room knows nothing of."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_wan.client.exchange import Answer, Broken, Call
from airflow_provider_wan.client.tasks import VideoTask


class Observer(Protocol):
    """Is told as it happens, so it must be quick and never raise."""

    def exchanged(self, vendor: str, call: Call, outcome: Answer | Broken) -> None:
        """Take note of one exchange with a vendor."""

    def ended(self, task: VideoTask) -> None:
        """Take note that a wait has seen its task; not every wait ends with a task that has ended."""


observers: list[Observer] = []
"""Those of this process."""


def observe(observer: Observer | None) -> None:
    """Have one told, and nobody else; ``None``: nobody."""
    observers[:] = [observer] if observer else []
