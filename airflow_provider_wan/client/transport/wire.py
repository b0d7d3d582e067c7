"""What goes over the wire and what is kept of it: the key, TLS, log lines without signatures, one bounded answer."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Generator
from contextvars import ContextVar, Token
from functools import cache

import httpx

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.exchange import Answer, Broken, request_id_in
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors.base import Vendor

MAX_BODY = 2 * 1024 * 1024
"""Bytes read of one answer; a page of 100 tasks has about 50 KB."""

NEVER_OPENED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
USER_AGENT = "airflow-provider-wan"
MAX_ESCAPED = 256 * 1024
"""Bytes: larger bodies are not searched for a key with escaped signs."""

SHORTEST_SECRET = 8
"""Characters: shorter keys are a test's, and stand in innocent words too."""
_is_ours: ContextVar[bool] = ContextVar("wan_exchange", default=False)
_SIGNED = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")


class _ShortUrls(logging.Filter):
    """Cut query strings (signatures) out of what httpx and httpcore log about our exchanges."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not _is_ours.get():
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(public_url(str(item)) if isinstance(item, httpx.URL) else item for item in record.args)
        if isinstance(record.msg, str):
            record.msg = _SIGNED.sub(r"\1?…", record.msg)
        return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_ShortUrls())


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context; making one costs about 40 ms of CPU."""
    return httpx.create_ssl_context()


class KeyAuth(httpx.Auth):
    """Adds the key at the last moment, and only for the account's own origin."""

    def __init__(self, vendor: Vendor, account: Account) -> None:
        self._vendor = vendor
        self._account = account
        self._origin = _origin(httpx.URL(account.base_url))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the headers that carry the key."""
        if _origin(request.url) == self._origin:
            request.headers.update(self._vendor.auth_headers(self._account))
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"https": 443, "http": 80}.get(url.scheme)
    return (url.scheme, url.host, url.port or default)


class KeyMask:
    """Takes the key out of what comes back, however it is written: as it is, URL-, JSON- or HTML-escaped."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._is_on = len(key) >= SHORTEST_SECRET
        self._escaped: re.Pattern[bytes] | None = None

    def __repr__(self) -> str:
        return "KeyMask()"

    def bytes(self, body: bytes) -> bytes:
        """Return ``body`` without the key."""
        if not self._is_on:
            return body
        body = body.replace(self._key, b"***")
        # The search for escaped forms is slow, so that it is kept for bodies that hold one.
        if self._key in _unescaped(body):
            self._escaped = self._escaped or re.compile(b"".join(map(_forms, self._key)))
            body = self._escaped.sub(b"***", body)
        return body

    def text(self, text: str) -> str:
        """Return ``text`` without the key."""
        return self.bytes(text.encode("utf-8", "replace")).decode("utf-8", "replace")


_ESCAPES = re.compile(
    rb"%([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})|&#[xX]0*([0-9a-fA-F]{2});|\\([\x21-\x7e])|&#0*([0-9]{2,3});"
)
_MAY_ESCAPE = re.compile(rb"[%\\&]")


def _unescaped(body: bytes) -> bytes:
    def sign(found: re.Match[bytes]) -> bytes:
        percent, unicode, hexadecimal, backslash, decimal = found.groups()
        if backslash is not None:
            return backslash
        code = int(decimal) if decimal is not None else int(percent or unicode or hexadecimal, 16)
        return bytes([code]) if code < 256 else found[0]

    if len(body) > MAX_ESCAPED or not _MAY_ESCAPE.search(body):
        return body
    # Twice: a JSON string may hold a URL.
    return _ESCAPES.sub(sign, _ESCAPES.sub(sign, body))


def _forms(code: int) -> bytes:
    """Return a pattern of the ways in which one sign of the key is written."""
    sign = re.escape(chr(code))
    return rf"(?:\\?{sign}|(?i:%(?:25)?|\\{{1,2}}u00|&#x0*)(?i:{code:02x});?|&#0*{code};)".encode()


class Exchange:
    """Collects one answer, and turns what the network does into a value: no exception carries the request (and key)."""

    def __init__(self, account: Account) -> None:
        self._mask = KeyMask(account.api_key.get_secret_value())
        self._chunks: list[bytes] = []
        self._size = 0
        self._broken: Broken | None = None
        self._mark: Token[bool] | None = None
        self.response: httpx.Response | None = None

    def __repr__(self) -> str:
        return f"Exchange({self._size} bytes)"

    def __enter__(self) -> Exchange:
        self._mark = _is_ours.set(True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if self._mark is not None:
            _is_ours.reset(self._mark)
        if isinstance(error, NEVER_OPENED):
            self._broken = Broken(self._reason(error), opened=False)
        elif isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError | OSError | ValueError):
            self._broken = Broken(self._reason(error), True, request_id_in(self._headers(), self._body()))
        else:
            return False
        return True

    def is_full_with(self, chunk: bytes) -> bool:
        """Keep a piece of the body; return whether that is more than is read of one."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        return self._size > MAX_BODY

    @property
    def outcome(self) -> Answer | Broken:
        """What came back, or why nothing did."""
        if self._broken is not None or self.response is None:
            return self._broken or Broken("no answer", opened=True)
        return Answer(self.response.status_code, self._body(), self._headers(), self._size > MAX_BODY)

    def _headers(self) -> dict[str, str]:
        if self.response is None:
            return {}
        return {name.lower(): self._mask.text(value) for name, value in self.response.headers.items()}

    def _body(self) -> bytes:
        # Some servers echo what they were sent, in error pages above all.
        return self._mask.bytes(b"".join(self._chunks)[:MAX_BODY])

    def _reason(self, error: Exception) -> str:
        text = str(error).strip()
        text = self._mask.text(text)
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
