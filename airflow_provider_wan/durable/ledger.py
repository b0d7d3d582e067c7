"""The record of a submission, and where it is kept: Airflow's task state store (Airflow 3.3 and newer).

The store survives retries, clears and crashes; XCom does not.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.durable.times import TIMES, Times

log = logging.getLogger(__name__)

STATE_KEY = "wan_submission"
FORMER_KEPT = 20
KEEP_TRIES = 3


class StateStore(Protocol):
    """The part of Airflow's task state store that is used."""

    def get(self, key: str) -> Any:
        """Return the value or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Keep the value."""

    def delete(self, key: str) -> None:
        """Forget the value."""


class LedgerError(WanError):
    """The record of earlier submissions could not be read or written; nothing was submitted."""

    default_retryable = True


class Record(BaseModel):
    """What is known of the last submission of one task instance; holds no secret, no prompt and no media.

    :param fingerprint: digest of the request and the account.
    :param intent_at: when the POST was about to be sent, by the clock of that worker.
    :param closes_at: after this moment, by the same clock, no POST of this intent was begun any more.
    :param series: which series of automatic retries it was made in.
    :param lost_at: when its answer was lost, if this process lived to see it.
    :param losses: submissions in a row whose answers were lost and that made no task.
    :param abandoned: a newer request took its place, and what could be cancelled was.
    :param former: ids of tasks that earlier submissions of this task instance made.
    """

    version: int = 1
    fingerprint: str
    intent_at: datetime
    closes_at: datetime | None = None
    idempotency_key: str
    series: str = ""
    lost_at: datetime | None = None
    lost_request_id: str | None = None
    losses: int = 0
    handle: TaskHandle | None = None
    adopted: bool = False
    finished: bool = False
    abandoned: bool = False
    stored: dict[str, Any] | None = None
    former: list[str] = []

    @property
    def known_tasks(self) -> list[str]:
        """The ids of all tasks that this task instance is known to have made."""
        return [*self.former, *([self.handle.task_id] if self.handle else [])][-FORMER_KEPT:]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a plain JSON dict."""
        return self.model_dump(mode="json", exclude_none=True)


class Ledger:
    """Reads and writes the record.

    Without a store (durability off, or Airflow before 3.3) it remembers within this process, and what
    ``carried`` returns has to travel with a deferral.

    :param carried: what the ledger of the process before returned, where there is no store.
    """

    times: Times = TIMES

    def __init__(self, store: StateStore | None, key: str = STATE_KEY, carried: dict[str, Any] | None = None) -> None:
        self._store = store
        self._key = key
        self._memory = carried

    @property
    def is_durable(self) -> bool:
        """Whether the record survives this process by itself."""
        return self._store is not None

    def carried(self) -> dict[str, Any] | None:
        """Return what the next process has to be given, where there is no store."""
        return None if self.is_durable else self._memory

    def read(self) -> Record | None:
        """Return the record, ``None`` when there is none.

        :raises LedgerError: when it could not be read; that is never the same as "no record".
        """
        try:
            value = self._memory if self._store is None else self._store.get(self._key)
            return None if value is None else Record.model_validate(value)
        except ValidationError:
            reason = "it is not one of this provider's"
        except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "no record"
            reason = _told(error)
        raise LedgerError(
            f"The record of earlier submissions could not be read ({reason}). Nothing was submitted, because a task "
            "may already be running and would be paid twice. Try again; to submit anew all the same, delete the "
            f"key {self._key!r} from the task's state store"
        )

    def write(self, record: Record) -> None:
        """Keep the record.

        :raises LedgerError: when it could not be kept.
        """
        try:
            if self._store is None:
                self._memory = record.to_dict()
            else:
                self._store.set(self._key, record.to_dict())
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = _told(error)
        else:
            return
        raise LedgerError(f"The submission could not be recorded ({reason})")

    def keep(self, record: Record) -> bool:
        """Record what has already happened, with some patience; a failure must not lose a paid task.

        Returns whether it was recorded; a failure is only told.
        """
        for attempt in range(KEEP_TRIES):
            if attempt:
                time.sleep(self.times.keep_pause)
            try:
                self.write(record)
            except LedgerError as error:
                reason = error
            else:
                return True
        what = f"task {record.handle.task_id}" if record.handle else "a submission of unknown outcome"
        log.error("%s (%s). If this attempt fails, the next one has to recover it", reason, what)
        return False

    def forget(self) -> None:
        """Delete the record; a failure to do so is only told."""
        self._memory = None
        if self._store is None:
            return
        try:
            self._store.delete(self._key)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning(
                "The record of a refused submission could not be deleted (%s): the next attempt takes it for one "
                "whose answer was lost",
                type(error).__name__,
            )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
