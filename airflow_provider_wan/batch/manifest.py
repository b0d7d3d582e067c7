"""The manifest: JSONL, one line per item, rewritten whole so that it is true whenever the run is killed."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.records import ItemRecord
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskStatus


def line_of(item: Item, entry: ItemRecord) -> dict[str, Any]:
    """Return an item's line."""
    handle = entry.record.handle if entry.record else None
    line = {
        "id": item.id,
        "index": item.index,
        "mode": str(item.request.mode),
        "status": status_of(entry),
        "task_id": handle.task_id if handle else None,
        "model": handle.model if handle else item.model,
        "video_url": entry.video_url,
        "prompt": item.request.prompt,
        "error_code": entry.error_code,
        "error_message": entry.error_message,
        "submitted_at": handle.submitted_at.isoformat() if handle else None,
    }
    return {name: value for name, value in (line | (entry.stored or {})).items() if value is not None}


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
    lines = "".join(f"{json.dumps(line_of(item, entry), ensure_ascii=False)}\n" for item, entry in batch)
    try:
        _replace(uri, lines)
    except Exception as error:  # noqa: BLE001 - whatever the storage raises
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        return
    raise WanError(f"The manifest could not be written to {uri} ({reason})", retryable=True)


def _replace(uri: str, text: str) -> None:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_wan.delivery.landing import move

    path = ObjectStoragePath(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        with part.open("wb") as file:
            file.write(text.encode("utf-8", "replace"))
        move(part, path)
    finally:
        with suppress(Exception):
            if part.exists():
                part.unlink()


def summary_of(batch: Batch) -> dict[str, Any]:
    """Return the operator's XCom: counts and one short entry per item."""
    entries = []
    counts: dict[str, int] = {}
    for item, entry in batch:
        status = status_of(entry)
        counts[status] = counts.get(status, 0) + 1
        short = {"id": item.id, "status": status}
        if entry.stored:
            short["uri"] = entry.stored["uri"]
        elif entry.video_url:
            short["video_url"] = entry.video_url
        if entry.error_code:
            short["error_code"] = entry.error_code
        entries.append(short)
    succeeded = counts.get("succeeded", 0)
    return {
        "total": len(entries),
        "succeeded": succeeded,
        "failed": len(entries) - succeeded,
        "counts": counts,
        "manifest": batch.settings.manifest_path,
        "items": entries,
    }
