"""Where a medium lies: a path or a storage URI, opened and read in pieces, signed where the storage can."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from airflow_provider_wan.client.errors import Violation, WanError
from airflow_provider_wan.client.urls import is_web_url, public_url, unsigned
from airflow_provider_wan.delivery.storage import reason_of

BLOCK = 2 * 1024 * 1024
"""Bytes that a storage hands over at a time; its own default may be 50 MB."""
PIECE = 256 * 1024

SIGNED_SECONDS = 24 * 3600
"""How long a signed address lives: a task may be queued for hours before its media are fetched."""

MISSING = (FileNotFoundError, NotADirectoryError)
_NO_RIGHTS = ("PermissionError", "NoCredentialsError", "PartialCredentialsError", "AccessDenied", "Forbidden")
_NO_CONNECTION = ("AirflowNotFoundException",)
_NEVER_A_FILE = (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT, errno.ELOOP)


class NotUsable(Exception):
    """A medium cannot be used as it is; ``violation`` says why, without its field."""

    def __init__(self, rule: str, given: str, fix: str = "") -> None:
        super().__init__(rule)
        self.violation = Violation("", rule, given, fix, hard=True)


class NotSigned(Exception):
    """The storage gives no signed address; the message says why."""


@dataclass(frozen=True)
class MediaSource:
    """One medium in a file system.

    :param written: as the author wrote it.
    :param bases: folders that a relative path is looked for in, in this order.
    """

    written: str
    bases: tuple[str, ...] = ()
    _place: list[tuple[Any, str]] = field(default_factory=list, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """What may be logged of it."""
        return public_url(self.written) if "?" in self.written else self.written

    @property
    def name(self) -> str:
        """The file's name."""
        return self._where[1].rstrip("/").rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        protocol = self._where[0].protocol
        return "file" in (protocol if isinstance(protocol, tuple | list) else (protocol,))

    @property
    def local_path(self) -> str:
        """The path of a local file."""
        return self._where[1]

    @cached_property
    def size(self) -> int:
        """Bytes, as the storage says.

        :raises NotUsable: when it is not there, no file, or may not be read.
        :raises WanError: when the storage does not answer; retryable.
        """
        with _translated(self):
            fs, key = self._where
            # A long-lived worker's file system remembers listings, also those from before somebody wrote.
            fs.invalidate_cache()
            info = fs.info(key)
        if info.get("type") == "directory":
            raise NotUsable("is a file", f"{self.shown}, which is a folder", "name the file in it")
        return int(info.get("size") or 0)

    def open(self) -> IO[bytes]:
        """Open it for reading, from the start; close it."""
        with _translated(self):
            fs, key = self._where
            opened: IO[bytes] = fs.open(key, "rb", block_size=BLOCK)
            return opened

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, piece by piece.

        :raises NotUsable: when it may not be read.
        :raises WanError: when the storage breaks off, or the content is shorter than it was; retryable.
        """
        left = self.size
        with self.open() as file:
            while True:
                with _translated(self):
                    piece = file.read(PIECE)
                if not piece:
                    break
                left -= len(piece)
                yield piece
        if left:
            raise WanError(f"{self.shown} changed while it was read; nothing was submitted", retryable=True)

    def signed(self) -> str:
        """Return an address that anybody can fetch for a day.

        :raises NotSigned: when the storage cannot sign.
        """
        fs, key = self._where
        if self.is_local:
            raise NotSigned("a file on this machine has no address")
        try:
            url = str(fs.sign(key, expiration=SIGNED_SECONDS))
        except NotImplementedError:
            raise NotSigned(f"storage of this kind ({_protocol(fs)}://) cannot sign addresses") from None
        except Exception as error:  # noqa: BLE001 - whatever the storage raises
            raise NotSigned(f"the storage did not sign: {reason_of(error)}") from None
        if not is_web_url(url) or unsigned(url) == url:
            raise NotSigned("the storage has no credentials to sign with")
        return url

    @property
    def _where(self) -> tuple[Any, str]:
        if not self._place:
            self._place.append(self._found())
        return self._place[0]

    def _found(self) -> tuple[Any, str]:
        if "://" in self.written or self.written.startswith(("/", "~")):
            return _placed(self.written)
        places = [_placed(f"{base.rstrip('/')}/{self.written}") for base in self.bases] or [_placed(self.written)]
        for fs, key in places:
            with _translated(self):
                if fs.exists(key):
                    return fs, key
        return places[0]


def _placed(text: str) -> tuple[Any, str]:
    if "://" not in text:
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(), str(Path(text).expanduser().absolute())
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(text)
    return path.fs, str(path.path)


def _protocol(fs: Any) -> str:
    protocol = fs.protocol
    return str(protocol[0] if isinstance(protocol, tuple | list) else protocol)


class _translated:
    """Turns what a storage raises into :class:`NotUsable`, or a retryable error."""

    def __init__(self, source: MediaSource) -> None:
        self._source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, NotUsable | WanError):
            return
        shown, reason = self._source.shown, reason_of(error)
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {*_NO_RIGHTS} or "AccessDenied" in reason or "Forbidden" in reason:
            fix = "give the connection's credentials the right to read it"
            raise NotUsable("may be read", f"{shown} ({reason})", fix) from error
        if names & {*_NO_CONNECTION}:
            raise NotUsable("names a connection that exists", f"{shown} ({reason})", "make the connection") from error
        is_missing = isinstance(error, MISSING) or (isinstance(error, OSError) and error.errno in _NEVER_A_FILE)
        if is_missing:
            fix = "check the path; a relative one is looked for beside the DAG, or beside the table of a batch"
            raise NotUsable("is a file that exists", shown, fix) from error
        if isinstance(error, IsADirectoryError):
            raise NotUsable("is a file", f"{shown}, which is a folder", "name the file in it") from error
        if isinstance(error, ImportError | ValueError | TypeError):
            fix = "give a path, a URI of a storage whose package is installed, or a full http(s) URL"
            raise NotUsable("is the place of a file", f"{shown} ({reason})", fix) from error
        raise WanError(f"{shown} could not be read ({reason}); nothing was submitted", retryable=True) from error
