"""What the gallery reads of Airflow's database: task instances and XComs, with the calls that 3.1 to 3.4 share."""

from __future__ import annotations

import inspect
import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from airflow_provider_wan.links.gallery import BATCH_KEY, GENERATION_KEY, ITEMS_PER_XCOM
from airflow_provider_wan.plugins.cards import OPEN, RESULT_KEY, TaskRow, batch_items, cards_of, chunk_items, parts_of
from airflow_provider_wan.plugins.gallery import OPERATORS

MOST_CARDS = 5_000
MOST_RUNS = 40
NEWEST_RUNS = 1_000
"""Runs that are looked through for recent videos."""
SUBCLASSES_KEPT = 60.0
"""Seconds: which classes of users make videos is a look through many XComs, and changes with their code only."""

_COLUMNS = (
    TI.dag_id,
    TI.run_id,
    TI.task_id,
    TI.map_index,
    TI.state,
    TI.operator,
    TI._rendered_map_index,
    TI.try_number,
    TI.queued_dttm,
    TI.start_date,
    TI.end_date,
    TI.updated_at,
)
_TAKES_REGIONS = "region_id" in inspect.signature(XComModel.get_many).parameters
"""Airflow 3.4: a mapped task's XComs are in regions; ``None`` means all."""


@dataclass(frozen=True)
class Scope:
    """Which videos are asked for.

    :param dag_ids: the DAGs that the viewer may read, of those that were asked for.
    """

    dag_ids: Collection[str]
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None


@dataclass(frozen=True)
class CardsRead:
    """Cards, and whether there are more than are given."""

    cards: list[dict[str, Any]]
    is_cut: bool = False


@dataclass(frozen=True)
class Video:
    """A stored file as a task's own XCom names it."""

    uri: str
    name: str
    sha256: str | None = None


def read_cards(scope: Scope, since: datetime | None = None) -> CardsRead:
    """Return the cards of a scope, those that changed since a moment only where one is given."""
    with create_session() as session:
        rows, is_cut = _rows(session, scope, since)
        cards: list[dict[str, Any]] = []
        for (dag_id, run_id), of_run in rows.items():
            cards += _cards_of_run(session, dag_id, run_id, of_run, since)
            if len(cards) > MOST_CARDS:
                return CardsRead(cards[:MOST_CARDS], True)
        return CardsRead(cards, is_cut)


def read_video(dag_id: str, run_id: str, task_id: str, map_index: int, number: int | None, item: str) -> Video | None:
    """Return where the task's own XComs say that its video (or that of one item) lies."""
    with create_session() as session:

        def value_of(key: str) -> Any:
            found = _values(session, dag_id, run_id, key, [task_id], [map_index])
            return found.get((task_id, map_index))

        if number is None:
            holder = value_of(RESULT_KEY)
        else:
            chunk = number // ITEMS_PER_XCOM
            value = value_of(f"{BATCH_KEY}_{chunk}")
            items = chunk_items(value, chunk) if value else batch_items({RESULT_KEY: value_of(RESULT_KEY)})
            holder = next(
                (found for place, found, _ in items if place == number and str(found.get("id")) == item), None
            )
    if not isinstance(holder, dict) or not isinstance(holder.get("uri"), str):
        return None
    digest = holder.get("sha256")
    name = str(holder.get("task_id") or item or task_id)
    return Video(holder["uri"], name, digest if isinstance(digest, str) else None)


def _rows(session: Session, scope: Scope, since: datetime | None) -> tuple[dict[tuple[str, str], list[TaskRow]], bool]:
    query = select(*_COLUMNS)
    if scope.run_id is not None:
        query = query.where(TI.dag_id.in_(scope.dag_ids), TI.run_id == scope.run_id)
    else:
        newest = (
            select(DagRun.id, DagRun.dag_id, DagRun.run_id)
            .where(DagRun.dag_id.in_(scope.dag_ids))
            .order_by(DagRun.id.desc())
            .limit(NEWEST_RUNS)
            .subquery()
        )
        query = query.join(newest, (newest.c.dag_id == TI.dag_id) & (newest.c.run_id == TI.run_id))
        derived = [(TI.dag_id == dag_id) & (TI.operator == name) for dag_id, name in _subclasses.names(session)]
        query = query.where(or_(TI.operator.in_(OPERATORS), *derived))
        query = query.order_by(newest.c.id.desc())
    if scope.task_id is not None:
        query = query.where(TI.task_id == scope.task_id)
    if scope.map_index is not None:
        query = query.where(TI.map_index == scope.map_index)
    if since is not None:
        query = query.where(TI.updated_at >= since)
    rows: dict[tuple[str, str], list[TaskRow]] = defaultdict(list)
    for found in session.execute(query.limit(MOST_CARDS + 1)):
        row = TaskRow(*found)
        rows[row.dag_id, row.run_id].append(row)
    is_cut = sum(map(len, rows.values())) > MOST_CARDS or len(rows) > MOST_RUNS
    return dict(list(rows.items())[:MOST_RUNS]), is_cut


class _Subclasses:
    """Classes derived from our operators, as ``(DAG, class)``: their tasks wrote the XComs of the gallery before."""

    def __init__(self) -> None:
        self._names: list[tuple[str, str]] = []
        self._until = 0.0

    def names(self, session: Session) -> list[tuple[str, str]]:
        """Return them, as they were a minute ago at most."""
        if time.monotonic() >= self._until:
            self._names = self._read(session)
            self._until = time.monotonic() + SUBCLASSES_KEPT
        return self._names

    def _read(self, session: Session) -> list[tuple[str, str]]:
        newest = select(DagRun.id).order_by(DagRun.id.desc()).limit(NEWEST_RUNS).subquery()
        of_ours = (
            select(XComModel.dag_id, XComModel.task_id)
            .where(XComModel.key.in_([GENERATION_KEY, BATCH_KEY]), XComModel.dag_run_id.in_(select(newest.c.id)))
            .distinct()
            .subquery()
        )
        query = (
            select(TI.dag_id, TI.operator)
            .join(of_ours, (of_ours.c.dag_id == TI.dag_id) & (of_ours.c.task_id == TI.task_id))
            .where(TI.operator.not_in(OPERATORS))
            .distinct()
        )
        return [(dag_id, operator) for dag_id, operator in session.execute(query) if operator]


_subclasses = _Subclasses()


def _cards_of_run(
    session: Session, dag_id: str, run_id: str, rows: list[TaskRow], since: datetime | None
) -> Iterable[dict[str, Any]]:
    task_ids = {row.task_id for row in rows}
    indexes = {row.map_index for row in rows} if since is not None and len(rows) < 100 else None

    def read(key: str, of: Collection[str]) -> dict[tuple[str, int], Any]:
        return _values(session, dag_id, run_id, key, of, indexes) if of else {}

    shown = read(GENERATION_KEY, task_ids)
    heads = read(BATCH_KEY, task_ids)
    derived = set(_subclasses.names(session))
    ours = {row.task_id for row in rows if row.operator in OPERATORS or (row.dag_id, row.operator) in derived}
    ours |= {task_id for task_id, _ in (*shown, *heads)}
    results = read(RESULT_KEY, ours)
    for row in rows:
        if row.task_id not in ours:
            continue
        place = (row.task_id, row.map_index)
        xcoms = {GENERATION_KEY: shown.get(place), RESULT_KEY: results.get(place)}
        if place in heads:
            xcoms[BATCH_KEY] = heads[place]
            xcoms |= _chunks(session, row, heads[place], since)
        yield from cards_of(row, xcoms, since)


def _chunks(session: Session, row: TaskRow, head: Any, since: datetime | None) -> dict[str, Any]:
    found = {}
    for number in parts_of(head, since if row.state in OPEN else None):
        if number > MOST_CARDS // ITEMS_PER_XCOM:
            break
        key = f"{BATCH_KEY}_{number}"
        values = _values(session, row.dag_id, row.run_id, key, [row.task_id], [row.map_index])
        found[key] = values.get((row.task_id, row.map_index))
    return found


def _values(
    session: Session,
    dag_id: str,
    run_id: str,
    key: str,
    task_ids: Collection[str],
    map_indexes: Collection[int] | None,
) -> dict[tuple[str, int], Any]:
    """Return the values of one key by task and map index, as the database holds them."""
    more: dict[str, Any] = {"region_id": None} if _TAKES_REGIONS else {}
    query: Any = XComModel.get_many(
        run_id=run_id,
        key=key,
        dag_ids=[dag_id],
        task_ids=list(task_ids),
        map_indexes=None if map_indexes is None else list(map_indexes),
        **more,
    )
    return {(row.task_id, row.map_index): _decoded(row.value) for row in session.scalars(query)}


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
