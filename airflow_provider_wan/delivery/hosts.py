"""Which hosts a video may be fetched from, and the addresses to connect to: a name is asked for once, then that holds.

Otherwise a name could stand for an outside address while it is checked and for an internal one when it is connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.request import getproxies, proxy_bypass

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InternalHost(Exception):
    """The host is this machine, or in a private network."""


class HostUnknown(Exception):
    """Nobody knows the host's name."""


@dataclass(frozen=True)
class Target:
    """What is connected to: an address, under the host's own name for HTTP and TLS."""

    url: httpx.URL
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)


def targets_of(url: httpx.URL, *, may_be_inside: bool, may_lead_inside: bool) -> list[Target]:
    """Return the addresses of a URL's host, all of them checked.

    :param may_be_inside: whether the host may be an internal one by its name or address alone.
    :param may_lead_inside: whether its name may stand for a private address (a vendor reached through a private link).
        One that is link-local, as the metadata of clouds are, is never asked.
    :raises InternalHost: when it may not be asked.
    :raises HostUnknown: when there is no such name.
    """
    literal = _address(url.host)
    if (is_internal(url.host) and not may_be_inside) or (literal is not None and literal.is_link_local):
        raise InternalHost
    if literal is not None:
        return [Target(url)]
    if is_proxied(url):
        # The proxy asks for the name, and connects; what it lets through is its own matter.
        _require_outside(_known(url), may_lead_inside)
        return [Target(url)]
    found = _known(url)
    if not found:
        raise HostUnknown
    _require_outside(found, may_lead_inside)
    name = url.raw_host.decode("ascii")
    headers = {"Host": url.netloc.decode("ascii")}
    return [Target(url.copy_with(host=str(address)), headers, {"sni_hostname": name}) for address in found]


def is_internal(host: str) -> bool:
    """Whether a host is this machine or in a private network, by its name alone."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and _is_inside(address)


def is_proxied(url: httpx.URL) -> bool:
    """Whether the environment names a proxy for this URL."""
    proxies = getproxies()
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not proxy_bypass(url.host)


def _known(url: httpx.URL) -> list[Address]:
    """Return the addresses that a name stands for, the first one first."""
    try:
        found = socket.getaddrinfo(url.raw_host.decode("ascii"), url.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = [_address(str(entry[4][0])) for entry in found]
    return list(dict.fromkeys(address for address in addresses if address is not None))


def _require_outside(addresses: list[Address], may_lead_inside: bool) -> None:
    for address in addresses:
        if address.is_link_local or (_is_inside(address) and not may_lead_inside):
            raise InternalHost


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
)


def _is_inside(address: Address) -> bool:
    return any(address in network for network in INSIDE)
