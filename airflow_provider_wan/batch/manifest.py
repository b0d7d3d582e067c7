"""The manifest: JSONL, one line per item, rewritten whole so that it is true whenever the run is killed.

It is also what is left of the ledger where a clear has deleted that: what its lines say of tasks is taken back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import MADE, ItemRecord
from airflow_provider_wan.client.errors import WanError, WanRequestError
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, utc_now
from airflow_provider_wan.client.vendors.base import Vendor
from airflow_provider_wan.durable import Record

STORED = ("uri", "bytes", "sha256")
MADE_STATUSES = ("succeeded", "not_stored")
OPEN_STATUSES = ("submitted", "unknown")


def line_of(item: Item, entry: ItemRecord, batch_name: str | None = None) -> dict[str, Any]:
    """Return an item's line.

    :param batch_name: names the task instance, so that no other one takes the line for its own.
    """
    record = entry.record
    handle = record.handle if record else None
    line = {
        "id": item.id,
        "index": item.index,
        "take": item.take if item.takes > 1 else None,
        "mode": str(item.request.mode),
        "status": status_of(entry),
        "vendor": handle.vendor if handle else None,
        "task_id": handle.task_id if handle else None,
        "wan_conn_id": record.wan_conn_id if record else None,
        "model": handle.model if handle else item.model,
        "video_url": entry.video_url,
        "url_expires_at": _iso(entry.url_expires_at),
        "cost": entry.cost,
        "prompt": item.request.prompt,
        "seed": item.request.seed,
        "error_code": entry.error_code,
        "error_message": entry.error_message,
        "submitted_at": _iso(handle.submitted_at if handle else None),
        "started_at": _iso(entry.started_at),
        "finished_at": _iso(entry.finished_at),
        "request_id": handle.request_id if handle else None,
        "usage": entry.usage,
        "sought_since": _iso(record.intent_at) if record and not handle else None,
        "key": item.key,
        "batch": batch_name,
    }
    return {name: value for name, value in (line | (entry.stored or {})).items() if value is not None}


def skipped_line(number: int, why: str) -> dict[str, Any]:
    """Return the line of a row that was left out."""
    return {"id": str(number), "index": number, "status": "skipped", "error_code": "InvalidRow", "error_message": why}


def entry_of(line: dict[str, Any], item: Item, vendor: Vendor, conn_id: str) -> ItemRecord | None:
    """Return what a line says of an item's task, ``None`` when there is none to go on with.

    :param vendor: of the connection that it was submitted on.
    :raises ValueError: or another of the usual errors, for a line that is not understood.
    """
    record = Record(
        fingerprint=item.fingerprint,
        request=item.request.for_vendor(vendor.name).fingerprint(vendor.name, conn_id),
        intent_at=utc_now(),
        idempotency_key="",
        adopted=True,
        wan_conn_id=line.get("wan_conn_id"),
    )
    if not line.get("task_id"):
        if not line.get("sought_since"):
            return None
        # Only a list can be searched for what is not named: a repeat needs the key, which stands in no manifest.
        since = datetime.fromisoformat(line["sought_since"])
        return ItemRecord(record=record.model_copy(update={"intent_at": since, "adopted": False}))
    handle = TaskHandle.model_validate({name: line.get(name) for name in TaskHandle.model_fields if line.get(name)})
    record = record.model_copy(update={"handle": handle, "intent_at": handle.submitted_at})
    if line["status"] not in MADE_STATUSES:
        return ItemRecord(record=record) if line["status"] in OPEN_STATUSES else None
    stored = {name: line[name] for name in STORED if name in line}
    made = {name: line.get(name) for name in MADE if name != "status"}
    return ItemRecord(
        record=record, status=TaskStatus.SUCCEEDED, stored=stored if len(stored) == len(STORED) else None, **made
    )


def take_back(batch: Batch, vendor_of: Callable[[str], Vendor], default: str) -> int:
    """Take into the ledger what it does not know and the manifest of the same task instance says; return how many.

    :param vendor_of: returns the vendor of a connection.
    :param default: the connection of lines that name none.
    :raises WanError: when the manifest is there and cannot be read: what it says may have been paid.
    """
    from airflow.sdk import ObjectStoragePath

    uri = batch.settings.manifest_path
    if uri is None:
        return 0
    try:
        text = ObjectStoragePath(uri).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return 0
    except Exception as error:  # noqa: BLE001 - whatever the storage raises
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise WanError(
            f"The manifest could not be read at {uri} ({reason}); nothing was submitted", retryable=True
        ) from None
    found = 0
    for row in text.split("\n"):
        try:
            line = json.loads(row) if row.strip() else {}
            item = batch.items.get(line.get("key", "")) if line.get("batch") == batch.name else None
            conn_id = line.get("wan_conn_id") or default
            entry = entry_of(line, item, vendor_of(conn_id), conn_id) if item else None
        except (AttributeError, KeyError, TypeError, ValueError, WanRequestError):
            continue
        if item and entry and batch.ledger.get(item.key) == ItemRecord():
            batch.ledger.put(item.key, entry)
            found += 1
    return found


def status_of(entry: ItemRecord) -> str:
    """Return the word for an item's state: a task's status, or ``waiting``, ``submitted`` or ``not_stored``."""
    if entry.status is TaskStatus.SUCCEEDED and entry.error_code:
        return "not_stored"
    if entry.status is not None:
        return str(entry.status)
    return "submitted" if entry.is_in_flight else "waiting"


def write_manifest(uri: str, batch: Batch) -> None:
    """Write the manifest beside its place and move it in.

    :raises WanError: when the storage did not take it.
    """
    found = [line_of(item, entry, batch.name) for item, entry in batch]
    found += [skipped_line(number, why) for number, why in batch.skipped.items()]
    lines = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in sorted(found, key=_place))
    from airflow_provider_wan.delivery.storage import write

    try:
        write(uri, [lines.encode("utf-8", "replace")])
    except Exception as error:  # noqa: BLE001 - whatever the storage raises
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        return
    raise WanError(f"The manifest could not be written to {uri} ({reason})", retryable=True)


def _place(line: dict[str, Any]) -> tuple[int, int]:
    return line["index"], line.get("take", 0)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
