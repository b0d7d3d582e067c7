"""What a task shows of its videos while it runs and when it fails: the XComs that the gallery reads.

In comes what the worker knows (a handle, a request, an error, the items of a batch); out go small JSON dicts under the
keys below. No secret goes in: addresses lose their query, inline media and ``extra_body``
are left out, and every text is cut, so that a batch of any size stays within ``BATCH_PROMPTS`` characters of prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

VERSION = 1
GENERATION_KEY = "wan_generation"
"""XCom of one video's task: a dict as :func:`generation` returns it."""
BATCH_KEY = "wan_items"
"""XCom of a batch: a dict as :func:`batch_xcoms` makes it; the items are in ``wan_items_0``, ``wan_items_1``, …"""
ITEMS_PER_XCOM = 100

PROMPT_LIMIT = 6_000
BATCH_PROMPTS = 1_000_000
LEAST_PROMPT = 200
MESSAGE_LIMIT = 1_000
TEXT_LIMIT = 400
MOST_REFERENCES = 12

STATES = ("waiting", "submitting", "submitted", "in_doubt", "succeeded", "not_stored", "failed", "cancelled")

MEDIA_FIELDS = (
    "first_frame",
    "last_frame",
    "first_clip",
    "driving_audio",
    "reference_images",
    "reference_videos",
    "reference_audios",
    "video",
    "audio_url",
    "document",
    "link",
)
PARAMETERS = ("prompt_extend", "watermark", "generate_audio", "audio_setting")
SHAPE = ("resolution", "ratio", "duration", "seed")
HANDLE = ("vendor", "task_id", "mode", "model", "submitted_at", "request_id", "wan_conn_id")
MADE = ("video_url", "url_expires_at", "actual_prompt", "started_at", "finished_at", "cost")
"""What is known of a video that was made, and could not be stored."""

NOT_BILLED = frozenset(
    {
        "WanRequestError",
        "WanRejectedError",
        "WanAuthError",
        "WanQuotaError",
        "WanBillingError",
        "WanModerationError",
    }
)
"""Errors after which there is no task that could be billed."""
MAYBE_BILLED = frozenset({"WanTaskTimeout", "WanSubmissionUnknown"})
"""Errors after which a task may run on."""


def generation(
    state: str,
    request: Mapping[str, Any] | None,
    *,
    handle: Mapping[str, Any] | None = None,
    conn_id: str | None = None,
    page: str | None = None,
    error: BaseException | None = None,
    prompt_limit: int = PROMPT_LIMIT,
) -> dict[str, Any]:
    """Return what is shown of one video that is made, or was not made.

    :param state: one of ``STATES``.
    :param request: the request's fields, as the operator has them.
    :param handle: the task handle as a dict, once there is one, or the task itself.
    :param conn_id: the connection, where the handle does not name it.
    :param page: address of the vendor's own page of the task, for people.
    :param error: why there is no video.
    :param prompt_limit: characters of each prompt that are kept.
    """
    fields = request or {}
    shown: dict[str, Any] = {"v": VERSION, "state": state}
    shown |= {name: fields.get(name) for name in (*SHAPE, "model", "mode")}
    shown |= {name: _cut(fields.get(name), prompt_limit) for name in ("prompt", "negative_prompt")}
    shown |= {"wan_conn_id": conn_id, "page": page and _cut(page, TEXT_LIMIT)}
    shown |= {name: value for name in (*HANDLE, *MADE) if (value := (handle or {}).get(name)) is not None}
    shown["references"] = references(fields)
    shown["parameters"] = {name: fields[name] for name in PARAMETERS if fields.get(name) is not None}
    shown["error"] = error_shown(error) if error is not None else None
    return {name: _plain(value) for name, value in shown.items() if value not in (None, [], {})}


def error_shown(error: BaseException) -> dict[str, Any]:
    """Return an error of the client in the words of its class, its code and its message."""
    kind = type(error).__name__
    billed = "no" if kind in NOT_BILLED else "maybe" if kind in MAYBE_BILLED else "unknown"
    found = {
        "kind": kind,
        "code": _cut(getattr(error, "code", None), TEXT_LIMIT),
        "message": _cut(getattr(error, "message", None) or str(error), MESSAGE_LIMIT),
        "retryable": bool(getattr(error, "retryable", False)),
        "request_id": _cut(getattr(error, "request_id", None), TEXT_LIMIT),
        "billed": billed,
    }
    return {name: value for name, value in found.items() if value is not None}


def references(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the request's media as ``{"field", "url"}``; without signatures, and inline media by its kind only."""
    found: list[dict[str, str]] = []
    for name in MEDIA_FIELDS:
        given = fields.get(name)
        for item in given if isinstance(given, list | tuple) else [given]:
            address = item.get("url") if isinstance(item, Mapping) else item
            if address:
                found.append({"field": name, "url": public_address(str(address))})
    return found[:MOST_REFERENCES]


def public_address(address: str) -> str:
    """Return an address without query, fragment and password; of inline media only what it is."""
    if address.startswith("data:"):
        return f"{address[5:60].partition(';')[0].partition(',')[0] or 'data'} (inline)"
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not an address)"
    if parts.scheme not in ("http", "https"):
        # The user part of a storage address is a connection id.
        host = parts.netloc if ":" not in parts.netloc.rpartition("@")[0] else host
    return _cut(parts._replace(netloc=host, query="", fragment="").geturl(), TEXT_LIMIT) or ""


# -- batches ----------------------------------------------------------------------------------------------


def prompt_limit_of(total: int) -> int:
    """Return how many characters of each prompt a batch of ``total`` items shows."""
    return max(LEAST_PROMPT, min(PROMPT_LIMIT, BATCH_PROMPTS // max(1, total)))


def batch_xcoms(
    items: Sequence[Mapping[str, Any]],
    *,
    conn_id: str | None,
    manifest: str | None,
    former: Mapping[str, Any] | None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Return the XComs to write, by key; those of items that did not change since ``former`` are left out.

    :param items: each as :func:`generation` returns it, with ``id``, ``index`` and what is known of its video.
    :param former: what lies under ``BATCH_KEY`` now, by which a new process knows what is written already.
    """
    moment = (now or datetime.now(UTC)).isoformat()
    known = _list_in(former, "digests")
    # Written by a version that did not say when each changed: at the latest when it wrote the head.
    known_at = dict.fromkeys(range(len(known)), (former or {}).get("at"))
    known_at |= dict(enumerate(_list_in(former, "changed_at")))
    digests, changed_at, found = [], [], {}
    counts: dict[str, int] = {}
    for item in items:
        state = str(item.get("state"))
        counts[state] = counts.get(state, 0) + 1
    for number, start in enumerate(range(0, len(items), ITEMS_PER_XCOM)):
        part = [dict(item) for item in items[start : start + ITEMS_PER_XCOM]]
        digest = hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()[:12]
        is_new = number >= len(known) or known[number] != digest
        digests.append(digest)
        changed_at.append(moment if is_new else known_at[number])
        if is_new:
            found[f"{BATCH_KEY}_{number}"] = {"v": VERSION, "at": moment, "items": part}
    head = {"v": VERSION, "at": moment, "total": len(items), "counts": counts, "digests": digests}
    head |= {"changed_at": changed_at, "wan_conn_id": conn_id, "manifest": manifest}
    return found | {BATCH_KEY: head} if found or not former else found


def _list_in(former: Mapping[str, Any] | None, name: str) -> list[Any]:
    """Return what people may have edited meanwhile only if it is what was written."""
    found = (former or {}).get(name)
    return found if isinstance(found, list) else []


def push_all(xcoms: Mapping[str, Any], push: Callable[..., Any]) -> None:
    """Write XComs with ``push(key=…, value=…)``; the head of a batch last, so that it names only what is there."""
    for key in sorted(xcoms, key=lambda key: key == BATCH_KEY):
        push(key=key, value=xcoms[key])


# -- the page ---------------------------------------------------------------------------------------------

PREFIX = "wan-videos"


def gallery_is_on() -> bool:
    """Whether the setting ``[wan] gallery`` leaves the gallery on."""
    from airflow.providers.common.compat.sdk import conf

    return bool(conf.getboolean("wan", "gallery", fallback=True))


def page_of(ti: Any) -> str | None:
    """Return the address of the gallery's page of a task instance, ``None`` where the gallery is off."""
    if not gallery_is_on():
        return None
    from airflow.providers.common.compat.sdk import conf

    base_url = conf.get("api", "base_url", fallback="")
    return page_address(base_url, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)


def page_address(
    base_url: str | None, dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None
) -> str:
    """Return the address of the gallery's page of a task instance (or of a whole run)."""
    named: Iterable[tuple[str, Any]] = (("dag", dag_id), ("run", run_id), ("task", task_id))
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in named if value)
    if map_index is not None and map_index >= 0:
        query += f"&index={map_index}"
    root = f"{base_url.rstrip('/')}/" if base_url else ""
    return f"{root}{PREFIX}/?{query}"


def _cut(text: Any, limit: int) -> str | None:
    if text is None:
        return None
    whole = str(text)
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | list | dict):
        return value
    return str(value)
