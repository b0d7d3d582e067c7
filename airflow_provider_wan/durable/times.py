"""How long a submission, its record and the search for a lost one may take: values, so that a test brings its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class SubmissionTimes:
    """The waits of this room.

    :param standstill: how long a worker may stand still between writing the intent and sending before writing it anew.
    :param keep_pause: seconds between the tries to record what has already happened.
    :param key_lifetime: how long an idempotency key is trusted; the vendor does not say, its tasks live 24 h.
    :param task_lifetime: how long the vendors know a task.
    :param list_margin: doubt about how long a task is listed, whatever the clocks.
    :param too_young_to_vanish: a task younger than this may not be known yet to the gateway that made it.
    """

    standstill: timedelta = timedelta(seconds=30)
    keep_pause: float = 0.5
    key_lifetime: timedelta = timedelta(hours=24)
    task_lifetime: timedelta = timedelta(hours=24)
    list_margin: timedelta = timedelta(minutes=15)
    too_young_to_vanish: timedelta = timedelta(minutes=10)

    @property
    def list_lifetime(self) -> timedelta:
        """How old a submission may be to be surely still in the list."""
        return self.task_lifetime - self.list_margin


TIMES = SubmissionTimes()


def times_in_force() -> SubmissionTimes:
    """Return the waits that a submission begins with."""
    return TIMES
