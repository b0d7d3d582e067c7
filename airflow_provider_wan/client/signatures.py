"""Tells a signed URL's object from its signature, which is new each time the URL is made."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

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
