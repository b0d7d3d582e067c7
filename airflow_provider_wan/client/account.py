"""Where calls go and who pays for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from airflow_provider_wan.client.costs.prices import Price


BODIES = ("multipart", "json")
"""How a server of one's own may take creations; the first is the default."""


@dataclass(frozen=True)
class Account:
    """Where to send and who pays; its repr never shows the key.

    :param base_url: origin (and path prefix) of the vendor's API, without a trailing slash.
    :param queries_per_second: budget of status and list queries for the whole account.
    :param submits_per_second: budget of submissions for the whole account.
    :param timeout: seconds for one HTTP exchange.
    :param running_limit: tasks that the vendor runs for it at once; the others wait their turn.
    :param queue_limit: tasks that may wait there.
    :param body: how a server of one's own takes creations: ``multipart`` or ``json``.
    :param allow_http: whether the host is a private one that is spoken to without TLS.
    :param prices: the account's own price rows, or the URI of a file that holds them.
    """

    vendor: str
    base_url: str
    api_key: SecretStr
    region: str | None = None
    workspace_id: str | None = None
    auth_header: str | None = None
    queries_per_second: float = 10.0
    submits_per_second: float = 2.0
    timeout: float = 30.0
    running_limit: int = 5
    queue_limit: int = 500
    body: str = "multipart"
    allow_http: bool = False
    prices: tuple[Price, ...] | str = field(default=(), compare=False, repr=False)

    @property
    def key_fingerprint(self) -> str:
        """A short digest that tells keys apart without telling them."""
        return hashlib.sha256(self.api_key.get_secret_value().encode()).hexdigest()[:12]

    @property
    def identity(self) -> tuple[str, str, str]:
        """Vendor, host and key fingerprint: what shares one poller."""
        return (self.vendor, self.base_url, self.key_fingerprint)
