"""Names that stand for one address while they are checked and for another one a moment later."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_wan.client.errors import WanResponseError, WanTransportError
from airflow_provider_wan.delivery import download
from airflow_provider_wan.delivery.hosts import HostUnknown, InternalHost, targets_of
from airflow_provider_wan.delivery.landing import land

from . import hosts
from .conftest import account, task
from .test_landing import DIGEST, target

OUTSIDE = "93.184.216.34"
NAME = "videos.example.com"
MakeHost = Callable[..., hosts.Host]
REAL = socket.getaddrinfo
API_OUTSIDE = {"base_url": "https://api.example.com"}


class Names:
    """A name server that answers each time with the next address of a name, and then with the last one."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.connected: list[str] = []

    def look_up(self, name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "127.0.0.1":
            return REAL(name, port, *args, **kwargs)
        known = self.answers.get(str(name))
        if known is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        answer = known.pop(0) if len(known) > 1 else known[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in answer.split()
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Nothing is sent outside: who connects there is noted and refused."""
    names = Names()
    connect = socket.create_connection

    def connected(address: Any, *args: Any, **kwargs: Any) -> Any:
        names.connected.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        return connect(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", connected)
    monkeypatch.setattr(download, "MAX_REDIRECTS", 2)
    monkeypatch.setattr("airflow_provider_wan.delivery.landing.TRIES", 1)
    monkeypatch.setattr("airflow_provider_wan.delivery.hosts.socket.getaddrinfo", names.look_up)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return names


def test_the_address_that_was_checked_is_the_one_connected_to(names: Names, tmp_path: Path) -> None:
    names.answers[NAME] = ["169.254.169.254", OUTSIDE]
    with pytest.raises(WanResponseError, match="internal host"):
        land(task(f"https://{NAME}/clip.mp4"), target(tmp_path), account(**API_OUTSIDE))
    names.answers[NAME] = [OUTSIDE, "127.0.0.1"]
    with pytest.raises(WanTransportError, match="broke off"):
        land(task(f"http://{NAME}/clip.mp4"), target(tmp_path), account(**API_OUTSIDE))
    assert names.connected == [OUTSIDE]


def test_so_it_is_after_a_redirect(names: Names, host: MakeHost, tmp_path: Path) -> None:
    inner = host(secret=hosts.whole)
    server = host(clip=hosts.leading_to(inner.url("secret", "evil.example.com")))
    names.answers = {NAME: ["127.0.0.1"], "evil.example.com": [OUTSIDE, "127.0.0.1"]}
    with pytest.raises(WanTransportError, match="broke off"):
        land(task(server.url("clip", NAME)), target(tmp_path), account(**API_OUTSIDE))
    assert names.connected == ["127.0.0.1", OUTSIDE]
    assert inner.seen == []


def test_a_name_that_is_unknown_while_it_is_checked_is_not_connected_to(
    names: Names,
    host: MakeHost,
    tmp_path: Path,
) -> None:
    server = host(clip=hosts.whole)
    with pytest.raises(WanTransportError, match="not known"):
        land(task(server.url("clip", NAME)), target(tmp_path), account(**API_OUTSIDE))
    assert server.seen == []
    assert names.connected == []


def test_the_host_hears_its_own_name_and_each_address_is_tried(
    names: Names,
    host: MakeHost,
    tmp_path: Path,
) -> None:
    server = host(clip=hosts.whole)
    names.answers[NAME] = [f"2001:db8::1 {OUTSIDE} 127.0.0.1"]
    assert land(task(server.url("clip", NAME)), target(tmp_path), account(**API_OUTSIDE)).sha256 == DIGEST
    assert names.connected == ["2001:db8::1", OUTSIDE, "127.0.0.1"]
    assert [headers["host"] for _, headers in server.seen] == [f"{NAME}:{server.server_port}"]


def test_one_internal_address_among_others_is_enough_to_refuse(names: Names) -> None:
    names.answers[NAME] = [f"{OUTSIDE} 10.0.0.7"]
    url = httpx.URL(f"https://{NAME}/clip.mp4")
    with pytest.raises(InternalHost):
        targets_of(url, may_be_inside=False, may_lead_inside=False)
    assert len(targets_of(url, may_be_inside=False, may_lead_inside=True)) == 2


def test_behind_a_proxy_the_name_is_the_proxys_matter(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    url = httpx.URL(f"https://{NAME}/clip.mp4")
    with pytest.raises(HostUnknown):
        targets_of(url, may_be_inside=False, may_lead_inside=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert targets_of(url, may_be_inside=False, may_lead_inside=False)[0].url == url
    names.answers[NAME] = ["10.0.0.7"]
    with pytest.raises(InternalHost):
        targets_of(url, may_be_inside=False, may_lead_inside=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of the host's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "host.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(host: MakeHost, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A result host with TLS, which this process trusts; gives its address under a name."""
    server = host(clip=hosts.whole)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(download, "tls_context", lambda: trusting)
    return lambda name: server.url("clip", name).replace("http://", "https://")


def test_the_certificate_is_checked_against_the_name(
    names: Names, secure: Callable[[str], str], tmp_path: Path
) -> None:
    names.answers = {NAME: ["127.0.0.1"], "other.example.com": ["127.0.0.1"]}
    assert land(task(secure(NAME)), target(tmp_path), account(**API_OUTSIDE)).sha256 == DIGEST
    with pytest.raises(WanTransportError, match="broke off"):
        land(task(secure("other.example.com")), target(tmp_path), account(**API_OUTSIDE))
