"""What part of an account's waits are this triggerer's, as Airflow counts them: each takes as much of its budget."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_wan.client.polling.poller import Poller

log = logging.getLogger(__name__)

SOON, LATER = 5.0, 15.0
"""Seconds until Airflow is asked again: while the part changes, and else."""

FEW = 10
"""So few tasks are asked for within any part of the budget."""

DEFERRED = "deferred"

FULL = 0.9
"""Of its capacity: what else is deferred may be with no triggerer at all, and nobody else asks for it."""

_present: Counter[tuple[str, str]] = Counter()
"""The Airflow tasks of this triggerer, also those that wait for a moment and ask the vendor nothing."""


class _Share:
    """The Airflow tasks whose waits are on one poller, and the part that they are of all."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._own: Counter[tuple[str, str]] = Counter()
        self._part = 1.0
        self._asking: asyncio.Task[None] | None = None

    def join(self, task: tuple[str, str]) -> None:
        self._own[task] += 1
        _present[task] += 1
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._follow())

    def leave(self, task: tuple[str, str]) -> bool:
        """Return whether it was the last one."""
        self._own[task] -= 1
        _goes(task)
        if not self._own[task]:
            del self._own[task]
        if not self._own and self._asking is not None:
            self._asking.cancel()
        return not self._own

    async def _follow(self) -> None:
        pause = SOON
        while True:
            await asyncio.sleep(pause)
            part = await self._now()
            pause = SOON if abs(part - self._part) > self._part / 10 else LATER
            self._part = part
            self._poller.take_part(part)

    async def _now(self) -> float:
        """Return this triggerer's part; what it was where Airflow does not tell."""
        if self._poller.waits <= FEW or _present.total() >= FULL * _capacity():
            return 1.0
        tasks: dict[str, list[str]] = defaultdict(list)
        for dag_id, task_id in self._own:
            tasks[dag_id].append(task_id)
        own = sum(_present[task] for task in self._own)
        try:
            from asgiref.sync import sync_to_async

            deferred = sum([await sync_to_async(_deferred)(dag_id, found) for dag_id, found in tasks.items()])
        except Exception as error:  # noqa: BLE001 - whatever Airflow raises, the waits go on
            log.debug("How many tasks are deferred could not be looked up: %s", type(error).__name__)
            return self._part
        return own / max(own, deferred)


_shares: WeakKeyDictionary[Poller, _Share] = WeakKeyDictionary()


def join(poller: Poller, task_instance: Any) -> None:
    """Count a task instance among those whose waits are on this poller; :func:`leave` follows."""
    if task_instance is not None:
        share = _shares.get(poller)
        if share is None:
            share = _shares[poller] = _Share(poller)
        share.join(_task_of(task_instance))


def leave(poller: Poller, task_instance: Any) -> None:
    """Count it no longer."""
    if task_instance is not None and _shares[poller].leave(_task_of(task_instance)):
        # It knows its poller, and so would keep it.
        del _shares[poller]


@contextmanager
def present(task_instance: Any) -> Iterator[None]:
    """Count a task instance among those of this triggerer while it asks the vendor nothing."""
    if task_instance is None:
        yield
        return
    task = _task_of(task_instance)
    _present[task] += 1
    try:
        yield
    finally:
        _goes(task)


def _goes(task: tuple[str, str]) -> None:
    _present[task] -= 1
    if not _present[task]:
        del _present[task]


def _capacity() -> int:
    from airflow.providers.common.compat.sdk import conf

    return int(conf.getint("triggerer", "capacity", fallback=1000))


def _task_of(task_instance: Any) -> tuple[str, str]:
    return str(task_instance.dag_id), str(task_instance.task_id)


def _deferred(dag_id: str, task_ids: list[str]) -> int:
    """Return how many instances of these tasks are deferred, in whichever triggerer."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_ti_count(dag_id=dag_id, task_ids=task_ids, states=[DEFERRED])
