"""Streams stored videos with ranges: on threads of its own, in blocks, and only what begins like an MP4."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import anyio
import anyio.to_thread

from airflow_provider_wan.plugins.places import Place

T = TypeVar("T")
BLOCK = 256 * 1024
READ_AHEAD = 1024 * 1024
"""What a storage's file object fetches at once; with it the memory of one stream is bounded."""
OPEN_SECONDS = 20.0
BLOCK_SECONDS = 60.0
THREADS = 16
"""Airflow's own requests share another set of threads, so a slow storage never stops them."""
SIGNED_SECONDS = 900
FIRST_BOX = b"ftyp"


class NotPlayable(Exception):
    """The file does not begin like an MP4 or MOV."""


class StorageTrouble(Exception):
    """The storage could not be asked, or not in time."""


@dataclass(frozen=True)
class Span:
    """A part of a file, both ends included; empty for an empty range."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return self.last - self.first + 1


@dataclass
class OpenVideo:
    """A file that was found to be a video."""

    file: IO[bytes]
    size: int
    signed_url: str | None = None


_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def span_of(header: str | None, size: int) -> Span | None:
    """Return what a Range header asks for; ``None``: all of it (no header, or none that is understood).

    :raises ValueError: when nothing of it lies within the file.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        count = min(int(last), size)
        if count == 0:
            raise ValueError("empty suffix")
        return Span(size - count, size - 1)
    if int(first) >= size or (last and int(last) < int(first)):
        raise ValueError("outside of the file")
    return Span(int(first), min(int(last), size - 1) if last else size - 1)


class Reader:
    """Opens and reads files for one app."""

    def __init__(self, threads: int = THREADS) -> None:
        self._limiter = anyio.CapacityLimiter(threads)

    async def open(self, place: Place, *, sign: bool = False) -> OpenVideo:
        """Open a video.

        :param sign: ask the storage for an address that needs no credentials, where it can make one.
        :raises FileNotFoundError: when there is none.
        :raises NotPlayable: when it is something else.
        :raises StorageTrouble: for whatever else the storage says, or when it says nothing in time.
        """
        return await self.run(lambda: _open(place, sign), OPEN_SECONDS)

    async def blocks(self, video: OpenVideo, span: Span) -> AsyncIterator[bytes]:
        """Yield the bytes of a span and close the file."""
        left = span.length
        try:
            await self.run(lambda: video.file.seek(span.first), BLOCK_SECONDS)
            while left > 0:
                size = min(BLOCK, left)
                block = await self.run(lambda size=size: video.file.read(size), BLOCK_SECONDS)  # type: ignore[misc]
                if not block:
                    raise StorageTrouble("ended early")
                left -= len(block)
                yield block
        finally:
            close(video)

    async def run(self, work: Callable[[], T], seconds: float = OPEN_SECONDS) -> T:
        """Do blocking work on one of the gallery's threads.

        :raises StorageTrouble: when it fails, or does not end in time.
        """
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        except (FileNotFoundError, NotPlayable, StorageTrouble):
            raise
        except TimeoutError:
            raise StorageTrouble("did not answer in time") from None
        except Exception as error:
            # Its text may name keys, hosts and paths.
            raise StorageTrouble(type(error).__name__) from error


def close(video: OpenVideo) -> None:
    """Close the file; a storage that complains then has given all that was asked of it."""
    with suppress(Exception):
        video.file.close()


def _open(place: Place, sign: bool) -> OpenVideo:
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(place.uri)
    info: dict[str, Any] = path.fs.info(path.path)
    if info.get("type") != "file":
        raise FileNotFoundError
    file = path.open("rb", block_size=READ_AHEAD)
    try:
        head = file.read(12)
        if head[4:8] != FIRST_BOX:
            raise NotPlayable
        return OpenVideo(file, int(info["size"]), _signed(path) if sign and not place.is_local else None)
    except BaseException:
        file.close()
        raise


def _signed(path: Any) -> str | None:
    try:
        url = str(path.fs.sign(path.path, expiration=SIGNED_SECONDS))
    except (NotImplementedError, AttributeError):
        return None
    return url if url.startswith(("https://", "http://")) else None
