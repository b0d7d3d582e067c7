"""A task state store with the manners of Airflow's own, ``TaskStateStoreAccessor`` of 3.3.2."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any


class FakeStore:
    """Sync methods only, JSON values only, no ``None``; fails on order.

    :param fails: the names of the calls that raise, as Airflow's raise when the API server is away.
    """

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.fails: set[str] = set()
        self.history: list[dict[str, Any]] = []

    def get(self, key: str, default: Any = None) -> Any:
        self._maybe_fail("get")
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self._maybe_fail("set")
        self.rows[key] = json.dumps(value)
        self.history.append(json.loads(self.rows[key]))

    def delete(self, key: str) -> None:
        self._maybe_fail("delete")
        self.rows.pop(key, None)

    def clear(self) -> None:
        self._maybe_fail("clear")
        self.rows.clear()

    def _maybe_fail(self, call: str) -> None:
        if call in self.fails:
            raise RuntimeError(f"API_SERVER_ERROR: {call}")
