"""The record of a submission, and how it is kept: in Airflow's task state store, or as objects of a storage.

Both survive retries and crashes; XCom does not. Newer Airflows empty the task state store on a clear; objects stay.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import TaskHandle, utc_now
from airflow_provider_wan.durable.times import TIMES, SubmissionTimes

log = logging.getLogger(__name__)

STATE_KEY = "wan_submission"
MARK_KEY = "wan_attempt"
FORGOTTEN = "forgotten"
"""The field that marks a tombstone."""
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


@runtime_checkable
class ExclusiveStore(StateStore, Protocol):
    """A store of objects, in which of two workers that create the same object only one succeeds."""

    def create(self, key: str, value: Any) -> bool:
        """Keep the value unless the key is there already; return whether it was kept."""

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``."""

    def claim(self, vendor: str, task_id: str) -> bool:
        """Put the task down as this store's; return whether it is (``False``: another one has it)."""

    def is_claimed(self, vendor: str, task_id: str) -> bool:
        """Whether another one has put the task down as its own."""

    def for_part(self, name: str) -> ExclusiveStore:
        """Return the same store as seen by one part of the task: only the tasks that it has claimed are its own."""


class LedgerError(WanError):
    """The record of earlier submissions could not be read or written; nothing was submitted."""

    default_retryable = True


class IntentTaken(LedgerError):
    """Another worker of the same task instance has begun a submission since the record was read."""


class Record(BaseModel):
    """What is known of the last submission of one task instance; holds no secret, no prompt and no media.

    :param fingerprint: digest of the request and the account.
    :param request: the same, without the account's host: what is asked for, whatever address the vendor has.
    :param intent_at: when the POST was about to be sent, by the clock of that worker.
    :param closes_at: after this moment, by the same clock, no POST of this intent was begun any more.
    :param series: which series of automatic retries it was made in.
    :param lost_at: when its answer was lost, if this process lived to see it.
    :param clock_offset: seconds by which the vendor's clock is ahead of that worker's.
    :param sealed: signed media addresses that were sent, for a repeat with the key; the account's key reads it.
    :param repeats: how often the POST was sent again with its idempotency key, with no answer that settles it.
    :param losses: submissions in a row whose answers were lost and that made no task.
    :param abandoned: a newer request took its place, and what could be cancelled was.
    :param former: ids of tasks that earlier submissions of this task instance made.
    :param wan_conn_id: the connection it was made on, where there was a choice.
    """

    model_config = ConfigDict(defer_build=True)

    version: int = 1
    fingerprint: str
    request: str = ""
    intent_at: datetime
    closes_at: datetime | None = None
    idempotency_key: str
    series: str = ""
    lost_at: datetime | None = None
    lost_request_id: str | None = None
    clock_offset: float | None = None
    sealed: str | None = None
    repeats: int = 0
    losses: int = 0
    handle: TaskHandle | None = None
    adopted: bool = False
    finished: bool = False
    abandoned: bool = False
    stored: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    former: list[str] = []
    wan_conn_id: str | None = None

    @property
    def known_tasks(self) -> list[str]:
        """The ids of all tasks that this task instance is known to have made."""
        return [*self.former, *([self.handle.task_id] if self.handle else [])][-FORMER_KEPT:]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a plain JSON dict."""
        return self.model_dump(mode="json", exclude_none=True)


class Ledger:
    """Reads and writes the record.

    In an :class:`ExclusiveStore` each submission has an object of its own, numbered, and the last one counts: whoever
    wants to submit creates the next, and only one of two workers can.

    Without a store (durability off, or Airflow before 3.3) it remembers within this process, and what
    ``carried`` returns has to travel with a deferral.

    :param carried: what the ledger of the process before returned, where there is no store.
    """

    times: SubmissionTimes = TIMES

    def __init__(self, store: StateStore | None, key: str = STATE_KEY, carried: dict[str, Any] | None = None) -> None:
        self._store = store
        self._key = key
        self._memory = carried
        self._number = 0
        """The last submission's, where they are numbered."""

    @property
    def is_durable(self) -> bool:
        """Whether the record survives this process by itself."""
        return self._store is not None

    @property
    def knows_claims(self) -> bool:
        """Whether it is known which tasks belong to other task instances with the same ledger."""
        return isinstance(self._store, ExclusiveStore)

    def carried(self) -> dict[str, Any] | None:
        """Return what the next process has to be given, where there is no store."""
        return None if self.is_durable else self._memory

    # -- reading --------------------------------------------------------------------------------------

    def read(self) -> Record | None:
        """Return the record, ``None`` when there is none.

        :raises LedgerError: when it could not be read; that is never the same as "no record".
        """
        return self._read(self._value)

    def read_at(self, number: int) -> Record | None:
        """Return the record of one submission, where each has an object of its own.

        :raises LedgerError: when it could not be read.
        """
        store = self._store
        return self._read(lambda: store.get(self._numbered(number)) if store else None)

    def _read(self, get: Callable[[], Any]) -> Record | None:
        try:
            return self._record_in(get())
        except (AttributeError, ValidationError):
            reason = "it is not one of this provider's"
        except Exception as error:  # noqa: BLE001 - whatever the store raises, it is not "no record"
            reason = _described(error)
        raise LedgerError(
            f"The record of earlier submissions could not be read ({reason}). Nothing was submitted, because a task "
            "may already be running and would be paid twice. Try again; to submit anew all the same, delete "
            f"{self._place} from {getattr(self._store, 'title', 'the task state store of the task')}"
        )

    @staticmethod
    def _record_in(value: Any) -> Record | None:
        return None if value is None or value.get(FORGOTTEN) else Record.model_validate(value)

    def begin(self, try_number: int) -> bool:
        """Mark the start of an attempt; return whether what earlier attempts recorded was deleted (by a clear).

        For stores that a clear empties: a retry that finds neither record nor mark follows a clear.
        """
        if self._store is None or self.knows_claims:
            return False
        try:
            is_gone = try_number > 1 and self._store.get(self._key) is None and self._store.get(MARK_KEY) is None
            if try_number == 1 or is_gone:
                self._store.set(MARK_KEY, {"try_number": try_number, "at": utc_now().isoformat()})
        except Exception as error:  # noqa: BLE001 - the mark only serves a warning; the record is read next
            log.debug("The mark of this attempt could not be kept: %s", type(error).__name__)
            return False
        return is_gone

    def _value(self) -> Any:
        if self._store is None:
            return self._memory
        if not isinstance(self._store, ExclusiveStore):
            return self._store.get(self._key)
        numbers = sorted(_numbers(self._store.keys(f"{self._key}."), self._key))
        self._number = numbers[-1] if numbers else 0
        for number in reversed(numbers):
            value = self._store.get(self._numbered(number))
            if value is not None and not value.get(FORGOTTEN):
                return value
        return None

    def _numbered(self, number: int) -> str:
        return f"{self._key}.{number:04d}"

    @property
    def _place(self) -> str:
        return f"the key {self._numbered(self._number) if self.knows_claims else self._key!r}"

    # -- writing --------------------------------------------------------------------------------------

    def open(self, record: Record) -> None:
        """Keep the intent of a new submission.

        :raises IntentTaken: when another worker has begun one since ``read``; nothing may be submitted.
        :raises LedgerError: when it could not be kept.
        """
        if not isinstance(self._store, ExclusiveStore):
            self.write(record)
            return
        try:
            is_ours = self._store.create(self._numbered(self._number + 1), record.to_dict())
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            raise LedgerError(f"The submission could not be recorded ({_described(error)})") from None
        if not is_ours:
            raise IntentTaken("Another worker of this task has just begun a submission")
        self._number += 1

    def write(self, record: Record) -> None:
        """Keep what has become of the submission.

        :raises LedgerError: when it could not be kept.
        """
        try:
            self._set(record.to_dict())
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = _described(error)
        else:
            return
        raise LedgerError(f"The submission could not be recorded ({reason})")

    def keep(self, record: Record) -> bool:
        """Record what has already happened, with some patience; a failure must not lose a paid task.

        Returns whether it was recorded; a failure is only logged.
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
        """Put a tombstone in the place of the record; a failure to do so is only logged."""
        try:
            if self._store is None:
                self._memory = None
            else:
                self._set({"version": 1, FORGOTTEN: True, "at": utc_now().isoformat()})
        except Exception as error:  # noqa: BLE001 - see above
            log.warning(
                "The record of a refused submission could not be deleted (%s): the next attempt takes it for one "
                "whose answer was lost",
                type(error).__name__,
            )

    def _set(self, value: dict[str, Any]) -> None:
        if self._store is None:
            self._memory = value
        elif isinstance(self._store, ExclusiveStore):
            # A record that has no number yet was carried here from elsewhere.
            self._number = self._number or 1
            self._store.set(self._numbered(self._number), value)
        else:
            self._store.set(self._key, value)

    # -- whose task is it -----------------------------------------------------------------------------

    def claim(self, handle: TaskHandle) -> bool:
        """Put a task down as this task instance's; return ``False`` when another one has it.

        Trouble with the store is no reason to lose a task that was paid.
        """
        if not isinstance(self._store, ExclusiveStore):
            return True
        try:
            return self._store.claim(handle.vendor, handle.task_id)
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            log.warning("Task %s could not be put down as this task's: %s", handle.task_id, _described(error))
            return True

    def is_anothers(self, handle: TaskHandle) -> bool:
        """Whether another task instance has put the task down as its own.

        :raises LedgerError: when it could not be looked up.
        """
        if not isinstance(self._store, ExclusiveStore):
            return False
        try:
            return self._store.is_claimed(handle.vendor, handle.task_id)
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            reason = _described(error)
        raise LedgerError(f"Whose task {handle.task_id} is could not be looked up ({reason}); nothing was submitted")


def heal(ledger: Ledger, handle: TaskHandle) -> Record | None:
    """Write a task that is known all the same into a record that has it not: the store was away after the POST.

    Returns what is recorded, where it can be read.
    """
    try:
        record = ledger.read()
    except LedgerError as error:
        log.warning("%s", error)
        return None
    if record is not None and record.handle is None and handle.task_id not in record.former:
        record = record.model_copy(update={"handle": handle, "sealed": None})
        ledger.keep(record)
        ledger.claim(handle)
    return record


def _numbers(keys: list[str], key: str) -> list[int]:
    tails = [name.removeprefix(f"{key}.") for name in keys]
    return [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
