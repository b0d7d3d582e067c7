"""Contenders of the real triggerer as trigger classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

INTERVAL = 15.0


class SleepTrigger(BaseTrigger):
    """The floor: waits, and does nothing."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.seconds)
        yield TriggerEvent("over")


class SdkTrigger(BaseTrigger):
    """Queries through the official SDK: where it stands, or in the loop's threads (``is_threaded``)."""

    def __init__(self, url: str, task_id: str, is_threaded: bool) -> None:
        super().__init__()
        self.url = url
        self.task_id = task_id
        self.is_threaded = is_threaded

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kwargs = {"url": self.url, "task_id": self.task_id, "is_threaded": self.is_threaded}
        return f"{__name__}.{type(self).__name__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from benchmarks.contenders.sdk import configure, query
        from benchmarks.sandbox_process import KEY

        configure(self.url, KEY)
        word: str | None = None
        while word is None:
            word = await asyncio.to_thread(query, self.task_id) if self.is_threaded else query(self.task_id)
            if word is None:
                await asyncio.sleep(INTERVAL)
        yield TriggerEvent(word)
