"""(b) A trigger for each task that calls the vendor's client where it stands, on the event loop.

The way of the openai provider's batch trigger: any error ends the wait.
"""

from __future__ import annotations

import asyncio

from benchmarks.contenders.base import Contender, Job, started
from benchmarks.contenders.sdk import configure, query


class Blocking(Contender):
    """One blocking query after the other; the whole triggerer waits for each."""

    async def wait(self, job: Job) -> None:
        configure(job.url, job.key)
        await started(self._one(job, handle.task_id) for handle in job.handles)

    async def _one(self, job: Job, task_id: str) -> None:
        try:
            while (word := query(task_id)) is None:  # noqa: ASYNC110 - the way it is done there
                await asyncio.sleep(job.interval)
        except Exception as error:
            word = str(error)
        job.tell(task_id, word)
