"""The manifest: JSONL, one line per item, rewritten whole so that it is true whenever the run is killed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from airflow_provider_wan.batch.book import Book, Entry
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.client.tasks import TaskStatus


def line_of(item: Item, entry: Entry) -> dict[str, Any]:
    """Return an item's line."""
    handle = entry.record.handle if entry.record else None
    line = {
        "id": item.id,
        "index": item.index,
        "mode": str(item.request.mode),
        "status": _status(entry),
        "task_id": handle.task_id if handle else None,
        "model": handle.model if handle else item.request.model,
        "video_url": entry.video_url,
        "prompt": item.request.prompt,
        "error_code": entry.error_code,
        "error_message": entry.error_message,
        "submitted_at": handle.submitted_at.isoformat() if handle else None,
    }
    return {name: value for name, value in (line | (entry.stored or {})).items() if value is not None}


def _status(entry: Entry) -> str:
    if entry.status is TaskStatus.SUCCEEDED and entry.error_code:
        return "not_stored"
    if entry.status is not None:
        return str(entry.status)
    return "submitted" if entry.is_in_flight else "waiting"


def write_manifest(uri: str, items: Iterable[Item], book: Book) -> None:
    """Write the manifest beside its place and move it in."""
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_wan.delivery import move

    path = ObjectStoragePath(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    lines = (json.dumps(line_of(item, book.get(item.key)), ensure_ascii=False) for item in items)
    try:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        move(part, path)
    finally:
        with suppress(OSError):
            if part.exists():
                part.unlink()


def summary_of(items: Iterable[Item], book: Book, manifest: str | None) -> dict[str, Any]:
    """Return the operator's XCom: counts and one short entry per item."""
    entries = []
    counts: dict[str, int] = {}
    for item in items:
        entry = book.get(item.key)
        status = _status(entry)
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
        "manifest": manifest,
        "items": entries,
    }
