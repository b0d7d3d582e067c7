"""Making a medium reachable for a vendor: a signed address, the vendor's upload, or a data URL."""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Any, Literal, cast
from urllib.parse import urlsplit

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.requests import VideoRequest, media_urls
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Upload, Vendor
from airflow_provider_wan.inputs.kept import Kept, KeptInputs
from airflow_provider_wan.inputs.kinds import mime_of
from airflow_provider_wan.inputs.probe import Look
from airflow_provider_wan.inputs.sources import MediaSource, NotSigned

Media = Literal["auto", "presign", "upload", "inline"]
"""The ways, and ``auto``: the first that works."""

INLINE_BYTES = 7 * 1024 * 1024
"""As text these are just under the 10 MB that DashScope names as the limit of one data URL."""
NO_WAY = "put it into storage that signs addresses (S3, GCS, Azure), or give a public http(s) URL"
PROGRESS_SECONDS = 10.0
MB = 1024 * 1024


def ways_of(
    source: MediaSource, look: Look, field: str, request: VideoRequest, account: Account, media: Media
) -> tuple[str | None, str]:
    """Return the way to take, or ``None`` and why there is none.

    :param field: of the request, whose rules decide on data URLs.
    :param request: with stand-ins in the place of its media.
    """
    vendor = vendor_of(account.vendor)
    kind, size = look.content.kind, look.content.bytes
    ways: dict[str, Callable[[], str | None]] = {
        "presign": lambda: _not_signed(source, account, is_named=media == "presign"),
        "upload": lambda: _not_taken(vendor, kind, size),
        "inline": lambda: _not_inline(vendor, field, kind, size, request),
    }
    reasons = []
    for way, problem in ways.items():
        if media in ("auto", way):
            why = problem()
            if why is None:
                return way, ""
            reasons.append(f"{way}: {why}")
    return None, "; ".join(reasons)


def _not_signed(source: MediaSource, account: Account, is_named: bool) -> str | None:
    try:
        url = source.signed()
    except NotSigned as error:
        return str(error)
    if not is_named and is_private(url) and not is_private(account.base_url):
        return f"the storage's host {urlsplit(url).hostname} is not on the internet"
    return None


def is_private(url: str) -> bool:
    """Whether an address is one of this machine or of a private network; names are not looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _not_taken(vendor: Vendor, kind: str, size: int) -> str | None:
    mime = mime_of(kind)
    if not vendor.upload_types:
        return f"{vendor.title} takes no uploads"
    if not any(mime.startswith(prefix) for prefix in vendor.upload_types):
        return f"{vendor.title} takes uploads of {', '.join(vendor.upload_types)} only"
    if size > vendor.upload_bytes:
        return f"{vendor.title} takes uploads of at most {vendor.upload_bytes // MB} MB"
    return None


def _not_inline(vendor: Vendor, field: str, kind: str, size: int, request: VideoRequest) -> str | None:
    if not kind.startswith("image/"):
        return "only images can be sent as data"
    if size > INLINE_BYTES:
        return f"only images of at most {INLINE_BYTES // MB} MB can be sent as data"
    address = dict(media_urls(request))[field]
    # A vendor's limits look at the length too.
    candidate = request.with_addresses({address: f"data:{kind};base64," + "A" * (size * 4 // 3)})
    refused = [item for item in vendor.limits(candidate, vendor.model_of(candidate)) if item.field.startswith(field)]
    return f"{vendor.title} takes no such data" if refused else None


def reach(source: MediaSource, look: Look, way: str, model: str, client: WanClient, kept: KeptInputs, log: Any) -> str:
    """Return an address by which the vendor can have the medium.

    :raises WanError: when the medium is not what was looked at, or the upload fails; nothing was submitted.
    """
    if look.digest is None:
        raise WanError(f"{source.shown} was not read; nothing was submitted", retryable=True)
    if way == "presign":
        return source.signed()
    if way == "inline":
        content = b"".join(source.pieces())
        _hold(source, hashlib.sha256(content).hexdigest(), look.digest)
        return f"data:{look.content.kind};base64,{base64.b64encode(content).decode()}"
    with kept.upload(look.digest, model, client.account) as place:
        found = place.get()
        if found is not None:
            log.info("%s was uploaded before; its address is used again", source.shown)
            return found.address
        address = upload(source, look, model, client, log)
        place.put(Kept(address, time.time() + client.vendor.upload_lifetime))
        return address


def upload(source: MediaSource, look: Look, model: str, client: WanClient, log: Any) -> str:
    """Hand a medium to the vendor, in pieces.

    :raises WanError: when the upload fails; nothing was submitted.
    """
    size, mime = look.content.bytes, mime_of(look.content.kind)
    began = time.monotonic()
    with ExitStack() as opened:

        def stream() -> IO[bytes]:
            return cast("IO[bytes]", opened.enter_context(_Stream(source, size, look.digest or "", log)))

        address = client.upload(Upload(source.name, stream, mime, model, size))
    log.info(
        "Uploaded %s to %s: %.1f MB in %.1f s", source.shown, client.vendor.title, size / MB, time.monotonic() - began
    )
    return address


def _hold(source: MediaSource, found: str, digest: str) -> None:
    if found != digest:
        raise WanError(f"{source.shown} changed after it was checked; nothing was submitted", retryable=True)


class _Stream:
    """A medium as a file that is read once: held to its digest, its progress logged now and then."""

    def __init__(self, source: MediaSource, size: int, digest: str, log: Any) -> None:
        self._source = source
        self._size = size
        self._digest = digest
        self._log = log
        self._file = source.open()
        self._hash = hashlib.sha256()
        self._place = 0
        self._said_at = time.monotonic()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> bytes:
        piece = self.read(64 * 1024)
        if not piece:
            raise StopIteration
        return piece

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Say where the end is, and go back to the start; httpx asks for nothing else."""
        if whence == io.SEEK_END:
            return self._size
        if offset == 0 and self._place:
            self._file.seek(0)
            self._hash, self._place = hashlib.sha256(), 0
        return offset

    def read(self, count: int = -1) -> bytes:
        """Read on.

        :raises WanError: at the end, when the content is not what was checked: the vendor gets no whole file.
        """
        piece = self._file.read(count)
        self._hash.update(piece)
        self._place += len(piece)
        if self._place >= self._size or not piece:
            _hold(self._source, self._hash.hexdigest() if self._place == self._size else "", self._digest)
        if time.monotonic() - self._said_at > PROGRESS_SECONDS:
            self._said_at = time.monotonic()
            self._log.info("%s: %.0f of %.0f MB are uploaded", self._source.shown, self._place / MB, self._size / MB)
        return piece
