"""A trigger's lines in its task log, written beside the event loop and a few at a time.

In Airflow's triggerer a line is a blocking write to a supervisor process, which reads ten lines or so between two
rounds of its database work, and sends the next triggers with blocking writes of its own. Seen with Airflow 3.3.2 and
10,000 deferred tasks: the vendor's list showed many tasks to be running, their lines filled the socket while the
supervisor was sending, and each process waited for the other to read, for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from itertools import islice
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

AT_ONCE = 10
"""Triggers that write between two rests, a line each as a rule; the supervisor reads 4 kB in a round."""

REST_SECONDS = 0.1
"""In which the supervisor catches up, so that Airflow's own lines, which are written on the loop, find room."""


Line = tuple[Context, str]


class TaskLogger:
    """What a trigger writes its lines with, beside being a ``BaseTrigger``; it keeps nothing once they are written."""

    logger: ClassVar[Any]
    """Airflow's; its ``info`` may block, and finds the log by the caller's context."""

    def _say(self, line: str) -> None:
        """Have a line written when its turn comes."""
        _writer().take(self, line)

    async def _write(self, line: str) -> None:
        """Write a line now, after those that were said."""
        writer = _writer()
        writer.take(self, line)
        await writer.write(self)

    async def _all_written(self) -> None:
        """Write now what has not had its turn: Airflow closes the log of a trigger that has fired."""
        await _writer().write(self)


class _Writer:
    """What all triggers of one event loop have to say; who began to wait first has the next turn."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "wan-task-log")
        self._waiting: dict[TaskLogger, list[Line]] = {}
        self._work: asyncio.Task[None] | None = None

    def take(self, trigger: TaskLogger, line: str) -> None:
        self._waiting.setdefault(trigger, []).append((copy_context(), line))
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def write(self, *triggers: TaskLogger) -> None:
        """Write all that these have to say."""
        lines = [(trigger, self._waiting.pop(trigger, [])) for trigger in triggers]
        # Also when there are none: the last ones may be on their way.
        await asyncio.get_running_loop().run_in_executor(self._thread, _write, lines)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self.write(*islice(self._waiting, AT_ONCE))
                await asyncio.sleep(REST_SECONDS)
        finally:
            self._work = None


def _write(told: list[tuple[TaskLogger, list[Line]]]) -> None:
    for trigger, lines in told:
        for context, line in lines:
            # A line that cannot be written must not end a wait.
            with contextlib.suppress(Exception):
                context.run(trigger.logger().info, line)


_writers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Writer] = WeakKeyDictionary()


def _writer() -> _Writer:
    loop = asyncio.get_running_loop()
    writer = _writers.get(loop)
    if writer is None:
        writer = _writers[loop] = _Writer()
    return writer
