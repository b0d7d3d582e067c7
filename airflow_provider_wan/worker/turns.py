"""Whose turn it is to submit: workers that share a ``ledger_path`` keep to one account's pace together.

The time is cut into turns of ``1 / submits_per_second``. A turn is an object that only one worker can create, named by
its number, so that nobody has to be asked and nothing has to be released: a turn that is not used is only a pause.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Protocol

from airflow_provider_wan.client.account import Account

HELD_SECONDS = 5.0
"""A worker waits as long for its turn; for a later one it is freed."""

LEAD_SECONDS = 4.0
"""So long before its turn a worker is asked for again: Airflow takes a moment to start it."""

LATE_SECONDS = 0.5
"""A worker that is later than this takes another turn."""

KEPT_SECONDS = 120.0
"""After which turns that have passed are removed."""

MOST_TRIES = 200


class NotYet(Exception):
    """The turn is too far away for a worker to wait for it; nothing was sent.

    :param turn: the moment, in seconds since the epoch.
    """

    def __init__(self, turn: float, seconds: float) -> None:
        super().__init__(f"its turn is in {seconds:.0f} s")
        self.turn = turn
        self.seconds = seconds


class TurnStore(Protocol):
    """A place where of two workers that take the same turn only one succeeds."""

    def take_turn(self, account: str, number: int) -> bool:
        """Take a turn; return whether it was free."""

    def turns(self, account: str) -> list[int]:
        """Return the turns that are taken."""

    def drop_turns(self, account: str, numbers: list[int]) -> None:
        """Forget turns that have passed."""


def next_turn(
    store: TurnStore,
    account: Account,
    clock: Callable[[], float] = time.time,
    rng: random.Random | None = None,
) -> float:
    """Take the next free turn of an account; return its moment, in seconds since the epoch."""
    rng = rng or random.Random()  # noqa: S311 - spreads those that come at once
    # The key tells accounts apart, and its digest does not tell the key.
    name = f"{account.vendor}-{account.key_fingerprint}"
    rate = account.submits_per_second
    now = clock()
    taken = set(store.turns(name))
    if old := [number for number in taken if number < (now - KEPT_SECONDS) * rate]:
        store.drop_turns(name, old)
    number = math.ceil(now * rate)
    for tries in range(MOST_TRIES):
        while number in taken:
            number += 1
        if store.take_turn(name, number):
            return number / rate
        # Others look for the same one: the more there are, the farther apart they look.
        taken.add(number)
        number += rng.randint(0, min(tries, 3))
    return number / rate
