"""What is known of accounts, shared: within a process at once, between workers through small files.

The files lie under ``ledger_path`` where it is set (all hosts see them), else in this host's folder for temporary
files (its other workers do). Everything here is a hint that saves a refused call: a store that is down or slow is left
alone, never waited for. A file is named by a digest of the account and holds no secret.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.routing import AccountState
from airflow_provider_wan.client.tasks import utc_now

log = logging.getLogger(__name__)

FOLDER = ".accounts"
"""Below ``ledger_path``; no DAG's folder begins with a dot."""

PATIENCE = 2.0
"""Seconds that a store may take for an answer."""
LEFT_ALONE = 60.0
"""Seconds that a store is not asked after it gave none."""
FRESH = 5.0
"""Seconds that what was read is good for."""

T = TypeVar("T")


def local_root() -> str:
    """Return this user's folder for it on this host."""
    return os.path.join(tempfile.gettempdir(), f"airflow-provider-wan-{os.getuid()}")


@dataclass
class _Read:
    at: float
    state: AccountState
    under_way: frozenset[str] = frozenset()


@dataclass
class _Shared:
    """What one process knows; one for all runs in it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    reads: dict[tuple[str, str], _Read] = field(default_factory=dict)
    away_until: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all."""
        self.reads.clear()
        self.away_until.clear()


PROCESS = _Shared()


class KnownAccounts:
    """What is known of accounts, read and noted by one run.

    :param root: object-storage URI of a folder; this host's own when not given.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = f"{root.rstrip('/')}/{FOLDER}" if root else f"file://{local_root()}/{FOLDER}"
        self._is_local = not root

    def state_of(self, account: Account) -> AccountState:
        """Return what is known of an account's order."""
        return self._read(account).state

    def under_way(self, account: Account) -> int:
        """Return how many tasks of an account are known to be under way."""
        now = time.time()
        return sum(float(name.partition("~")[0]) > now for name in self._read(account).under_way)

    def note(self, account: Account, error: WanError | None) -> AccountState:
        """Take what an account answered to a submission (``None``: it made a task); return what is known then."""
        former = self.state_of(account)
        state = former.after(error, utc_now()) if error else AccountState()
        if state == former:
            return state
        self._keep(account, state=state)
        text = json.dumps(state.to_dict())
        self._ask(lambda: self._write(self._folder(account) / "state.json", text))
        return state

    def started(self, account: Account, task_id: str, until: datetime) -> None:
        """Note a task that is under way, until a moment at most."""
        name = _named(task_id, until)
        self._keep(account, under_way=self._read(account).under_way | {name})
        self._ask(lambda: self._write(self._folder(account) / "under_way" / name, ""))

    def ended(self, account: Account, task_id: str) -> None:
        """Note that a task is under way no more."""
        gone = {name for name in self._read(account).under_way if name.endswith(f"~{quote(task_id, safe='')}")}
        self._keep(account, under_way=self._read(account).under_way - gone)

        def forget() -> None:
            for name in gone:
                (self._folder(account) / "under_way" / name).unlink(missing_ok=True)

        self._ask(forget)

    # -- this process ---------------------------------------------------------------------------------

    def _read(self, account: Account) -> _Read:
        key = (self._root, _digest(account))
        with PROCESS.lock:
            known = PROCESS.reads.get(key)
        if known is not None and time.monotonic() - known.at < FRESH:
            return known
        found = self._ask(lambda: self._load(account))
        if found is None:
            found = known or _Read(0.0, AccountState())
        found.at = time.monotonic()
        with PROCESS.lock:
            PROCESS.reads[key] = found
        return found

    def _keep(self, account: Account, **changes: Any) -> None:
        known = self._read(account)
        with PROCESS.lock:
            for name, value in changes.items():
                setattr(known, name, value)
            known.at = time.monotonic()

    # -- the store ------------------------------------------------------------------------------------

    def _load(self, account: Account) -> _Read:
        folder = self._folder(account)
        folder.fs.invalidate_cache()
        try:
            state = AccountState.of(json.loads((folder / "state.json").read_text()))
        except (FileNotFoundError, AttributeError, TypeError, ValueError):
            state = AccountState()
        try:
            names = frozenset(path.name for path in (folder / "under_way").iterdir() if _is_named(path.name))
        except (FileNotFoundError, NotADirectoryError):
            names = frozenset()
        return _Read(0.0, state, names)

    def _folder(self, account: Account) -> ObjectStoragePath:
        return ObjectStoragePath(f"{self._root}/{_digest(account)}")

    def _write(self, path: ObjectStoragePath, text: str) -> None:
        if path.protocol in ("file", "local"):
            os.makedirs(os.path.dirname(path.path), mode=0o700, exist_ok=True)
        path.write_text(text)

    def _ask(self, work: Callable[[], T]) -> T | None:
        """Return what the store answers in time, ``None`` otherwise; whatever goes wrong there is nobody's failure."""
        if PROCESS.away_until.get(self._root, 0.0) > time.monotonic():
            return None
        if self._is_local and not _is_own(local_root()):
            return None
        found: list[T] = []
        problem: list[Exception] = []

        def run() -> None:
            try:
                found.append(work())
            except Exception as error:  # noqa: BLE001 - whatever the storage raises
                problem.append(error)

        thread = threading.Thread(target=run, name="wan-known-accounts", daemon=True)
        thread.start()
        thread.join(PATIENCE)
        if found:
            return found[0]
        PROCESS.away_until[self._root] = time.monotonic() + LEFT_ALONE
        why = f"{type(problem[0]).__name__}: {str(problem[0])[:200]}" if problem else "no answer"
        log.info("What other workers know of the accounts is not known now (%s: %s)", self._root, why)
        return None


def _digest(account: Account) -> str:
    return hashlib.sha256("\n".join(account.identity).encode()).hexdigest()[:24]


def _named(task_id: str, until: datetime) -> str:
    return f"{until.astimezone(UTC).timestamp():.0f}~{quote(task_id, safe='')}"


def _is_named(name: str) -> bool:
    head, mark, _ = name.partition("~")
    return bool(mark) and head.isascii() and head.isdigit()


def _is_own(folder: str) -> bool:
    """Whether a folder among everybody's temporary files is this user's, made here if there is none."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError:
        return False
    return found.st_uid == os.getuid() and not os.path.islink(folder)
