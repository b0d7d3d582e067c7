"""Freepik's webhooks, for whoever runs a receiver: is a call genuine, and what does it say.

Follows https://docs.magnific.com/webhooks. A call may come twice, late or out of order: remember its
``webhook-id``, and let no older state replace one that has ended.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping

from airflow_provider_wan.client.exchange import Answer
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.vendors.freepik import Freepik

PREFIX = "whsec_"


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    tolerance_seconds: float = 300,
    now: float | None = None,
) -> bool:
    """Return whether a call was signed with ``secret`` and is recent.

    :param headers: of the HTTP call, in any case.
    :param body: the raw bytes, as they came in.
    :param secret: as the vendor's dashboard shows it.
    :param tolerance_seconds: how old, or how far ahead, its time may be.
    :param now: unix seconds; the current time when not given.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "")
    if not (secret and message_id and signatures and stamp.isascii() and stamp.isdecimal() and len(stamp) < 16):
        return False
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > tolerance_seconds:
        return False
    signed = f"{message_id}.{stamp}.".encode("utf-8", "replace") + body
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in _keys(secret)]
    # "v1,<signature> v2,<signature>": any that matches will do.
    shown = [item.partition(",")[2].encode("utf-8", "replace") for item in signatures.split()]
    return any(hmac.compare_digest(one, other) for one in expected for other in shown)


def _keys(secret: str) -> Iterator[bytes]:
    """Yield the secret's own bytes, which is the documented key; other senders write it as Base64 after a prefix."""
    yield secret.encode()
    if secret.startswith(PREFIX):
        try:
            yield base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            return


def read_webhook(body: bytes) -> VideoTask:
    """Return the task that a (verified) call tells about; its mode is not told.

    :raises WanResponseError: for a body that is not the vendor's.
    """
    return Freepik().read_webhook(Answer(200, body))
