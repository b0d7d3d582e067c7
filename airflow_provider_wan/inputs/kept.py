"""What is known from before: digests of media, and addresses of uploads while they live.

Kept in the task's durable record, for retries on any worker, and in a folder of this machine, for the other tasks on
it. Media go by digests of their names; addresses can be read with the account's key only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.durable.sealing import sealed, unsealed

log = logging.getLogger(__name__)

KEY = "wan_inputs"
LEAST_LIFE = 6 * 3600.0
"""Seconds that an address must still live: a task may be queued for hours before its media are fetched."""
FORGOTTEN_AFTER = 4 * 86400.0


class Store(Protocol):
    """The part of the durable record's store that is used."""

    def get(self, key: str) -> Any:
        """Return the value or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Keep the value."""


@dataclass(frozen=True)
class Kept:
    """An address and how long it lives, in seconds since 1970."""

    address: str
    expires_at: float

    @property
    def is_good(self) -> bool:
        """Whether it will outlive the queue."""
        return self.expires_at - time.time() > LEAST_LIFE


def folder() -> Path:
    """Return the folder of this machine in which its tasks share addresses."""
    return Path(tempfile.gettempdir()) / f"airflow-provider-wan-{os.getuid()}"


class KeptInputs:
    """Remembers digests and addresses for one task instance.

    :param store: of the durable record; ``None`` where there is none.
    :param digests: contents by source, where the caller keeps them himself (a batch does, with its rows).
    :param run: names the DAG run: what was uploaded to a server on this machine (a sandbox) is shared within it only,
        since such a server forgets when it is started anew.
    """

    def __init__(self, store: Store | None = None, run: str = "", digests: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._run = run
        self._digests = digests

    # -- digests --------------------------------------------------------------------------------------

    def keep_digests(self, digests: Mapping[str, str]) -> None:
        """Remember the contents of sources."""
        if self._store is None or self._digests is not None or not digests:
            return
        known = self._value(KEY)
        value = known | {_name(source): digest for source, digest in digests.items()}
        if value != known:
            self._set(KEY, value)

    def digest_of(self, source: str) -> str | None:
        """Return the digest that a source had in an earlier attempt."""
        found = self._value(KEY).get(_name(source)) if self._digests is None else self._digests.get(source)
        return str(found) if found else None

    # -- addresses ------------------------------------------------------------------------------------

    @contextmanager
    def upload(self, digest: str, model: str, account: Account) -> Iterator[_Place]:
        """Give the place of an upload's address: read it, or upload and put it there; one task at a time."""
        key = _key(digest, model, account, self._run)
        with _locked(key) as file:
            yield _Place(self, f"{KEY}_{key[:2]}", key, file, account)

    def _value(self, key: str) -> dict[str, Any]:
        try:
            value = self._store.get(key) if self._store is not None else None
        except Exception as error:  # noqa: BLE001 - it saves an upload; whatever the store raises, that costs nothing
            log.debug("What is kept of inputs could not be read: %s", type(error).__name__)
            value = None
        return dict(value) if isinstance(value, Mapping) else {}

    def _set(self, key: str, value: dict[str, Any]) -> None:
        try:
            if self._store is not None:
                self._store.set(key, value)
        except Exception as error:  # noqa: BLE001 - as above; the submission's own record is written next
            log.debug("What is known of inputs could not be kept: %s", type(error).__name__)

    def read(self, part: str, key: str) -> str | None:
        """Return a sealed address of the durable record."""
        found = self._value(part).get(key)
        return str(found) if found else None

    def write(self, part: str, key: str, text: str) -> None:
        """Put a sealed address into the durable record."""
        self._set(part, self._value(part) | {key: text})


@dataclass
class _Place:
    """Where the address of one upload is kept."""

    inputs: KeptInputs
    part: str
    key: str
    file: IO[str] | None
    account: Account

    def get(self) -> Kept | None:
        """Return the address, if it lives long enough."""
        for text in (self.inputs.read(self.part, self.key), self.file.read() if self.file else None):
            found = self._opened(text)
            if found and found.is_good:
                return found
        return None

    def put(self, kept: Kept) -> None:
        """Remember the address."""
        text = sealed(json.dumps([kept.address, kept.expires_at]), self.account)
        self.inputs.write(self.part, self.key, text)
        if self.file:
            self.file.seek(0)
            self.file.truncate()
            self.file.write(text)
            self.file.flush()

    def _opened(self, text: str | None) -> Kept | None:
        opened = unsealed(text, self.account) if text else None
        if opened is None:
            return None
        address, expires_at = json.loads(opened)
        return Kept(str(address), float(expires_at))


def _name(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:24]


def _key(digest: str, model: str, account: Account, run: str) -> str:
    """Name an upload by its content and all that its address depends on."""
    vendor = vendor_of(account.vendor)
    owner = hashlib.blake2b(
        account.api_key.get_secret_value().encode(), digest_size=16, person=b"wan-inputs"
    ).hexdigest()
    scope = run if is_on_this_machine(account.base_url) else ""
    parts = [digest, vendor.name, account.base_url, account.workspace_id, owner, scope]
    if vendor.upload_is_for_one_model:
        parts.append(model)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def is_on_this_machine(url: str) -> bool:
    """Whether an address is on the loopback interface."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@contextmanager
def _locked(key: str) -> Iterator[IO[str] | None]:
    """Open the file of one upload on this machine, alone; ``None`` where there can be no such file."""
    file = _file(key)
    if file is None:
        yield None
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def _file(key: str) -> IO[str] | None:
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
        # A folder for all: only one's own is trusted.
        if place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return None
        _forget_old(place)
        descriptor = os.open(place / key, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "r+")
    except OSError:
        return None


def _forget_old(place: Path) -> None:
    mark = place / ".swept"
    try:
        if mark.exists() and time.time() - mark.stat().st_mtime < FORGOTTEN_AFTER / 4:
            return
        mark.touch(mode=0o600)
        for file in place.iterdir():
            if time.time() - file.stat().st_mtime > FORGOTTEN_AFTER:
                file.unlink(missing_ok=True)
    except OSError:
        return
