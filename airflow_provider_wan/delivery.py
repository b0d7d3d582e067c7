"""Landing a video: from the vendor's result host (its URLs die within a day) to object storage."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.client import USER_AGENT, tls_context
from airflow_provider_wan.client.errors import WanError, WanResponseError, WanTransportError
from airflow_provider_wan.client.exchange import Account, public_url
from airflow_provider_wan.client.flows import back_off
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.vendors import vendor_of

log = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024**3
MAX_SECONDS = 1800.0
MAX_REDIRECTS = 5
TRIES = 4
CHUNK = 1024 * 1024
GONE = frozenset({401, 403, 404, 410})
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""What an MP4 or MOV file begins with, after four bytes of length."""


class WanResultGone(WanError):
    """The result's address does not serve the video any more (or not without its signature)."""


@dataclass(frozen=True)
class Landed:
    """Where a video lies now."""

    uri: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that landing adds to a result."""
        return asdict(self)


def land(
    task: VideoTask, target: str, account: Account, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS
) -> Landed:
    """Download the task's video and put it at ``target``, whole or not at all.

    :param target: an object-storage URI; one that ends with ``/`` gets ``<task_id>.mp4``.
    :param max_bytes: the largest video taken.
    :param max_seconds: the longest download.
    :raises WanResultGone: when the address has expired.
    :raises WanTransportError: when the download broke off, time after time.
    :raises WanResponseError: when what came is not a video.
    """
    uri = target_of(task, target)
    path = ObjectStoragePath(uri)
    source = _Source(task, account)
    until = time.monotonic() + max_seconds
    attempt = 0
    while True:
        try:
            size, digest = _land_once(source, path, max_bytes, until)
            return Landed(uri, size, digest)
        except WanTransportError as error:
            attempt += 1
            if attempt >= TRIES or time.monotonic() > until:
                raise
            log.warning("The download of task %s broke off and is repeated: %s", task.task_id, error)
        time.sleep(back_off(attempt))


def target_of(task: VideoTask, target: str) -> str:
    """Return the URI of the task's video: ``target`` itself, or a file in it when it ends with ``/``."""
    return f"{target}{task.task_id}.mp4" if target.endswith("/") else target


def is_stored(stored: dict[str, Any]) -> bool:
    """Whether a landed video is still in its place, with its length.

    :raises OSError: when the storage cannot be asked.
    """
    path = ObjectStoragePath(str(stored["uri"]))
    return path.is_file() and path.stat().st_size == stored.get("bytes")


def is_alive(task: VideoTask, account: Account) -> bool:
    """Whether the result can still be downloaded; asks for its first byte.

    A host that does not answer is not dead: the task is paid, so it is taken for alive.
    """
    try:
        with _Source(task, account).open(first_byte_only=True):
            return True
    except WanResultGone:
        return False
    except WanError:
        return True


class _Source:
    """The result's address, and who may be told the key: only the API's own content endpoint."""

    def __init__(self, task: VideoTask, account: Account) -> None:
        self._task = task
        self._account = account
        self._vendor = vendor_of(account.vendor)
        self._content_url = self._vendor.content_url(task, account)
        url = task.video_url or self._content_url
        if url is None:
            raise WanResultGone(
                f"{self._vendor.title} gave no video URL for the task that succeeded", task_id=task.task_id
            )
        self.url = url

    @contextmanager
    def open(self, first_byte_only: bool = False) -> Iterator[httpx.Response]:
        """Yield the streaming answer, after redirects."""
        headers = {"User-Agent": USER_AGENT, "Accept": "video/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        if first_byte_only:
            headers["Range"] = "bytes=0-0"
        verify: Any = tls_context() if self.url.startswith("https") else True
        timeout = httpx.Timeout(self._account.timeout)
        with httpx.Client(verify=verify, timeout=timeout, follow_redirects=False) as client:
            url = httpx.URL(self.url)
            for _ in range(MAX_REDIRECTS + 1):
                if url.scheme not in ("http", "https"):
                    raise self._error(WanResponseError, f"leads to {public_url(str(url))}, which is not http(s)")
                with client.stream("GET", url, headers=headers | self._key_for(url)) as response:
                    location = response.headers.get("location")
                    if response.is_redirect and location:
                        url = url.join(location)
                        continue
                    self._check(response)
                    yield response
                    return
            raise self._error(WanResponseError, f"redirects more than {MAX_REDIRECTS} times")

    def _key_for(self, url: httpx.URL) -> dict[str, str]:
        is_content = self._content_url is not None and url.copy_with(query=None) == httpx.URL(self._content_url)
        return self._vendor.auth_headers(self._account) if is_content else {}

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        if response.status_code in GONE:
            raise self._error(WanResultGone, f"has expired or is refused (HTTP {response.status_code})")
        raise self._error(WanTransportError, f"answers HTTP {response.status_code}")

    def error(self, kind: type[WanError], what: str) -> WanError:
        """Return an error about this source, without the signature in its address."""
        return self._error(kind, what)

    def _error(self, kind: type[WanError], what: str) -> WanError:
        return kind(f"The video of the task at {public_url(self.url)} {what}", task_id=self._task.task_id)


def _land_once(source: _Source, path: ObjectStoragePath, max_bytes: int, until: float) -> tuple[int, str]:
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    broken: str | None = None
    try:
        with source.open() as response, part.open("wb") as file:
            digest, size = hashlib.sha256(), 0
            for chunk in response.iter_bytes(CHUNK):
                if size == 0:
                    _require_video(source, chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise source.error(WanResponseError, f"is larger than {max_bytes} bytes")
                if time.monotonic() > until:
                    raise source.error(WanResponseError, f"did not end in time ({size} bytes so far)")
                digest.update(chunk)
                file.write(chunk)
            expected = response.headers.get("content-length")
        if size == 0 or (expected is not None and expected.isdigit() and int(expected) != size):
            raise source.error(WanTransportError, f"was cut off: {size} of {expected or 'some'} bytes came")
        move(part, path)
        return size, digest.hexdigest()
    except (httpx.HTTPError, httpx.StreamError) as error:
        broken = f"broke off: {type(error).__name__}"
    finally:
        with suppress(OSError):
            if part.exists():
                part.unlink()
    raise source.error(WanTransportError, broken)


def _require_video(source: _Source, start: bytes) -> None:
    if start[4:8] not in FIRST_BOXES:
        excerpt = " ".join(start[:200].decode("utf-8", "replace").split())
        error = source.error(WanResponseError, "is not an MP4 or MOV file")
        raise WanResponseError(error.message, excerpt=excerpt, task_id=error.task_id)


def move(part: ObjectStoragePath, path: ObjectStoragePath) -> None:
    """Move a finished file into place; on a file system that is atomic."""
    if path.protocol in ("file", "local", ""):
        part.replace(path)
    else:
        part.fs.mv(part.path, path.path)
