"""(a) What the SDK's pages show: ``wait()``, in as many threads as there are tasks."""

from __future__ import annotations

import asyncio
import threading

from dashscope import VideoSynthesis

from benchmarks.contenders.base import Contender, Job
from benchmarks.contenders.sdk import configure, outcome


class SdkThreads(Contender):
    """Queries after 1, 1, 2, 2, 2, 4, 4, 4, 5, 5 … seconds, which cannot be chosen."""

    async def wait(self, job: Job) -> None:
        configure(job.url, job.key)

        def one(task_id: str) -> None:
            try:
                word = outcome(VideoSynthesis.wait(task_id))
            except Exception as error:
                word = type(error).__name__
            job.tell(task_id, word)

        # Daemons, so that the process can end although some still wait when the time is over.
        threads = [threading.Thread(target=one, args=(handle.task_id,), daemon=True) for handle in job.handles]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.2)
