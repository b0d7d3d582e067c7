"""Landing a video: from the vendor's result host (its URLs die within a day) to object storage."""

from __future__ import annotations

import hashlib
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanResponseError, WanTransportError
from airflow_provider_wan.client.tasks import VideoTask, utc_now
from airflow_provider_wan.client.transport.client import USER_AGENT, tls_context
from airflow_provider_wan.client.transport.flows import back_off
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors import vendor_of

log = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024**3
MAX_SECONDS = 1800.0
MAX_REDIRECTS = 5
TRIES = 4
CHUNK = 1024 * 1024
GONE = frozenset({401, 403, 404, 410})
REFUSED = frozenset({"401", "403"})
"""Answers that a proxy between here and the result host gives as well."""
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""What an MP4 or MOV file begins with, after four bytes of length."""
HEAD = 512
WITHOUT_FOLDERS = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "adl", "wasb", "wasbs", "oss"})
"""Stores where a folder needs no making; asking for one may need rights on the bucket, or make a bucket."""


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
    :param max_seconds: the longest download, repetitions included.
    :raises WanResultGone: when the address has expired.
    :raises WanTransportError: when the download broke off, time after time.
    :raises WanResponseError: when what came is not a video, is too large or does not end.
    """
    uri = target_of(task, target)
    source = _Source(task, account)
    until = time.monotonic() + max_seconds
    attempt = 0
    while True:
        try:
            with source.open(until) as response:
                return _write(uri, source.video(response, max_bytes, until))
        except (WanTransportError, _NotAVideo) as error:
            attempt += 1
            pause = back_off(attempt)
            if attempt >= TRIES or time.monotonic() + pause > until:
                raise
            log.warning("%s. The download is repeated", error)
        time.sleep(pause)


def target_of(task: VideoTask, target: str) -> str:
    """Return the URI of the task's video: ``target`` itself, or a file in it when it ends with ``/``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", task.task_id)
    return f"{target}{name}.mp4" if target.endswith("/") else target


def is_stored(stored: dict[str, Any]) -> bool:
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


def copy_stored(stored: dict[str, Any], uri: str) -> Landed:
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

    return _write(uri, read(), check)


def is_alive(task: VideoTask, account: Account) -> bool:
    """Whether the result can still be downloaded; asks its host for the first byte.

    The task is paid, so it takes more than a doubt to call it dead: a host that cannot be asked says nothing,
    nor does a refusal before the time that the vendor gave.
    """
    is_due = task.url_expires_at is None or task.url_expires_at <= utc_now()
    try:
        with _Source(task, account).open(first_byte_only=True):
            return True
    except WanResultGone as gone:
        if is_due or gone.code not in REFUSED:
            return False
        log.warning("%s, although it lives until %s: it is taken for alive", gone.message, task.url_expires_at)
        return True
    except WanError as error:
        log.info("%s: it is taken for alive", error.message)
        return True


class _NotAVideo(WanResponseError):
    """What came begins like no video; the next answer may be better (a proxy's page)."""


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
        self._url = url

    @contextmanager
    def open(self, until: float | None = None, *, first_byte_only: bool = False) -> Iterator[httpx.Response]:
        """Yield the streaming answer, after redirects; what the network does becomes a ``WanTransportError``."""
        headers = {"User-Agent": USER_AGENT, "Accept": "video/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        if first_byte_only:
            headers["Range"] = "bytes=0-0"
        timeout = httpx.Timeout(self._account.timeout)
        broken: str
        try:
            with httpx.Client(verify=tls_context(), timeout=timeout) as client:
                url = httpx.URL(self._url)
                for _ in range(MAX_REDIRECTS + 1):
                    if url.scheme not in ("http", "https"):
                        raise self.error(WanResponseError, f"leads to {public_url(str(url))}, which is not http(s)")
                    if until is not None and time.monotonic() > until:
                        raise self.error(WanTransportError, "did not come in time")
                    with client.stream("GET", url, headers=headers | self._key_for(url)) as response:
                        location = response.headers.get("location")
                        if response.is_redirect and location:
                            url = url.join(location)
                            continue
                        self._check(response)
                        yield response
                        return
                raise self.error(WanResponseError, f"redirects more than {MAX_REDIRECTS} times")
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            # Its text may hold the signed address.
            broken = type(error).__name__
        raise self.error(WanTransportError, f"broke off ({broken})") from None

    def video(self, response: httpx.Response, max_bytes: int, until: float) -> Iterator[bytes]:
        """Yield the answer's bytes, all of them, if they are a video's.

        :raises WanError: as :func:`land` says.
        """
        expected = response.headers.get("content-length", "")
        if expected.isdecimal() and int(expected) > max_bytes:
            raise self.error(WanResponseError, f"has {expected} bytes, more than {max_bytes}")
        head, size = b"", 0
        # As they come: waiting for large chunks would let a trickle pass the clock.
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > max_bytes:
                raise self.error(WanResponseError, f"is larger than {max_bytes} bytes")
            if time.monotonic() > until:
                raise self.error(WanResponseError, f"did not end in time ({size} bytes so far)")
            if len(head) < HEAD:
                head += chunk
                if len(head) < HEAD:
                    continue
                chunk = head
                self._require_video(head)
            yield chunk
        if size == 0:
            raise self.error(WanTransportError, "is empty")
        if size < HEAD:
            self._require_video(head)
            yield head
        # Raw bytes: a proxy may have packed the answer although nobody asked for it.
        received = response.num_bytes_downloaded
        if expected.isdecimal() and int(expected) != received:
            raise self.error(WanTransportError, f"was cut off: {received} of {expected} bytes came")

    def error(self, kind: type[WanError], what: str, **details: Any) -> WanError:
        """Return an error about this source, without the signature in its address."""
        message = f"The video of task {self._task.task_id} at {public_url(self._url)} {what}"
        return kind(message, task_id=self._task.task_id, **details)

    def _key_for(self, url: httpx.URL) -> dict[str, str]:
        is_content = self._content_url is not None and url.copy_with(query=None) == httpx.URL(self._content_url)
        return self._vendor.auth_headers(self._account) if is_content else {}

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        status = response.status_code
        if status in GONE:
            raise self.error(WanResultGone, f"has expired or is refused (HTTP {status})", code=str(status))
        raise self.error(WanTransportError, f"is not served (HTTP {status})", code=str(status))

    def _require_video(self, head: bytes) -> None:
        if head[4:8] not in FIRST_BOXES:
            excerpt = " ".join(head[:200].decode("utf-8", "replace").split())
            raise self.error(_NotAVideo, "is not an MP4 or MOV file", excerpt=excerpt)


def _write(uri: str, chunks: Iterable[bytes], check: Callable[[Landed], None] = lambda landed: None) -> Landed:
    """Write to a temporary name, then move into place; remove what is left of a failure."""
    path = ObjectStoragePath(uri)
    part = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    if path.protocol not in WITHOUT_FOLDERS:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest, size = hashlib.sha256(), 0
        with part.open("wb") as file:
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
    if path.protocol in ("file", "local", ""):
        part.replace(path)
    else:
        part.fs.mv(part.path, path.path)
