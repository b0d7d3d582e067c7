"""The records of a large run, as its tasks would have written them, put into a SQLite database of Airflow 3.3."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_wan.links.gallery import BATCH_KEY, GENERATION_KEY, batch_xcoms, generation
from airflow_provider_wan.sandbox.video.render import render

WORDS = "a harbour at dawn with gulls over wet stones, slow dolly in, soft fog, film grain, muted teal and amber"
EPOCH = datetime(2026, 11, 24, 9, tzinfo=UTC)


Place = Callable[[str], dict[str, Any]]
"""What a record says of where the video of this name lies."""


def write_records(
    database: Path, run_id: str, store: Path, mapped: int, items: int, place: Place | None = None
) -> None:
    """Let all mapped tasks be done, and the batch go on with half of its items; videos lie in ``store`` unless said."""
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
                for task_id, index, key, value in _xcoms(place or _in_folder(store), mapped, items)
            ],
        )


def beat(database: Path, run_id: str) -> None:
    """Let the batch run, and give a sign of life that no poll of the next hour takes for old."""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute(
            "update task_instance set state = 'running', updated_at = ? where run_id = ? and task_id = 'batch'",
            [_text(datetime.now(UTC) + timedelta(hours=1)), run_id],
        )


def report(database: Path, run_id: str, store: Path, items: int, made: int) -> None:
    """Let the batch write that so many more of its items are made, as its worker does: what has changed only."""
    of_batch = "run_id = ? and task_id = 'batch'"
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        (head,) = connection.execute(
            f"select value from xcom where {of_batch} and key = ?", [run_id, BATCH_KEY]
        ).fetchone()
        rows = _rows(_in_folder(store), items, items // 2 + made)
        # An hour ahead, as above.
        moment = datetime.now(UTC) + timedelta(hours=1)
        changed = batch_xcoms(rows, conn_id="wan_default", manifest=None, former=json.loads(head), now=moment)
        connection.executemany(
            f"update xcom set value = ? where {of_batch} and key = ?",
            [(json.dumps(value), run_id, key) for key, value in changed.items()],
        )


def _xcoms(place: Place, mapped: int, items: int) -> Iterator[tuple[str, int, str, Any]]:
    for index in range(mapped):
        shown, made = _video(place, f"mapped-{index}", index)
        yield "mapped", index, GENERATION_KEY, shown
        yield "mapped", index, "return_value", shown | made | {"status": "succeeded"}
    rows = _rows(place, items, items // 2)
    for key, value in batch_xcoms(rows, conn_id="wan_default", manifest=None, former=None, now=EPOCH).items():
        yield "batch", -1, key, value


def _rows(place: Place, items: int, made: int) -> list[dict[str, Any]]:
    """The items of the batch, of which so many are made and the others under way."""
    rows = []
    for index in range(items):
        shown, result = _video(place, f"shot-{index}", index)
        if index >= made:
            shown, result = shown | {"state": "submitted"}, {}
        rows.append(shown | result | {"id": f"shot-{index}", "index": index})
    return rows


def _video(place: Place, name: str, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
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
        **place(name),
        "started_at": (submitted + timedelta(seconds=8)).isoformat(),
        "finished_at": (submitted + timedelta(seconds=95)).isoformat(),
        "cost": {"amount": "0.50", "currency": "USD", "basis": "usage"},
    }
    return generation("succeeded", request, handle=handle), made


def _in_folder(store: Path) -> Place:
    """One clip, under as many names as there are videos, so that a browser takes each for another."""

    def place(name: str) -> dict[str, Any]:
        path = store / f"{name}.mp4"
        if not path.exists():
            os.link(clip_in(store), path)
        return {"uri": f"file://{path}"}

    return place


def clip_in(store: Path) -> Path:
    """The clip of all records, made at the first call."""
    store.mkdir(parents=True, exist_ok=True)
    clip = store / "clip.mp4"
    if not clip.exists():
        render({"path": str(clip), "width": 1280, "height": 720, "seconds": 5, "lines": ["A shot"], "prompt": WORDS})
    return clip


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
