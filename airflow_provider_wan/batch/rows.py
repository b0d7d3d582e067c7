"""The rows of a batch, as they stand in a list or in a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten


def read_rows(source: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a list, or of a JSONL, CSV or JSON file at any object-storage URI.

    :raises WanRequestError: naming the line that cannot be read.
    """
    if not isinstance(source, str):
        return _objects(list(source) if isinstance(source, Iterable) and not isinstance(source, Mapping) else source)
    text = source.strip()
    if text.startswith("["):
        return _objects(_json(text, "requests"))
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(text)
    read = READERS.get(path.suffix.lower())
    if read is None:
        _refuse("requests", "is a list, or the URI of a .jsonl, .csv or .json file", text)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse("requests", f"is a file in UTF-8 (byte {error.start} is not)", text)
    return read(content)


def _of_csv(content: str) -> list[Mapping[str, Any]]:
    return [_csv_row(row) for row in csv.DictReader(io.StringIO(content, newline=""))]


def _of_lines(content: str) -> list[Mapping[str, Any]]:
    # Not splitlines(): JSON may hold the other line ends of Unicode as they are.
    lines = ((number, line) for number, line in enumerate(content.split("\n"), 1) if line.strip())
    return _objects([_json(line, f"line {number}") for number, line in lines])


def _of_json(content: str) -> list[Mapping[str, Any]]:
    return _objects(_json(content, "requests"))


READERS = {".csv": _of_csv, ".jsonl": _of_lines, ".ndjson": _of_lines, ".json": _of_json}


def _csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is blank; numbers, lists and objects in cells are read by the request itself."""
    return {str(key).strip(): value for key, value in row.items() if key and value not in (None, "")}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        _refuse(where, f"is JSON ({error})", text)


def _objects(rows: Any) -> list[Mapping[str, Any]]:
    if not isinstance(rows, list):
        _refuse("requests", "is a list of objects", rows)
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            _refuse(f"row {number}", "is an object", row)
        found.append(row)
    return found


def _refuse(field: str, rule: str, given: Any) -> NoReturn:
    raise WanRequestError(violations=[Violation(field, rule, shorten(given), hard=True)])
