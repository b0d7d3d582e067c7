"""Runs an operator as Airflow does, in one process and without its services: deferrals, retries, the state store."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import TaskDeferred


class FileStore:
    """Airflow's task state store as a folder: a file for each key, so that it survives a SIGKILL as a database does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.writes = 0
        self.bytes = 0
        self.largest = 0

    def _path(self, key: str) -> Path:
        return self._folder / f"{key.replace('/', '_')}.state"

    def get(self, key: str, default: Any = None) -> Any:
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        text = json.dumps(value)
        self.writes += 1
        self.bytes += len(text)
        self.largest = max(self.largest, len(text))
        draft = self._folder / f"{os.getpid()}.draft"
        draft.write_text(text)
        draft.replace(self._path(key))

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes kept now."""
        return sum(path.stat().st_size for path in self._folder.glob("*.state"))


@dataclass
class Instance:
    """What operators use of a task instance."""

    task_id: str = "make"
    dag_id: str = "bench"
    run_id: str = "manual__1"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 4
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@dataclass
class Run:
    """One task instance: its store, and how long it held a worker."""

    make: Callable[[], BaseOperator]
    store: FileStore
    map_index: int = -1
    on_worker: float = 0.0
    longest: float = 0.0
    """Seconds for which it held a worker at a stretch."""
    deferrals: int = 0

    def attempt(self) -> Any:
        """Run from the start to the end; return the result or raise what the task raises."""
        instance = Instance(map_index=self.map_index)
        context = {"ti": instance, "task_instance": instance, "outlet_events": {}, "task_state_store": self.store}
        method, kwargs = "execute", {}
        while True:
            began = time.monotonic()
            operator = self.make()
            token = ExecutorSafeguard.tracker.set(operator)
            try:
                return getattr(operator, method)(context, **kwargs)
            except TaskDeferred as deferred:
                wait = deferred
            finally:
                ExecutorSafeguard.tracker.reset(token)
                held = time.monotonic() - began
                self.on_worker += held
                self.longest = max(self.longest, held)
            self.deferrals += 1
            method, kwargs = str(wait.method_name), {"event": _event(wait)}


def _event(deferred: TaskDeferred) -> Any:
    """Carry the trigger over as text, as through Airflow's database, and wait for its event."""
    classpath, kwargs = deferred.trigger.serialize()
    module, _, name = classpath.rpartition(".")
    trigger = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))

    async def first() -> Any:
        (payload,) = [event.payload async for event in trigger.run()]
        return payload

    return json.loads(json.dumps(asyncio.run(first())))
