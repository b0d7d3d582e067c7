"""A triggerer: runs the serialized triggers that come in on stdin on one event loop, tells each one's event."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .pipes import LINE_LIMIT, take_stdout

log = logging.getLogger("soak.triggerer")


async def serve(tell: Callable[[dict[str, Any]], None]) -> None:
    lines = asyncio.StreamReader(limit=LINE_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    async for line in lines:
        task = asyncio.create_task(run(json.loads(line), tell))
        running.add(task)
        task.add_done_callback(running.discard)


async def run(message: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    classpath, kwargs = message["trigger"]
    module, _, name = classpath.rpartition(".")
    try:
        events = [event.payload async for event in getattr(import_module(module), name)(**kwargs).run()]
    except Exception as error:
        log.exception("a trigger failed")
        tell({"id": message["id"], "error": f"{type(error).__name__}: {error}"})
    else:
        for event in events:
            tell({"id": message["id"], "event": event})


if __name__ == "__main__":
    asyncio.run(serve(take_stdout()))
