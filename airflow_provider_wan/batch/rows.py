"""The rows of a batch, as they stand in a list or in a file."""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten


def read_rows(source: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a list, or of a JSONL, CSV, JSON or Parquet file at any object-storage URI.

    :raises WanRequestError: naming the line that cannot be read.
    """
    if not isinstance(source, str):
        return _objects(list(source) if isinstance(source, Iterable) and not isinstance(source, Mapping) else source)
    text = source.strip()
    if text.startswith("["):
        return _objects(_list(text))
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(text)
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _of_parquet(path, text)
    read = READERS.get(suffix)
    if read is None:
        _refuse("requests", "is a list, or the URI of a .jsonl, .csv, .tsv, .json or .parquet file", text)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse("requests", f"is a file in UTF-8 (byte {error.start} is not)", text)
    return read(content)


def _of_csv(content: str) -> list[Mapping[str, Any]]:
    header = content.partition("\n")[0]
    # A spreadsheet of a country whose decimals have commas separates by semicolons.
    separator = max(",;\t", key=header.count)
    return [_csv_row(row) for row in csv.DictReader(io.StringIO(content, newline=""), delimiter=separator)]


def _of_lines(content: str) -> list[Mapping[str, Any]]:
    # Not splitlines(): JSON may hold the other line ends of Unicode as they are.
    lines = ((number, line) for number, line in enumerate(content.split("\n"), 1) if line.strip())
    return _objects([_json(line, f"line {number}") for number, line in lines])


def _of_json(content: str) -> list[Mapping[str, Any]]:
    return _objects(_json(content, "requests"))


PARQUET = (".parquet", ".pq")


def _of_parquet(path: Any, text: str) -> list[Mapping[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        rule = "in Parquet needs the package pyarrow, which is not installed"
        _refuse("requests", rule, text, "pip install pyarrow, or give a .csv or .jsonl file")
    try:
        with path.open("rb") as file:
            rows = parquet.read_table(file).to_pylist()
    except (ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        _refuse("requests", f"is a Parquet file ({str(error)[:200]})", text)
    return [{str(key): value for key, value in row.items() if not _is_blank(value)} for row in rows]


def _is_blank(value: Any) -> bool:
    """Whether a cell holds nothing; tables of numbers write that as NaN."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _list(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        # A template renders a list as Python shows it, unless it says "| tojson".
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _json(text, "requests")


READERS = {".csv": _of_csv, ".tsv": _of_csv, ".jsonl": _of_lines, ".ndjson": _of_lines, ".json": _of_json}


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


def _refuse(field: str, rule: str, given: Any, fix: str = "") -> NoReturn:
    raise WanRequestError(violations=[Violation(field, rule, shorten(given), fix, hard=True)])
