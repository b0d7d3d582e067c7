"""One look-up of a connection for all the triggers that start together.

A look-up in a triggerer goes through its supervisor to the database; a thousand triggers that start after a
restart would queue there, and hold up everybody's heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from airflow_provider_wan.client.exchange import Account

LIFETIME = 60.0
"""Seconds that a look-up is shared for; a refused key is read anew at once, see the poller."""

_accounts: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[Account]]]] = (
    WeakKeyDictionary()
)


async def shared_account(conn_id: str, read: Callable[[], Awaitable[Account]]) -> Account:
    """Return the account of ``conn_id``, read at most once per loop and ``LIFETIME``.

    :raises Exception: what ``read`` raised; a failure is not kept.
    """
    loop = asyncio.get_running_loop()
    known = _accounts.setdefault(loop, {})
    made_at, task = known.get(conn_id, (0.0, None))
    if task is None or loop.time() - made_at > LIFETIME or _has_failed(task):
        task = loop.create_task(_call(read))
        known[conn_id] = (loop.time(), task)
    # Shielded: the trigger that began the look-up may be cancelled while others wait for it.
    return await asyncio.shield(task)


async def _call(read: Callable[[], Awaitable[Account]]) -> Account:
    return await read()


def _has_failed(task: asyncio.Task[Account]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
