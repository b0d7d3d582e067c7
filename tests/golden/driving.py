"""Runs an operator as Airflow would, one step at a time, from whatever an earlier version has left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard


def import_string(path: str) -> Any:
    """Return what stands at a dotted path; Airflow's triggerer and UI find classes so."""
    from importlib import import_module

    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


class Store:
    """Keeps what Airflow's task state store keeps: JSON, and no ``None``."""

    def __init__(self, rows: dict[str, Any] | None = None) -> None:
        self.rows = {key: json.dumps(value) for key, value in (rows or {}).items()}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if value is None:
            raise ValueError("None cannot be stored")
        self.rows[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)


@dataclass
class Instance:
    """The part of a task instance that operators and links use."""

    task_id: str = "make"
    dag_id: str = "films"
    run_id: str = "manual__1"
    map_index: int = -1
    try_number: int = 2
    max_tries: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: Any = None, key: str = "return_value", **_: Any) -> Any:
        return self.xcoms.get(key)


@dataclass
class Deferral:
    """What stands in Airflow's database while a task is deferred."""

    classpath: str
    kwargs: dict[str, Any]
    method: str

    @classmethod
    def of(cls, written: dict[str, Any]) -> Deferral:
        return cls(written["classpath"], written["kwargs"], written["method"])

    def fire(self) -> dict[str, Any]:
        """Make the trigger as a triggerer does and run it to its one event."""
        trigger = import_string(self.classpath)(**self.kwargs)

        async def events() -> list[Any]:
            return [event.payload async for event in trigger.run()]

        (event,) = asyncio.run(events())
        return dict(carried(event))


@dataclass
class Attempt:
    """One try of a task instance: an operator, its arguments, and what is stored for it."""

    operator: str
    arguments: dict[str, Any]
    state: dict[str, Any] | None = field(default_factory=dict)
    instance: Instance = field(default_factory=Instance)
    make: Callable[[], BaseOperator] | None = None
    deferrals: list[Deferral] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = None if self.state is None else Store(self.state)

    @classmethod
    def on(cls, entry: dict[str, Any], **arguments: Any) -> Attempt:
        """Return an attempt that finds what a golden entry holds; ``arguments`` differ from the golden ones."""
        attempt = cls(entry["operator"], entry["arguments"] | arguments, entry.get("state"))
        attempt.instance.xcoms = dict(entry.get("xcoms", {}))
        return attempt

    def step(self, method: str = "execute", event: dict[str, Any] | None = None) -> Any:
        """Call one method of a new operator; return its result, or the deferral."""
        operator = self._rendered()
        token = ExecutorSafeguard.tracker.set(operator)
        try:
            call = getattr(operator, method)
            return call(self.context) if event is None else call(self.context, event=event)
        except TaskDeferred as deferred:
            classpath, kwargs = deferred.trigger.serialize()
            method = str(deferred.method_name)
            self.deferrals.append(Deferral(classpath, carried(kwargs), method))
            return self.deferrals[-1]
        finally:
            ExecutorSafeguard.tracker.reset(token)
            for link in operator.operator_extra_links:
                # As Airflow does when a worker lets go of a task.
                if found := getattr(operator, "video_link", None):
                    self.instance.xcom_push(link.xcom_key, found)

    def go_on(self, found: Any) -> Any:
        """Go from a deferral to the end; return what the last step returned."""
        while isinstance(found, Deferral):
            found = self.step(found.method, found.fire())
        return found

    def run(self) -> Any:
        """Go from ``execute`` to the end."""
        return self.go_on(self.step())

    @property
    def record(self) -> dict[str, Any]:
        """The record of the submission, as it stands now."""
        assert self.store is not None
        return dict(self.store.get("wan_submission"))

    @property
    def context(self) -> Any:
        known: dict[str, Any] = {"ti": self.instance, "task_instance": self.instance, "outlet_events": {}}
        return known if self.store is None else known | {"task_state_store": self.store}

    def _rendered(self) -> BaseOperator:
        with DAG(self.instance.dag_id, schedule=None):
            operator = self.make() if self.make else import_string(self.operator)(task_id="make", **self.arguments)
        operator.render_template_fields(self.context)
        return operator


def carried(value: Any) -> Any:
    """Return ``value`` as it arrives on the other side of Airflow's database."""
    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:  # Airflow 3.1 has it elsewhere
        from airflow.serialization.serde import deserialize, serialize
    return deserialize(json.loads(json.dumps(serialize(value))))
