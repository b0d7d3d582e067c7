"""Airflow's task state store as a folder."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from airflow_provider_wan.durable import StateStore
from airflow_provider_wan.worker.ledgers import ObjectStore


class FileStore:
    """A file for each key, replaced as a whole, so that it survives a SIGKILL as a database does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def get(self, key: str) -> Any:
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else None

    def set(self, key: str, value: Any) -> None:
        draft = self._folder / f"{uuid.uuid4().hex}.draft"
        draft.write_text(json.dumps(value))
        draft.replace(self._path(key))

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)


def store_of(folder: Path, key: str, *, has_ledger: bool) -> StateStore:
    """Where the submission of one video is recorded."""
    if has_ledger:
        return ObjectStore(f"file://{folder}/ledger", ["soak", "run", key, "-1"])
    return FileStore(folder / "state" / key)
