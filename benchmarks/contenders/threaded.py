"""(c) A trigger for each task that calls the vendor's client in the loop's thread pool.

The way of the common-ai provider's batch trigger: five errors in a row end the wait, an answer forgives them.
"""

from __future__ import annotations

import asyncio

from benchmarks.contenders.base import Contender, Job, started
from benchmarks.contenders.sdk import configure, query

ERRORS_BORNE = 5


class Threaded(Contender):
    """Does not stall the loop; the pool of (cores + 4) threads is what all tasks wait for."""

    async def wait(self, job: Job) -> None:
        configure(job.url, job.key)
        await started(self._one(job, handle.task_id) for handle in job.handles)

    async def _one(self, job: Job, task_id: str) -> None:
        word: str | None = None
        errors = 0
        while word is None:
            try:
                word = await asyncio.to_thread(query, task_id)
                errors = 0
            except Exception as error:
                errors += 1
                if errors >= ERRORS_BORNE:
                    word = str(error)
            if word is None:
                await asyncio.sleep(job.interval)
        job.tell(task_id, word)
