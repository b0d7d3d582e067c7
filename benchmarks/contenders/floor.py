"""The floor: as many triggers that only sleep."""

from __future__ import annotations

import asyncio

from benchmarks.contenders.base import Contender, Job, started


class Sleepers(Contender):
    """Asks nobody, so it delivers nothing."""

    async def wait(self, job: Job) -> None:
        await started(asyncio.sleep(job.ends) for _ in job.handles)
