"""From an Airflow connection to the client's account."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from airflow_provider_wan.client.account import BODIES, Account
from airflow_provider_wan.client.errors import Violation, WanAuthError, WanRequestError
from airflow_provider_wan.client.urls import public_url, shorten
from airflow_provider_wan.client.vendors import DEFAULT_VENDOR, VENDOR_NAMES, vendor_of
from airflow_provider_wan.client.vendors.base import Vendor

if TYPE_CHECKING:
    from airflow_provider_wan.client.costs.prices import Price

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOST_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
EXTRA_FIELDS = (
    "vendor",
    "region",
    "workspace_id",
    "queries_per_second",
    "submits_per_second",
    "timeout",
    "running_limit",
    "queue_limit",
    "auth_header",
    "body",
    "allow_http",
    "prices",
)
API_SUFFIXES = ("/compatible-mode/v1", "/api/v1", "/v1")
"""Path ends that people copy from the vendors' pages; the calls bring their own."""


class ConnectionLike(Protocol):
    """The fields read of an Airflow connection."""

    conn_id: Any
    host: Any
    port: Any
    schema: Any
    password: Any
    extra: Any


def account_of(connection: ConnectionLike) -> Account:
    """Read a ``wan`` connection.

    :raises WanRequestError: naming every wrong field of the connection.
    """
    return _Reader(connection).account()


def with_account(error: WanAuthError, conn_id: str, account: Account) -> WanAuthError:
    """Return the error of a refused key with the host and the region that it was refused for."""
    region = f", region {account.region}" if account.region else ""
    return WanAuthError(
        f"{error.message} (connection {conn_id!r}: {public_url(account.base_url)}{region})",
        code=error.code,
        request_id=error.request_id,
        task_id=error.task_id,
        retryable=error.retryable,
    )


class _Reader:
    def __init__(self, connection: ConnectionLike) -> None:
        self._connection = connection
        self._wrong: list[Violation] = []
        self._extra = self._read_extra()

    def account(self) -> Account:
        vendor = self._vendor()
        region, workspace = self._region(vendor), self._workspace(vendor)
        base_url = self._base_url(vendor, region, workspace)
        key = self._connection.password or ""
        if not key and vendor.needs_key:
            self._refuse("password", "holds the API key", "nothing", "put the vendor's key there")
        elif key and not _is_plain(str(key)):
            self._refuse("password", "is one line of plain characters", "something else", "copy the key again")
        header = self._extra.get("auth_header")
        if header and "auth_header" not in vendor.connection_fields:
            takers = ", ".join(name for name in VENDOR_NAMES if "auth_header" in vendor_of(name).connection_fields)
            self._refuse("extra.auth_header", f"is for vendor {takers} only", shorten(header), "remove it")
        elif header and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(header)):
            self._refuse("extra.auth_header", "is an HTTP header name", shorten(header))
        queries = self._number("queries_per_second", vendor.queries_per_second)
        submits = self._number("submits_per_second", vendor.submits_per_second)
        timeout = self._number("timeout", 30.0)
        running, queued = (self._whole(name, getattr(vendor, name)) for name in ("running_limit", "queue_limit"))
        body = self._body(vendor)
        prices = self._prices()
        if self._wrong:
            heading = f"The connection {self._connection.conn_id!r} is not usable:"
            lines = "\n  - ".join([heading, *map(str, self._wrong)])
            raise WanRequestError(lines, violations=self._wrong)
        return Account(
            vendor=vendor.name,
            base_url=base_url,
            api_key=SecretStr(str(key).strip()),
            region=region,
            workspace_id=workspace,
            auth_header=str(header) if header else None,
            queries_per_second=queries,
            submits_per_second=submits,
            timeout=timeout,
            running_limit=running,
            queue_limit=queued,
            body=body,
            allow_http=self._allows_http(vendor),
            prices=prices,
        )

    def _refuse(self, field: str, rule: str, given: str, fix: str = "") -> None:
        self._wrong.append(Violation(field, rule, given, fix, hard=True))

    def _read_extra(self) -> Mapping[str, Any]:
        # Read here and not through extra_dejson, which talks to the supervisor to mask secrets: there are none.
        raw = self._connection.extra
        if not raw:
            return {}
        try:
            extra = json.loads(raw) if isinstance(raw, str) else raw
        except ValueError:
            extra = None
        if not isinstance(extra, Mapping):
            self._refuse("extra", "is a JSON object", "something else")
            return {}
        strange = sorted(str(name) for name in extra if name not in EXTRA_FIELDS)
        if strange:
            # The values stay out of the log: somebody may have put a key there.
            log.warning(
                "The extra of connection %r has fields that nobody reads: %s (known: %s)",
                self._connection.conn_id,
                ", ".join(strange),
                ", ".join(EXTRA_FIELDS),
            )
        return {name: extra[name] for name in EXTRA_FIELDS if extra.get(name) not in (None, "")}

    def _vendor(self) -> Vendor:
        name = str(self._extra.get("vendor", DEFAULT_VENDOR)).strip().lower()
        if name not in VENDOR_NAMES:
            self._refuse("extra.vendor", f"is one of {', '.join(VENDOR_NAMES)}", shorten(name))
            name = DEFAULT_VENDOR
        return vendor_of(name)

    def _region(self, vendor: Vendor) -> str | None:
        region = self._extra.get("region")
        if region is None:
            return None
        if "region" not in vendor.connection_fields:
            # A form with a choice keeps its last value when the vendor changes; it means nothing elsewhere.
            return None
        if region not in vendor.regions:
            self._refuse("extra.region", f"is one of {', '.join(vendor.regions)}", shorten(region))
            return None
        return str(region)

    def _workspace(self, vendor: Vendor) -> str | None:
        workspace = self._extra.get("workspace_id")
        if workspace is None or "workspace_id" not in vendor.connection_fields:
            return None
        if not vendor.is_workspace_id(str(workspace)):
            self._refuse("extra.workspace_id", "looks like llm-xxxxxxxx", shorten(workspace))
            return None
        return str(workspace)

    def _base_url(self, vendor: Vendor, region: str | None, workspace: str | None) -> str:
        host = str(self._connection.host or "").strip()
        if not host and not vendor.default_host:
            rule = f"names the server (vendor {vendor.name} has none of its own)"
            self._refuse("host", rule, "nothing", "for example https://videos.example.com")
            return ""
        if not host:
            try:
                return vendor.base_url(region, workspace)
            except ValueError as error:
                self._refuse("extra.region", str(error), shorten(region))
                return ""
        url = self._full(host)
        if "@" in url.partition("://")[2].partition("/")[0]:
            # Not quoted: it may be a proxy's password.
            rule = "is a base URL without a user name or password"
            self._refuse("host", rule, "one with '@' in it (not shown)", "the key goes into the field password")
            return ""
        try:
            parts = urlsplit(url)
            name, _ = parts.hostname, parts.port
        except ValueError:
            parts, name = urlsplit(""), None
        if not name or not HOST_NAME.fullmatch(name) or parts.query or parts.fragment or parts.username:
            self._refuse("host", "is a base URL such as https://proxy.example.com", shorten(host))
        elif parts.scheme != "https" and not (parts.scheme == "http" and name in LOOPBACK):
            self._check_http(vendor, parts.scheme, name, host)
        for suffix in API_SUFFIXES:
            url = url.removesuffix(suffix)
        return url.rstrip("/")

    def _check_http(self, vendor: Vendor, scheme: str, name: str, host: str) -> None:
        fix = "the key would travel in clear"
        if "allow_http" not in vendor.connection_fields:
            self._refuse("host", "is https:// (http:// for loopback only)", shorten(host), fix)
        elif scheme != "http" or not self._allows_http(vendor):
            rule = "is https:// (http:// for loopback, and for a private host where extra allow_http is true)"
            self._refuse("host", rule, shorten(host), f"use https, or set allow_http: {fix}")
        elif _is_public_address(name):
            self._refuse("host", "is https:// for a public address, whatever allow_http says", shorten(host), fix)

    def _allows_http(self, vendor: Vendor) -> bool:
        given = self._extra.get("allow_http", False)
        if "allow_http" not in vendor.connection_fields:
            return False
        if given is True or str(given).strip().lower() == "true":
            return True
        if given is not False and str(given).strip().lower() != "false":
            wrong = Violation("extra.allow_http", "is true or false", shorten(given), hard=True)
            if wrong not in self._wrong:
                self._wrong.append(wrong)
        return False

    def _body(self, vendor: Vendor) -> str:
        body = str(self._extra.get("body", BODIES[0])).strip().lower()
        if "body" not in vendor.connection_fields:
            return BODIES[0]
        if body not in BODIES:
            self._refuse("extra.body", f"is one of {', '.join(BODIES)}", shorten(body))
        return body

    def _full(self, host: str) -> str:
        """Return the host field as a URL, with the scheme and the port that may stand in fields of their own."""
        url = (host if "://" in host else f"{self._scheme(host)}://{host}").rstrip("/")
        scheme, _, rest = url.partition("://")
        place, slash, path = rest.partition("/")
        if self._connection.port and not re.search(r":\d*$", place):
            place = f"{place}:{self._connection.port}"
        return f"{scheme.lower()}://{place}{slash}{path}"

    def _scheme(self, host: str) -> str:
        if self._connection.schema in ("http", "https"):
            return str(self._connection.schema)
        bare = host.rsplit(":", 1)[0] if host.count(":") == 1 else host.strip("[]")
        return "http" if bare in LOOPBACK else "https"

    def _prices(self) -> tuple[Price, ...] | str:
        given = self._extra.get("prices")
        if given is None:
            return ()
        from airflow_provider_wan.hooks.costs import read_own_prices

        try:
            return read_own_prices(given)
        except WanRequestError as error:
            self._wrong += error.violations
            return ()

    def _number(self, name: str, default: float) -> float:
        value = self._extra.get(name, default)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 < number < 100_000:
            self._refuse(f"extra.{name}", "is a positive number", shorten(value))
            return default
        return number

    def _whole(self, name: str, default: int) -> int:
        number = self._number(name, default)
        if number != int(number):
            self._refuse(f"extra.{name}", "is a whole number, at least 1", shorten(number))
        return max(1, int(number))


def _is_plain(key: str) -> bool:
    return key.isascii() and bool(key.strip()) and all(ord(sign) >= 32 for sign in key.strip())


def _is_public_address(name: str) -> bool:
    """Whether a host is a public address; what a name stands for is not looked up here."""
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return False
