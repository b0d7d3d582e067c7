"""Keeps the signed media addresses of a lost submission, so that the very same body can be sent again with its key.

A vendor that compares bodies refuses the key with an address that was signed anew. Signatures are secrets, so what is
recorded can only be read by who has the account's key; it is dropped as soon as the task is known.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.urls import unsigned

LONGEST = 32_000
"""Characters: the task state store wants values under 64 KB."""


def sealed(text: str, account: Account) -> str:
    """Return a text that only the account's key can read."""
    return _cipher(account).encrypt(text.encode()).decode("ascii")


def unsealed(text: str, account: Account) -> str | None:
    """Return what was sealed; ``None`` when it cannot be read (any more)."""
    try:
        return _cipher(account).decrypt(text).decode()
    except (InvalidToken, ValueError, TypeError):
        return None


def seal(request: VideoRequest, account: Account) -> str | None:
    """Return the request's signed addresses, readable with the account's key; ``None`` when there are none."""
    signed = {unsigned(url): url for url in _addresses(request.model_dump(mode="json")) if unsigned(url) != url}
    if not signed:
        return None
    text = sealed(json.dumps(signed), account)
    return text if len(text) <= LONGEST else None


def as_sent(request: VideoRequest, kept: str | None, account: Account) -> VideoRequest:
    """Return the request with the addresses that were sent first; as it is when they cannot be read any more."""
    opened = unsealed(kept, account) if kept else None
    if opened is None:
        return request
    signed: dict[str, str] = json.loads(opened)
    said = request.model_dump(mode="python", exclude_unset=True)
    return type(request).model_validate(_replaced(said, signed))


def _addresses(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith(("http://", "https://")) else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [url for item in items for url in _addresses(item)]


def _replaced(value: Any, signed: dict[str, str]) -> Any:
    if isinstance(value, str):
        return signed.get(str(unsigned(value)), value)
    if isinstance(value, dict):
        return {name: _replaced(item, signed) for name, item in value.items()}
    return [_replaced(item, signed) for item in value] if isinstance(value, list | tuple) else value


def _cipher(account: Account) -> Fernet:
    secret = account.api_key.get_secret_value().encode()
    return Fernet(base64.urlsafe_b64encode(hashlib.blake2b(b"wan-media" + secret, digest_size=32).digest()))
