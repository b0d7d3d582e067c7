"""URLs in text: what may be shown of one, and when two are the same."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

_QUERY = re.compile(r"(\w{2,10}://[^\s'\"?]*)\?[^\s'\"]*")

_SIGNATURES = frozenset({"signature", "sig", "x-amz-signature", "x-goog-signature", "x-oss-signature"})
_PREFIXES = (
    "x-amz-",
    "x-goog-",
    "x-oss-signature",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-security",
)
_OLDER = {"awsaccesskeyid", "ossaccesskeyid", "googleaccessid", "expires", "security-token", "key-pair-id", "policy"}
_AZURE = {"sv", "st", "se", "sr", "sp", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv"}
_NAMES = _SIGNATURES | _OLDER | _AZURE


def shorten(value: object, limit: int = 120) -> str:
    """Return ``repr(value)`` for a log: cut to ``limit`` characters, and without the signatures of URLs."""
    text = _QUERY.sub(r"\1?…", repr(value))
    return text if len(text) <= limit else f"{text[: limit - 1]}…({len(text)} characters)"


def public_url(url: str) -> str:
    """Return ``url`` fit for a log: no query string, no fragment, no user info, no inline data."""
    if url.startswith("data:"):
        return f"{url.split(',', 1)[0][:60]},…({len(url)} characters)"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{host}{port}{parts.path}" + ("?…" if parts.query else "")


def is_web_url(url: str) -> bool:
    """Whether ``url`` is a full http or https address."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
    except ValueError:
        return False


ADDRESSES = frozenset({"http", "https", "data", "asset", "ftp", "ftps"})
"""Schemes that are no storage: what vendors take as it is, or refuse; ``oss://`` too, unless it names a connection."""


def is_stored(value: str) -> bool:
    """Whether a media value is a path or the URI of a storage, which a vendor cannot reach as it is."""
    text = value.strip()
    scheme, found, rest = text.partition("://")
    if not text or text.startswith("data:") or not text.isprintable():
        return False
    if not found:
        # One slash too few makes no path of an address.
        return not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text)
    if scheme.lower() == "oss":
        return "@" in rest.partition("/")[0]
    return scheme.lower() not in ADDRESSES and bool(rest)


def unsigned(value: Any) -> Any:
    """Return ``value`` with the signatures of its URLs left out; lists and dicts are walked, the rest is kept."""
    if isinstance(value, list):
        return [unsigned(item) for item in value]
    if isinstance(value, dict):
        return {name: unsigned(item) for name, item in value.items()}
    if not isinstance(value, str) or not value.startswith(("http://", "https://")) or "?" not in value:
        return value
    try:
        parts = urlsplit(value)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return value
    if not any(name.lower() in _SIGNATURES for name, _ in query):
        return value
    kept = [(name, item) for name, item in query if not _is_of_a_signature(name.lower())]
    return parts._replace(query=urlencode(kept)).geturl()


def _is_of_a_signature(name: str) -> bool:
    return name in _NAMES or name.startswith(_PREFIXES)
