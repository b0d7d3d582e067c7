"""From a task instance and its XComs to the cards of the page; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_wan.links.gallery import BATCH_KEY, GENERATION_KEY, ITEMS_PER_XCOM, PROMPT_LIMIT

RESULT_KEY = "return_value"
TEXT_LIMIT = 2_000
MOST_ITEMS = 20_000

WAITING = frozenset({None, "none", "scheduled", "queued", "up_for_retry", "up_for_reschedule"})
AT_WORK = frozenset({"running", "deferred", "restarting", "awaiting_input"})
OPEN = WAITING | AT_WORK

TEXTS = (
    "vendor",
    "task_id",
    "mode",
    "model",
    "wan_conn_id",
    "prompt",
    "actual_prompt",
    "negative_prompt",
    "resolution",
    "ratio",
    "submitted_at",
    "started_at",
    "finished_at",
    "url_expires_at",
    "request_id",
    "sha256",
    "uri",
)
NUMBERS = ("duration", "seed", "bytes")
LISTS = ("references",)
DICTS = ("parameters", "usage", "cost", "error")


@dataclass(frozen=True)
class TaskRow:
    """What is read of a task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    operator: str | None = None
    label: str | None = None
    try_number: int = 0
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    updated_at: datetime | None = None


def cards_of(row: TaskRow, xcoms: Mapping[str, Any], since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Yield the cards of a task instance: one for a single video, one per item for a batch.

    :param xcoms: the values that were read, by key; anybody who may write XComs may have written them.
    :param since: leave out items of a batch that have not changed since, while it goes on: its end changes them all.
    """
    if items := list(batch_items(xcoms)):
        for number, item, changed_at in items:
            if since is None or row.state not in OPEN or changed_at is None or changed_at >= since:
                yield {**_of_task(row), **_item(row, number, item)}
    elif since is None or not parts_of(xcoms.get(BATCH_KEY)):
        yield {**_of_task(row), **_single(row, xcoms)}


def parts_of(head: Any, since: datetime | None = None) -> list[int]:
    """Return the numbers of the XComs that hold a batch's items; those that changed since a moment where one is given.

    :param head: what lies under ``BATCH_KEY``; where it does not say when a part changed, that part may have.
    """
    digests = head.get("digests") if isinstance(head, dict) else None
    if not isinstance(digests, list):
        return []
    parts = range(min(len(digests), MOST_ITEMS // ITEMS_PER_XCOM))
    changed_at = head.get("changed_at")
    if since is None or not isinstance(changed_at, list) or len(changed_at) != len(digests):
        return list(parts)
    return [part for part in parts if (at := _moment(changed_at[part])) is None or at >= since]


def batch_items(xcoms: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any], datetime | None]]:
    """Yield the number of each item of a batch, the item and when it was written; nothing for other tasks."""
    head: Any = xcoms.get(BATCH_KEY)
    if parts := parts_of(head):
        of_all = {"wan_conn_id": head.get("wan_conn_id")}
        for chunk in parts:
            for number, item, changed_at in chunk_items(xcoms.get(f"{BATCH_KEY}_{chunk}"), chunk):
                yield number, of_all | item, changed_at
        return
    result = xcoms.get(RESULT_KEY)
    if isinstance(result, dict) and isinstance(result.get("items"), list) and "total" in result:
        # Written by a version that showed its items at the end only, and in short.
        for number, item in enumerate(result["items"][:MOST_ITEMS]):
            if isinstance(item, dict):
                yield number, {"error": _short_error(item), **item, "state": item.get("status")}, None


def chunk_items(value: Any, chunk: int) -> Iterator[tuple[int, dict[str, Any], datetime | None]]:
    """Yield the items of one of a batch's XComs."""
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        return
    changed_at = _moment(value.get("at"))
    for place, item in enumerate(value["items"][:ITEMS_PER_XCOM]):
        if isinstance(item, dict):
            yield chunk * ITEMS_PER_XCOM + place, item, changed_at


def _single(row: TaskRow, xcoms: Mapping[str, Any]) -> dict[str, Any]:
    shown, result = xcoms.get(GENERATION_KEY), xcoms.get(RESULT_KEY)
    shown = shown if isinstance(shown, dict) else {}
    result = result if isinstance(result, dict) and result.get("task_id") else {}
    known = shown | {name: value for name, value in result.items() if value is not None}
    state = _state(row, str(shown.get("state") or ""), result)
    if result.get("status") == "succeeded" and state != "failed":
        known.pop("error", None)
    return {"state": state, **_fields(known)}


def _state(row: TaskRow, shown: str, result: Mapping[str, Any]) -> str:
    if row.state == "success":
        return "done" if result.get("video_url") or result.get("uri") else "handed_on" if result else "skipped"
    if row.state == "failed":
        return "in_doubt" if shown == "in_doubt" else "failed"
    if row.state in AT_WORK:
        return {"submitted": "running", "in_doubt": "in_doubt"}.get(shown, "starting")
    return "waiting" if row.state in WAITING else "skipped"


_ITEM_STATES = {
    "waiting": "waiting",
    "submitting": "starting",
    "submitted": "running",
    "in_doubt": "in_doubt",
    "unknown": "in_doubt",
    "succeeded": "done",
    "not_stored": "done",
    "failed": "failed",
    "cancelled": "failed",
}


def _item(row: TaskRow, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
    state = _ITEM_STATES.get(str(item.get("state")), "in_doubt")
    if row.state not in AT_WORK and row.state not in WAITING:
        # Nobody goes on with what the ended task left.
        state = {"waiting": "skipped", "starting": "in_doubt", "running": "in_doubt"}.get(state, state)
    return {"state": state, "n": number, "item": _text(item.get("id")) or str(number + 1), **_fields(item)}


def _of_task(row: TaskRow) -> dict[str, Any]:
    moments = {"queued_at": row.queued_at, "start": row.start_date, "end": row.end_date}
    return {
        "dag": row.dag_id,
        "run": row.run_id,
        "task": row.task_id,
        "index": row.map_index,
        "airflow": row.state or "none",
        **({"label": row.label} if row.label else {}),
        **({"operator": row.operator} if row.operator else {}),
        **({"try": row.try_number} if row.try_number > 1 else {}),
        **{name: moment.isoformat() for name, moment in moments.items() if moment},
    }


def _fields(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the page shows, each of the type that it expects, and cut."""
    found: dict[str, Any] = {name: _text(known.get(name)) for name in TEXTS}
    found |= {name: value for name in NUMBERS if isinstance(value := known.get(name), int | float)}
    found |= {name: value[:12] for name in LISTS if isinstance(value := known.get(name), list)}
    found |= {name: value for name in DICTS if isinstance(value := known.get(name), dict)}
    found["url"] = web_address(known.get("video_url"))
    found["page"] = web_address(known.get("page"))
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def web_address(value: Any) -> str | None:
    """Return an http(s) address, ``None`` for anything else (``javascript:`` above all)."""
    if not isinstance(value, str) or len(value) > 4 * TEXT_LIMIT:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.hostname else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)[:PROMPT_LIMIT]


def _short_error(item: Mapping[str, Any]) -> dict[str, Any] | None:
    code = item.get("error_code")
    return {"code": str(code), "message": _text(item.get("error_message")) or ""} if code else None


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None
