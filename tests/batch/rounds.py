"""A batch driven round by round, as Airflow would, with everything crossing the borders it crosses there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.sandbox import Sandbox
from tests.driving import Driven, Instance, Store

VALUE_LIMIT = 64 * 1024


class CountingStore(Store):
    """Counts calls and remembers the largest value."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest = 0
        self.is_down = False

    def get(self, key: str, default: Any = None) -> Any:
        self.calls["get"] += 1
        if self.is_down:
            raise RuntimeError("API_SERVER_ERROR")
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.calls["set"] += 1
        if self.is_down:
            raise RuntimeError("API_SERVER_ERROR")
        super().set(key, value)
        self.largest = max(self.largest, len(self.rows[key].encode()))
        assert self.largest < VALUE_LIMIT, f"{key} has {self.largest} bytes"


class Rounds:
    """One task instance of the batch operator."""

    def __init__(self, sandbox: Sandbox, folder: Path, rows: Any, given: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.rows = rows
        self.given = {"poll_interval": 0.02, "manifest_path": f"file://{folder}/manifest.jsonl"} | given
        self.store: CountingStore | None = CountingStore()
        self.instance = Instance(task_id="shots", max_tries=0)
        self.driven: Driven | None = None

    # -- driving --------------------------------------------------------------------------------------

    def attempt(self) -> Driven:
        """A new try of the same task instance."""
        self.driven = Driven(self._make, store=self.store, instance=self.instance)
        return self.driven

    def _make(self) -> WanVideoBatchOperator:
        return WanVideoBatchOperator(task_id="shots", requests=self.rows, **self.given)

    def run(self) -> dict[str, Any]:
        """One attempt, to its end."""
        result: dict[str, Any] = self.attempt().run()
        return result

    def fails(self) -> Exception:
        """One attempt that ends with an error."""
        try:
            self.run()
        except TaskDeferred:
            raise
        except Exception as error:
            return error
        raise AssertionError("it did not fail")

    def first_round(self) -> TaskDeferred:
        """An attempt up to its first deferral; whatever follows is lost with its worker."""
        return self.attempt().deferred()

    def first_event(self) -> dict[str, Any]:
        """An attempt up to the event that its trigger fires."""
        return self.trigger_of(self.first_round())

    def next_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """One round more, up to the event that its trigger fires."""
        return self.trigger_of(self.next_round(event))

    def next_round(self, event: dict[str, Any]) -> TaskDeferred:
        """One round more, up to its deferral."""
        assert self.driven is not None
        try:
            result = self.driven.call("execute_round", event=event)
        except TaskDeferred as deferred:
            return deferred
        raise AssertionError(f"not deferred but returned {result}")

    def trigger_of(self, deferred: TaskDeferred) -> dict[str, Any]:
        """Let the triggerer do its part."""
        assert self.driven is not None
        return self.driven.trigger(deferred)

    def goes_on(self, event: dict[str, Any]) -> dict[str, Any]:
        """The rest of an attempt after an event."""
        assert self.driven is not None
        while True:
            try:
                result: dict[str, Any] = self.driven.call("execute_round", event=event)
                return result
            except TaskDeferred as deferred:
                event = self.driven.trigger(deferred)

    def cleared(self, rows: Any = None, **given: Any) -> Rounds:
        """A person clears the task, perhaps with other rows or parameters."""
        self.instance.max_tries += 1
        self.instance.try_number += 1
        self.rows = self.rows if rows is None else rows
        self.given |= given
        return self

    def retried(self) -> Rounds:
        """Airflow tries again by itself."""
        self.instance.try_number += 1
        return self

    # -- looking --------------------------------------------------------------------------------------

    @property
    def manifest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "manifest.jsonl").read_text().splitlines()]

    @property
    def statuses(self) -> dict[str, str]:
        return {line["id"]: line["status"] for line in self.manifest}

    @property
    def summary(self) -> dict[str, Any]:
        """What was pushed by a batch that failed."""
        value: dict[str, Any] = self.instance.xcoms["return_value"]
        return value

    @property
    def created(self) -> list[str]:
        """The prompts of all tasks that were made."""
        return sorted(task["prompt"] for task in self.sandbox.ledger()["created"])

    @property
    def billed(self) -> list[str]:
        return sorted(task["prompt"] for task in self.sandbox.ledger()["billed"])

    def posts(self, vendor: str = "dashscope") -> dict[str, int]:
        found: dict[str, int] = self.sandbox.ledger()["requests"].get(vendor, {}).get("submit", {})
        return found

    def all_over(self) -> None:
        """Wait until no task at the vendor is open any more."""
        over = {"SUCCEEDED", "FAILED", "CANCELED"}
        self.sandbox.wait_for(lambda books: all(task["status"] in over for task in books["created"]))

    def entries(self) -> dict[str, dict[str, Any]]:
        """All entries in the store, by key."""
        assert self.store is not None
        found: dict[str, dict[str, Any]] = {}
        for name in self.store.rows:
            if name.startswith("wan_batch_"):
                found |= self.store.get(name)
        return found


def row(prompt: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "resolution": "720P", "duration": 2} | more


def is_retryable(error: Exception) -> bool:
    """Whether Airflow tries a task again that failed with it."""
    return isinstance(error, WanError)
