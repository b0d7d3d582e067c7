"""Each triggerer takes the part of an account's budget that its waits are of all that Airflow counts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_wan.triggers import shares


@dataclass(frozen=True)
class Instance:
    task_id: str = "video"
    dag_id: str = "ads"


class Desk:
    """A poller that notes what part it is told."""

    def __init__(self, waits: int = 20) -> None:
        self.waits = waits
        self.told: asyncio.Queue[float] = asyncio.Queue()

    def take_part(self, part: float) -> None:
        self.told.put_nowait(part)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow counts, by DAG, and the DAGs that it was asked for."""
    known: dict[str, Any] = {"ads": 80, "asked": []}

    def count(dag_id: str, task_ids: list[str]) -> int:
        known["asked"].append((dag_id, sorted(task_ids)))
        return int(known[dag_id])

    monkeypatch.setattr(shares, "_deferred", count)
    monkeypatch.setattr(shares, "SOON", 0.01)
    monkeypatch.setattr(shares, "LATER", 0.01)
    return known


async def test_the_part_follows_what_airflow_counts(asked: dict[str, Any]) -> None:
    desk: Any = Desk()
    for _ in range(20):
        shares.join(desk, Instance())
    while await desk.told.get() != 0.25:
        continue
    asked["ads"] = 20
    while await desk.told.get() != 1.0:
        continue
    asked["ads"] = 5  # the triggers of some have begun before Airflow shows them as deferred
    assert await desk.told.get() == 1.0
    for _ in range(20):
        shares.leave(desk, Instance())


async def test_those_that_pause_here_are_not_elsewhere(asked: dict[str, Any]) -> None:
    desk: Any = Desk()
    with contextlib.ExitStack() as pauses:
        for _ in range(60):
            pauses.enter_context(shares.present(Instance()))
        for _ in range(20):
            shares.join(desk, Instance())
        assert await desk.told.get() == 1.0
    while await desk.told.get() != 0.25:
        continue
    for _ in range(20):
        shares.leave(desk, Instance())


async def test_a_full_triggerer_leaves_nothing_to_others_that_may_not_be_there(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk: Any = Desk()
    monkeypatch.setenv("AIRFLOW__TRIGGERER__CAPACITY", "22")
    for _ in range(20):
        shares.join(desk, Instance())
    assert await desk.told.get() == 1.0
    assert asked["asked"] == []
    monkeypatch.setenv("AIRFLOW__TRIGGERER__CAPACITY", "1000")
    while await desk.told.get() != 0.25:
        continue
    for _ in range(20):
        shares.leave(desk, Instance())


async def test_each_dag_is_asked_for_once_with_the_tasks_that_wait(asked: dict[str, Any]) -> None:
    asked["films"] = 120
    desk: Any = Desk()
    tasks = [Instance(), Instance("clip"), Instance("clip", "films"), Instance()] * 5
    for task in tasks:
        shares.join(desk, task)
    while await desk.told.get() != 20 / 200:
        continue
    assert asked["asked"][:2] == [("ads", ["clip", "video"]), ("films", ["clip"])]
    for task in tasks:
        shares.leave(desk, task)


async def test_for_a_few_tasks_nobody_is_asked(asked: dict[str, Any]) -> None:
    desk: Any = Desk(waits=shares.FEW)
    shares.join(desk, Instance())
    assert await desk.told.get() == 1.0
    assert asked["asked"] == []
    shares.leave(desk, Instance())


async def test_what_airflow_does_not_tell_changes_nothing(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk: Any = Desk()
    for _ in range(20):
        shares.join(desk, Instance())
    while await desk.told.get() != 0.25:
        continue

    def fail(dag_id: str, task_ids: list[str]) -> int:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(shares, "_deferred", fail)
    await desk.told.get()
    assert await desk.told.get() == 0.25
    for _ in range(20):
        shares.leave(desk, Instance())


async def test_the_last_one_leaves_nothing_behind(asked: dict[str, Any]) -> None:
    desk: Any = Desk()
    shares.join(desk, Instance())
    shares.join(desk, None)
    shares.leave(desk, Instance())
    await asyncio.sleep(0)
    gone = weakref.ref(desk)
    del desk
    gc.collect()
    assert gone() is None
