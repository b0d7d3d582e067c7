"""Runs an operator as Airflow would, without Airflow's processes.

Between two steps everything crosses the borders it crosses in Airflow: the trigger and its event are serialised, the
operator is made and rendered anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.triggers.base import TriggerEvent

VENDORS = ("dashscope", "gccai", "powertokens", "freepik", "openai")
KEY = "sk-rooms-4dd1f0c97a"


class Store:
    """Keeps what Airflow's task state store keeps: JSON, and no ``None``."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

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
    try_number: int = 1
    max_tries: int = 0
    start_date: datetime | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


@dataclass
class Step:
    """One deferral: what went to the triggerer, and what came back."""

    classpath: str
    kwargs: dict[str, Any]
    timeout: timedelta | None
    method: str
    event: dict[str, Any]
    links: dict[str, Any]
    """The XComs as they were while the task was deferred."""


@dataclass
class Driven:
    """A task instance over all its steps."""

    make: Callable[[], BaseOperator]
    store: Store | None = field(default_factory=Store)
    instance: Instance = field(default_factory=Instance)
    context: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    operator: BaseOperator | None = None

    def run(self) -> Any:
        """Run to the end; return what ``execute`` or the last resumption returned."""
        method, kwargs = "execute", {}
        while True:
            try:
                return self.call(method, **kwargs)
            except TaskDeferred as deferred:
                event = self.trigger(deferred)
                method, kwargs = deferred.method_name, {"event": event}

    def call(self, method: str, **kwargs: Any) -> Any:
        """Make and render the operator, call one method."""
        self.operator = self.rendered()
        token = ExecutorSafeguard.tracker.set(self.operator)
        try:
            return getattr(self.operator, method)(self.full_context, **kwargs)
        finally:
            ExecutorSafeguard.tracker.reset(token)
            self.finalize()

    def finalize(self) -> None:
        """Push the links, as Airflow does when a worker lets go of a task, also by deferring."""
        for link in self.operator.operator_extra_links if self.operator is not None else ():
            if found := getattr(self.operator, "video_link", None):
                self.instance.xcom_push(link.xcom_key, found)

    def deferred(self) -> TaskDeferred:
        """Run ``execute`` to its deferral."""
        try:
            result = self.call("execute")
        except TaskDeferred as deferred:
            return deferred
        raise AssertionError(f"not deferred but returned {result}")

    def rendered(self) -> BaseOperator:
        with DAG(self.instance.dag_id, schedule=None):
            operator = self.make()
        operator.render_template_fields(self.full_context)
        return operator

    @property
    def full_context(self) -> Any:
        known: dict[str, Any] = {"ti": self.instance, "task_instance": self.instance, "outlet_events": {}}
        if self.store is not None:
            known["task_state_store"] = self.store
        return known | self.context

    def trigger(self, deferred: TaskDeferred) -> dict[str, Any]:
        """Carry the trigger over, run it to its first event, carry the event back."""
        classpath, kwargs = deferred.trigger.serialize()
        kwargs = carried(kwargs)
        links = dict(self.instance.xcoms)
        event = carried(asyncio.run(first_event(made(classpath, kwargs))).payload)
        assert deferred.method_name is not None
        self.steps.append(Step(classpath, kwargs, deferred.timeout, deferred.method_name, event, links))
        return event


def made(classpath: str, kwargs: dict[str, Any]) -> Any:
    """Make a trigger as a triggerer does."""
    module, _, name = classpath.rpartition(".")
    return getattr(import_module(module), name)(**kwargs)


async def first_event(trigger: Any) -> TriggerEvent:
    """Return the first event, and see that the trigger ends at once after it."""
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def carried(value: Any) -> Any:
    """Return ``value`` as it arrives on the other side of Airflow's database."""
    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:  # Airflow 3.1 has it elsewhere
        from airflow.serialization.serde import deserialize, serialize
    return deserialize(json.loads(json.dumps(serialize(value))))
