"""What a batch shows of its items to the gallery while it runs."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.batch.batch import Batch
from airflow_provider_wan.batch.items import Item
from airflow_provider_wan.batch.manifest import status_of
from airflow_provider_wan.batch.records import ItemRecord
from airflow_provider_wan.links.gallery import (
    BATCH_KEY,
    batch_xcoms,
    gallery_is_on,
    generation,
    prompt_limit_of,
)
from airflow_provider_wan.worker.shown import show_items


class ShownItems:
    """The items of one batch as its XComs hold them; writes those that changed.

    :param operator: whose log takes what goes wrong.
    :param context: Airflow's, of this run.
    """

    def __init__(self, operator: Any, context: Any) -> None:
        self._operator = operator
        self._context = context
        self._former: dict[str, Any] | None = None
        self._is_read = False

    def show(self, batch: Batch) -> None:
        """Write what has changed since the last time, or since the process before this one."""
        if not gallery_is_on():
            return
        if not self._is_read:
            self._former, self._is_read = self._written_before(), True
        limit = prompt_limit_of(len(batch.items))
        items = [item_shown(item, entry, limit) for item, entry in batch]
        given = batch.settings.wan_conn_id
        conn_id = given if isinstance(given, str) else None
        xcoms = batch_xcoms(items, conn_id=conn_id, manifest=batch.settings.manifest_path, former=self._former)
        show_items(self._operator, self._context, xcoms)
        self._former = xcoms.get(BATCH_KEY, self._former)

    def _written_before(self) -> dict[str, Any] | None:
        ti = self._context["ti"]
        try:
            found = ti.xcom_pull(task_ids=ti.task_id, key=BATCH_KEY, map_indexes=ti.map_index)
        except Exception:  # noqa: BLE001 - then all of it is written anew
            return None
        return found if isinstance(found, dict) else None


def item_shown(item: Item, entry: ItemRecord, prompt_limit: int) -> dict[str, Any]:
    """Return one item: as a single video, with its name and what came of it."""
    handle = entry.record.handle if entry.record else None
    shown = generation(
        "in_doubt" if entry.is_in_doubt else status_of(entry),
        {**item.request.model_dump(mode="json", exclude_none=True), "model": item.model, "mode": item.request.mode},
        handle=handle.to_dict() if handle else None,
        prompt_limit=prompt_limit,
    )
    shown |= {"id": item.id, "index": item.index, **(entry.stored or {})}
    if entry.video_url:
        shown["video_url"] = entry.video_url
    if entry.url_expires_at:
        shown["url_expires_at"] = entry.url_expires_at.isoformat()
    if entry.cost:
        shown["cost"] = entry.cost
    for name, moment in (("started_at", entry.started_at), ("finished_at", entry.finished_at)):
        if moment:
            shown[name] = moment.isoformat()
    if entry.error_code:
        shown["error"] = {
            "code": entry.error_code,
            "message": entry.error_message or "",
            "retryable": entry.retryable,
            "billed": "maybe" if entry.status == "unknown" else "no" if entry.status != "succeeded" else "yes",
        }
    return shown
