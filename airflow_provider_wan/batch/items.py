"""The items of a batch: read from a list, JSONL or CSV, and all checked before the first one is paid."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from airflow_provider_wan.client.checking import check
from airflow_provider_wan.client.errors import Violation, WanRequestError, shorten
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.vendors.base import Vendor

MOST_REPORTED = 50
ITEM_FIELDS = ("id", "mode", "store_to")
"""What a row may hold beside its request."""


@dataclass(frozen=True)
class Item:
    """One generation of a batch.

    :param key: what the book knows it by: the request's fingerprint and, for equal requests, which of them.
    :param id: what people know it by: the row's ``id``, else its number (from 1).
    """

    key: str
    id: str
    index: int
    request: VideoRequest
    store_to: str | None = None


def read_rows(source: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a list, or of a JSONL or CSV file at any object-storage URI.

    :raises WanRequestError: naming the line that cannot be read.
    """
    if isinstance(source, str):
        text = source.strip()
        if text.startswith("["):
            return _rows_of_list(_json(text, "requests"))
        from airflow.sdk import ObjectStoragePath

        path = ObjectStoragePath(text)
        content = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return [_csv_row(row) for row in csv.DictReader(io.StringIO(content))]
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            lines = ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())
            return _rows_of_list([_json(line, f"line {number}") for number, line in lines])
        if path.suffix.lower() == ".json":
            return _rows_of_list(_json(content, text))
        _refuse("requests", "is a list, or the URI of a .jsonl, .csv or .json file", text)
    return _rows_of_list(list(source) if isinstance(source, Iterable) else source)


def build_items(
    rows: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any], vendor: Vendor, account: tuple[str | None, ...]
) -> tuple[list[Item], list[str]]:
    """Build and check all items; return them and the warnings.

    :param defaults: request fields for rows that do not have their own.
    :param account: what tells accounts apart in the fingerprint.
    :raises WanRequestError: listing the violations of all rows.
    """
    items: list[Item] = []
    wrong: list[Violation] = []
    warnings: list[str] = []
    seen: Counter[str] = Counter()
    for index, row in enumerate(rows, 1):
        name = str(row.get("id") or index)
        try:
            request = _request({**defaults, **{key: value for key, value in row.items() if value is not None}})
            checked = check(request, vendor)
        except WanRequestError as error:
            wrong += [replace(item, field=f"row {name}: {item.field}") for item in error.violations]
            continue
        warnings += [f"row {name}: {warning}" for warning in checked.warnings]
        fingerprint = request.fingerprint(*account)
        seen[fingerprint] += 1
        key = f"{fingerprint[:24]}.{seen[fingerprint]}"
        items.append(Item(key, name, index, request, row.get("store_to")))
    wrong += list(_same_ids(items))
    if not items and not wrong:
        wrong.append(Violation("requests", "holds at least one row", "none", hard=True))
    if wrong:
        shown = wrong[:MOST_REPORTED]
        more = f"\n  … and {len(wrong) - len(shown)} more" if len(wrong) > len(shown) else ""
        lines = "\n  - ".join(["The batch was not started, nothing is paid:", *map(str, shown)])
        raise WanRequestError(lines + more, violations=wrong)
    return items, warnings


def _request(fields: dict[str, Any]) -> VideoRequest:
    mode = fields.get("mode", Mode.TEXT_TO_VIDEO)
    return build_request(mode, {name: value for name, value in fields.items() if name not in ITEM_FIELDS})


def _same_ids(items: list[Item]) -> Iterator[Violation]:
    for name, count in Counter(item.id for item in items).items():
        if count > 1:
            yield Violation("id", "is used once", f"{name!r} in {count} rows", "videos and manifest lines go by it")


def _csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is blank, and read ``extra_body`` as JSON; lists are read by the request itself."""
    found = {str(key).strip(): value for key, value in row.items() if key and value not in (None, "")}
    if isinstance(found.get("extra_body"), str):
        found["extra_body"] = _json(found["extra_body"], "extra_body")
    return found


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        _refuse(where, f"is JSON ({error})", text)


def _rows_of_list(rows: Any) -> list[Mapping[str, Any]]:
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
