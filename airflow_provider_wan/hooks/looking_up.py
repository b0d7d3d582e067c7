"""One look-up of a connection for all the triggers that start together.

A look-up in a triggerer goes through its supervisor to the database; a thousand triggers that start after a
restart would queue there, and hold up everybody's heartbeat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.tasks import utc_now

LIFETIME = 60.0
"""Seconds that a look-up is shared for; a refused key is read anew at once, see the poller."""

AT_ONCE = 25
"""Of those who wait for a look-up, so many go on in one turn of the loop: a thousand would hold up everybody else."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two look-ups after failures."""

T = TypeVar("T")


class _LookUp(Generic[T]):
    def __init__(self, read: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._began = asyncio.get_running_loop().time()
        # In a task of its own: the trigger that began it may be cancelled while others wait for it.
        self._reading = asyncio.create_task(read())
        self._line: deque[asyncio.Future[None]] = deque()
        self._letting_on = asyncio.create_task(self._let_on())

    @property
    def is_good(self) -> bool:
        is_failed = self._reading.done() and (self._reading.cancelled() or self._reading.exception() is not None)
        return not is_failed and asyncio.get_running_loop().time() - self._began <= LIFETIME

    async def found(self) -> T:
        if not self._reading.done():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            await turn
        return self._reading.result()

    async def _let_on(self) -> None:
        await asyncio.wait([self._reading])
        while self._line:
            for turn in [self._line.popleft() for _ in range(min(AT_ONCE, len(self._line)))]:
                if not turn.done():
                    turn.set_result(None)
            await asyncio.sleep(0)


_known: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _LookUp[Any]]] = WeakKeyDictionary()


async def looked_up(name: str, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what ``read`` brings for ``name``, read at most once per loop and ``LIFETIME``.

    :raises Exception: what ``read`` raised; a failure is not kept.
    """
    known = _known.setdefault(asyncio.get_running_loop(), {})
    if name not in known or not known[name].is_good:
        known[name] = _LookUp(read)
    found: T = await known[name].found()
    return found


async def persistently(
    look: Callable[[], Awaitable[T]],
    until: datetime | None,
    on_trouble: Callable[[str], None] | None = None,
    first_pause: float = FIRST_PAUSE,
) -> T:
    """Return what ``look`` brings, tried again after failures: what is waited for is paid, and its wait goes on.

    :param until: the moment (aware) from which on a failure is final; ``None``: at once.
    :param on_trouble: called once, with a sentence.
    :raises WanRequestError: for a connection that is not usable; trying again mends nothing.
    :raises Exception: what the last try raised.
    """
    pause = first_pause
    while True:
        try:
            return await look()
        except WanRequestError:
            raise
        except Exception as error:
            if until is None or utc_now() + timedelta(seconds=pause) >= until:
                raise
            if on_trouble is not None:
                on_trouble(f"The connection cannot be looked up ({type(error).__name__}), the wait goes on")
                on_trouble = None
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
