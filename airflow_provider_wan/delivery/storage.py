"""Writing to object storage: whole or not at all, and never a bucket that nobody made."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.errors import WanError, WanRequestError, WanResponseError

CHUNK = 1024 * 1024
WITHOUT_FOLDERS = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "adl", "wasb", "wasbs", "oss"})
"""Stores where a folder needs no making; asking for one may need rights on the bucket, or make a bucket."""

PERMANENT = (
    ImportError,
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    NotADirectoryError,
)
"""What a storage raises for a mistake in the URI or in its rights; all else may pass."""

REASON_LIMIT = 200


@dataclass(frozen=True)
class Landed:
    """Where a video lies now."""

    uri: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that landing adds to a result."""
        return asdict(self)


def write(uri: str, chunks: Iterable[bytes], check: Callable[[Landed], None] = lambda landed: None) -> Landed:
    """Write to a temporary name, then move into place; remove what is left of a failure.

    :param check: looks at what was written before it is moved; what it raises keeps the place as it was.
    :raises Exception: whatever the storage raises.
    """
    path = ObjectStoragePath(uri)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    _make_folder(path.parent)
    try:
        digest, size = hashlib.sha256(), 0
        # Not the path's own open: hook lineage would be told of the temporary name.
        with part.fs.open(part.path, "wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        landed = Landed(uri, size, digest.hexdigest())
        check(landed)
        move(part, path)
        return landed
    finally:
        with suppress(OSError):
            if part.exists():
                part.unlink()


def move(part: ObjectStoragePath, path: ObjectStoragePath) -> None:
    """Move a finished file into place; on a file system that is atomic."""
    _make_folder(path.parent)
    if path.protocol in ("file", "local", ""):
        part.replace(path)
    else:
        part.fs.mv(part.path, path.path)


def copy(stored: Mapping[str, Any], uri: str) -> Landed:
    """Copy a video that was landed elsewhere to ``uri``, whole or not at all.

    :raises WanResponseError: when what lies there is not what was landed.
    """

    def read() -> Iterator[bytes]:
        with ObjectStoragePath(str(stored["uri"])).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def check(landed: Landed) -> None:
        if (landed.bytes, landed.sha256) != (stored.get("bytes"), stored.get("sha256")):
            raise WanResponseError(f"The video at {stored['uri']} is not the one that was stored there")

    return write(uri, read(), check)


def is_stored(stored: Mapping[str, Any]) -> bool:
    """Whether a landed video is still in its place, with its length.

    :raises Exception: whatever the storage raises when it cannot be asked.
    """
    path = ObjectStoragePath(str(stored["uri"]))
    # A long-lived worker's file system remembers listings, also those from before somebody deleted.
    path.fs.invalidate_cache()
    try:
        # Not is_file(): it takes every trouble for "no such file".
        return bool(path.fs.info(path.path)["size"] == stored.get("bytes"))
    except FileNotFoundError:
        return False


def prove(uri: str, parameter: str = "store_to") -> None:
    """Prove that a place can be written to, with a tiny object that is removed again.

    :param uri: of a file, or of a folder when it ends with ``/``.
    :param parameter: its name, for the message.
    :raises WanRequestError: for a mistake in the URI or in its rights; nothing was submitted.
    :raises WanError: when the storage does not answer; retryable.
    """
    try:
        path = ObjectStoragePath(uri)
        folder = path if uri.endswith("/") else path.parent
        _make_folder(folder)
        probe = folder / f".wan-{uuid.uuid4().hex[:8]}.probe"
        with probe.fs.open(probe.path, "wb") as file:
            file.write(b"wan")
        probe.unlink()
    except Exception as error:  # noqa: BLE001 - whatever the storage raises
        is_mistake, reason = isinstance(error, PERMANENT), reason_of(error)
    else:
        return
    message = f"{parameter}: {uri} cannot be written to ({reason}). Nothing was submitted and nothing is paid"
    if is_mistake:
        raise WanRequestError(f"{message}; mend the URI, its connection or its rights, then clear the task")
    raise WanError(message, retryable=True)


def reason_of(error: Exception) -> str:
    """Return what a storage raised, short enough for a message."""
    return f"{type(error).__name__}: {str(error)[:REASON_LIMIT]}"


def _make_folder(folder: ObjectStoragePath) -> None:
    if folder.protocol not in WITHOUT_FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
