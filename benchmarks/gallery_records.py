"""The records of a large run, as its tasks would have written them, put into a SQLite database of Airflow 3.3."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_wan.links.gallery import GENERATION_KEY, batch_xcoms, generation
from airflow_provider_wan.sandbox.video.render import render

WORDS = "a harbour at dawn with gulls over wet stones, slow dolly in, soft fog, film grain, muted teal and amber"
EPOCH = datetime(2026, 11, 24, 9, tzinfo=UTC)


def write_records(database: Path, run_id: str, store: Path, mapped: int, items: int) -> None:
    """Let all mapped tasks be done, and the batch go on with half of its items."""
    store.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        (number,) = connection.execute("select id from dag_run where run_id = ?", [run_id]).fetchone()
        connection.execute(
            "update task_instance set state = 'success', queued_dttm = ?, start_date = ?, end_date = ?, updated_at = ?,"
            " try_number = 1 where run_id = ?",
            [*[_text(EPOCH)] * 4, run_id],
        )
        connection.execute(
            "update task_instance set state = 'deferred', end_date = null where run_id = ? and task_id = 'batch'",
            [run_id],
        )
        connection.execute("update dag_run set state = 'running' where id = ?", [number])
        connection.executemany(
            "insert into xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)"
            " values (?, ?, ?, ?, 'gallery_many', ?, ?, ?)",
            [
                (number, task_id, index, key, run_id, json.dumps(value), _text(EPOCH))
                for task_id, index, key, value in _xcoms(store, mapped, items)
            ],
        )


def _xcoms(store: Path, mapped: int, items: int) -> Iterator[tuple[str, int, str, Any]]:
    for index in range(mapped):
        shown, made = _video(store, f"mapped-{index}", index)
        yield "mapped", index, GENERATION_KEY, shown
        yield "mapped", index, "return_value", shown | made | {"status": "succeeded"}
    rows = []
    for index in range(items):
        shown, made = _video(store, f"shot-{index}", index)
        if index >= items // 2:
            shown, made = shown | {"state": "submitted"}, {}
        rows.append(shown | made | {"id": f"shot-{index}", "index": index})
    for key, value in batch_xcoms(rows, conn_id="wan_default", manifest=None, former=None, now=EPOCH).items():
        yield "batch", -1, key, value


def _video(store: Path, name: str, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    submitted = EPOCH + timedelta(seconds=index)
    handle = {
        "vendor": "dashscope",
        "task_id": f"0385dc79-5ff8-4d82-bcb6-{name:>012}",
        "mode": "text_to_video",
        "model": "wan2.7-t2v",
        "submitted_at": submitted.isoformat(),
        "wan_conn_id": "wan_default",
    }
    request = {"prompt": f"Take {index}: {WORDS}", "resolution": "720P", "ratio": "16:9", "duration": 5, "seed": index}
    made = {
        "uri": f"file://{_file(store, name)}",
        "started_at": (submitted + timedelta(seconds=8)).isoformat(),
        "finished_at": (submitted + timedelta(seconds=95)).isoformat(),
        "cost": {"amount": "0.50", "currency": "USD", "basis": "usage"},
    }
    return generation("succeeded", request, handle=handle), made


def _file(store: Path, name: str) -> Path:
    """One clip, under as many names as there are videos, so that a browser takes each for another."""
    clip, path = store / "clip.mp4", store / f"{name}.mp4"
    if not clip.exists():
        render({"path": str(clip), "width": 1280, "height": 720, "seconds": 5, "lines": ["A shot"], "prompt": WORDS})
    if not path.exists():
        os.link(clip, path)
    return path


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
