"""How long the room of the waits bears what, as one value, so that a test can wait for less."""

from __future__ import annotations

from dataclasses import dataclass

LINGER_SECONDS = 30.0
"""How long the first ending of a batch waits for company."""


@dataclass(frozen=True)
class PollingTimes:
    """All in seconds.

    :param last_look: how long after its deadline a wait stays for one more answer.
    :param soonest: no wait ends sooner, unless its interval is shorter: Airflow can fail a task whose trigger fires too
        soon.
    :param doubt: how long answers that decide nothing must go on before a wait gives up.
    :param refused: how long a key that has never worked must be refused before all waits end.
    :param trouble: how long nothing must have been answered before the connection is read again.
    :param reread: between two readings of the connection.
    :param rereading: for one reading of the connection.
    :param after_bug: until the next decision after one that failed.
    """

    last_look: float = 30.0
    soonest: float = 15.0
    doubt: float = 120.0
    refused: float = 120.0
    trouble: float = 180.0
    reread: float = 60.0
    rereading: float = 30.0
    after_bug: float = 5.0


TIMES = PollingTimes()
