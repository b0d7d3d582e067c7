"""Downloading a video from the vendor's result host: who may be given the key, what counts as a whole video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanResponseError, WanTransportError
from airflow_provider_wan.client.tasks import VideoTask, utc_now
from airflow_provider_wan.client.transport.wire import USER_AGENT, tls_context
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.delivery.hosts import HostUnknown, InternalHost, Target, is_internal, targets_of

MAX_REDIRECTS = 5
REFUSED = frozenset({401, 403, 404})
"""Answers of a result host whose address has died; a proxy, or a host in trouble, gives them as well."""

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""What an MP4 or MOV file begins with, after four bytes of length."""
HEAD = 512


class WanResultGone(WanError):
    """The result's address does not serve the video any more (or not without its signature)."""


class NotAVideo(WanResponseError):
    """What came begins like no video; the next answer may be better (a proxy's page)."""


class Source:
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
        self._is_internal = account.allow_http or is_internal(httpx.URL(account.base_url).host)

    @property
    def expires_at(self) -> datetime | None:
        """When the life of the address is over, at the earliest; ``None`` when nothing is known of it."""
        task = self._task
        made_at = task.finished_at or task.started_at or task.submitted_at
        lifetime = timedelta(seconds=self._vendor.result_lifetime)
        return task.url_expires_at or (made_at + lifetime if made_at else None)

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
                    if until is not None and time.monotonic() > until:
                        raise self.error(WanTransportError, "did not come in time")
                    with self._answer(client, url, headers) as response:
                        location = response.headers.get("location")
                        if response.is_redirect and location:
                            url = url.join(location)
                            continue
                        self._check(response, is_part_asked=first_byte_only)
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
        head, size, boxes = b"", 0, Boxes()
        # As they come: waiting for large chunks would let a trickle pass the clock.
        for chunk in response.iter_bytes():
            size += len(chunk)
            boxes.feed(chunk)
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
        if boxes.are_cut_off or not (boxes.are_complete or (expected.isdecimal() and response.status_code != 206)):
            raise self.error(WanTransportError, f"was cut off: its own boxes say so ({size} bytes came)")

    def error(self, kind: type[WanError], what: str, **details: Any) -> WanError:
        """Return an error about this source, without the signature in its address."""
        message = f"The video of task {self._task.task_id} at {public_url(self._url)} {what}"
        return kind(message, task_id=self._task.task_id, **details)

    def _key_for(self, url: httpx.URL) -> dict[str, str]:
        is_content = self._content_url is not None and url.copy_with(query=None) == httpx.URL(self._content_url)
        return self._vendor.auth_headers(self._account) if is_content else {}

    def _check(self, response: httpx.Response, *, is_part_asked: bool) -> None:
        status = response.status_code
        if status == 206 and not is_part_asked and not _is_all(response.headers.get("content-range", "")):
            raise self.error(WanTransportError, "came in part, which nobody asked for")
        if response.is_success:
            return
        until = self.expires_at
        if status == 410 or (status in REFUSED and (until is None or until <= utc_now())):
            raise self.error(WanResultGone, f"has expired or is refused (HTTP {status})", code=str(status))
        lives = f", although it lives until {until:%Y-%m-%d %H:%M} UTC" if until and status in REFUSED else ""
        raise self.error(WanTransportError, f"is not served (HTTP {status}){lives}", code=str(status))

    @contextmanager
    def _answer(self, client: httpx.Client, url: httpx.URL, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Ask the address that was checked, and no other that the name may stand for a moment later."""
        refused: httpx.TransportError | None = None
        for target in self._targets(url):
            call = client.build_request(
                "GET",
                target.url,
                headers=headers | self._key_for(url) | target.headers,
                extensions=target.extensions,
            )
            try:
                response = client.send(call, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
                continue
            try:
                yield response
            finally:
                response.close()
            return
        if refused is not None:
            raise refused

    def _targets(self, url: httpx.URL) -> list[Target]:
        """Refuse what a video's address has no business to lead to; it is not quoted, for it may be a secret."""
        if url.scheme not in ("http", "https"):
            raise self.error(WanResponseError, f"leads to {url.scheme}:, which is not http(s)")
        is_redirect = str(url) != self._url
        try:
            return targets_of(
                url, may_be_inside=self._is_internal, may_lead_inside=self._is_internal or not is_redirect
            )
        except InternalHost:
            raise self.error(WanResponseError, "leads to an internal host, which was not asked") from None
        except HostUnknown:
            raise self.error(WanTransportError, "is at a host whose name is not known") from None

    def _require_video(self, head: bytes) -> None:
        if head[4:8] not in FIRST_BOXES:
            excerpt = " ".join(head[:200].decode("utf-8", "replace").split())
            raise self.error(NotAVideo, "is not an MP4 or MOV file", excerpt=excerpt)


class Boxes:
    """Walks the top-level boxes of an MP4 or MOV file while it comes in.

    A box begins with its size and its type, four bytes each; size 1 means that eight more bytes hold the size, size 0
    that it goes on to the end (ISO/IEC 14496-12, section 4.2).
    """

    def __init__(self) -> None:
        self._size = 0
        self._next_at = 0
        self._header = b""
        self._seen: set[bytes] = set()
        self._is_lost = False
        """What follows is no box, or one without a size: the walk ends."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        begin, self._size = self._size, self._size + len(chunk)
        while not self._is_lost and self._next_at < self._size:
            at = self._next_at + len(self._header) - begin
            self._header += chunk[at : at + 16 - len(self._header)]
            if not self._step():
                return

    def _step(self) -> bool:
        """Go to the next box; return whether the header was read whole."""
        size, kind = int.from_bytes(self._header[:4]), self._header[4:8]
        if len(self._header) < (16 if size == 1 else 8):
            return False
        if size == 1:
            size = int.from_bytes(self._header[8:16])
        self._seen.add(kind)
        self._is_lost = size < 8 or not kind.isalnum()
        if not self._is_lost:
            self._next_at += size
        self._header = b""
        return True

    @property
    def are_cut_off(self) -> bool:
        """Whether a box goes on beyond the last byte."""
        return not self._is_lost and self._next_at > self._size

    @property
    def are_complete(self) -> bool:
        """Whether they end where the file ends, with all that a film needs."""
        is_at_end = self._is_lost or self._next_at == self._size
        return is_at_end and b"moov" in self._seen and bool(self._seen & {b"mdat", b"moof"})


def _is_all(content_range: str) -> bool:
    unit, _, rest = content_range.partition(" ")
    span, _, total = rest.partition("/")
    first, _, last = span.partition("-")
    return unit == "bytes" and first == "0" and last.isdecimal() and total == str(int(last) + 1)
