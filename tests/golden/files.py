"""Reads the golden files; adjusts in them what no file can keep: moments, and ids of tasks that have to exist now."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def golden(name: str) -> Any:
    """Return a golden file's content as it was written."""
    return json.loads((HERE / name).read_text())


def golden_lines(name: str) -> list[dict[str, Any]]:
    """Return the lines of a golden JSONL file."""
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def names_in(folder: str) -> list[str]:
    """Return the names of the files of a folder, without ``.json``."""
    return sorted(path.stem for path in (HERE / folder).glob("*.json"))


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return it with other ids, of tasks and of exchanges, wherever they stand."""
    text = json.dumps(value)
    for old, new in names.items():
        assert old in text, f"{old} is not in the golden value"
        text = text.replace(old, new)
    return json.loads(text)


def aged(value: Any, moment: str, age: timedelta) -> Any:
    """Return it with all its moments moved alike, so that ``moment``, one of them, is ``age`` ago now."""
    by = datetime.now(UTC) - age - datetime.fromisoformat(moment)
    return _moved(value, by)


def _moved(value: Any, by: timedelta) -> Any:
    if isinstance(value, dict):
        return {name: _moved(item, by) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, by) for item in value]
    if isinstance(value, str) and MOMENT.fullmatch(value):
        return (datetime.fromisoformat(value) + by).isoformat()
    return value
