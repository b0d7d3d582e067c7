"""Processes that take and give one JSON value a line: the parent's side and the child's."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINE_LIMIT = 2**20


class Child:
    """A child process, made with ``Child.start``; what it logs goes to a file."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self.log = log
        self.was_killed = False

    @classmethod
    async def start(cls, module: str, given: dict[str, Any], log: Path, env: dict[str, str]) -> Child:
        """Run a module of this package.

        :param log: the file its log is added to; its Airflow's home is beside it.
        """
        env = env | {"AIRFLOW_HOME": str(log.with_suffix(".airflow")), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        argv = ["-m", f"tests.soak.{module}", json.dumps(given)]
        with log.open("a") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *argv, stdin=PIPE, stdout=PIPE, stderr=file, env=env, cwd=ROOT, limit=LINE_LIMIT
            )
        return cls(process, log)

    def send(self, message: dict[str, Any]) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the child says until it is gone; a line that its death cut off was never said."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.endswith(b"\n"):
                yield json.loads(line)

    def kill(self) -> None:
        """SIGKILL: nothing in the child runs after it."""
        self.was_killed = True
        if self._process.returncode is None:
            self._process.kill()

    async def gone(self) -> None:
        """Reap it.

        :raises RuntimeError: when it ended by itself.
        """
        code = await self._process.wait()
        if not self.was_killed:
            raise RuntimeError(f"a child ended by itself with {code}:\n{self.log.read_text()[-2000:]}")


def take_stdout() -> Callable[[dict[str, Any]], None]:
    """Keep the process's stdout for messages, send all else that is printed to stderr; return the way to tell.

    A line is one write, so that lines of several threads never mix.
    """
    messages = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, force=True, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def tell(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message).encode() + b"\n")

    return tell
