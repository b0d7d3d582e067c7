"""A trigger's lines in its task log, written beside the event loop and a few at a time.

In Airflow's triggerer a line is a blocking write to a supervisor process, which reads ten lines or so between two
rounds of its database work, and sends the next triggers with blocking writes of its own. Seen with Airflow 3.3.2 and
10,000 deferred tasks: the vendor's list showed many tasks to be running, their lines filled the socket while the
supervisor was sending, and each process waited for the other to read, for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Protocol
from weakref import WeakKeyDictionary

AT_ONCE = 10
"""Lines between two rests; the supervisor reads 4 kB in a round."""

REST_SECONDS = 0.1
"""In which the supervisor catches up, so that Airflow's own lines, which are written on the loop, find room."""


class Log(Protocol):
    """What writes a line, and may block."""

    def info(self, line: str, /) -> object:
        """Write a line."""


class TaskLog:
    """The task log of one trigger."""

    __slots__ = ("_lines", "_log")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lines: list[tuple[Context, str]] = []

    def say(self, line: str) -> None:
        """Have a line written when its turn comes, in the caller's context (by which Airflow finds the log)."""
        self._lines.append((copy_context(), line))
        _lane().take(self)

    async def write(self, line: str) -> None:
        """Write a line now, after those that were said."""
        self._lines.append((copy_context(), line))
        await self.written()

    async def written(self) -> None:
        """Write now what has not had its turn: Airflow closes the log of a trigger that has fired."""
        # Also when none is left: the last one may be on its way.
        await _lane().write([self] * len(self._lines))

    def write_next(self) -> None:
        """Write the oldest line that is left, if any; called in the lane's thread."""
        if self._lines:
            context, line = self._lines.pop(0)
            # A line that cannot be written must not end a wait.
            with contextlib.suppress(Exception):
                context.run(self._log.info, line)


class _Lane:
    """What all triggers of one event loop have to say, in the order in which it was said."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "wan-task-log")
        self._waiting: deque[TaskLog] = deque()
        self._work: asyncio.Task[None] | None = None

    def take(self, log: TaskLog) -> None:
        """Put a log into the lane, for one of its lines."""
        self._waiting.append(log)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def write(self, logs: list[TaskLog]) -> None:
        """Write one line of each."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _write, logs)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self.write([self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))])
                await asyncio.sleep(REST_SECONDS)
        finally:
            self._work = None


def _write(logs: list[TaskLog]) -> None:
    for log in logs:
        log.write_next()


_lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()


def _lane() -> _Lane:
    loop = asyncio.get_running_loop()
    lane = _lanes.get(loop)
    if lane is None:
        lane = _lanes[loop] = _Lane()
    return lane
