"""A small HTTP server on a loopback socket that misbehaves on request, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BIG = 9 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Loopback:
    """The server: ``behave`` says what to do with each request."""

    behave: Callable[[Loopback, socket.socket, Received], None]
    requests: list[Received] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    connections: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    loopback: Loopback


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        own = self.server.loopback
        with own.lock:
            own.connections += 1
            own.open_now += 1
            own.open_most = max(own.open_most, own.open_now)
        try:
            while (received := self._read()) is not None:
                with own.lock:
                    own.requests.append(received)
                    own.arrived.set()
                own.behave(own, self.connection, received)
        except (OSError, ValueError):
            pass
        finally:
            with own.lock:
                own.open_now -= 1

    def _read(self) -> Received | None:
        line = self.rfile.readline()
        if not line.strip():
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (row := self.rfile.readline()).strip():
            name, _, value = row.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return Received(method, path, headers, self.rfile.read(int(headers.get("content-length", 0))))


@contextlib.contextmanager
def serve(behave: Callable[[Loopback, socket.socket, Received], None]) -> Iterator[Loopback]:
    """Run a server for the duration of the block."""
    loopback = Loopback(behave)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.loopback = loopback
        loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield loopback
        finally:
            loopback.is_over.set()
            server.shutdown()
            thread.join()


def closed_port() -> str:
    """Return the address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# -- behaviours -----------------------------------------------------------------------------------------------

Behaviour = Callable[[Loopback, socket.socket, Received], None]


def reply(status: int, body: bytes, **headers: str) -> Behaviour:
    rows = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in rows.items()) + "\r\n"

    def behave(server: Loopback, connection: socket.socket, received: Received) -> None:
        connection.sendall(head.encode("latin-1") + body)

    return behave


def drop(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Take the request and hang up."""
    connection.shutdown(socket.SHUT_RDWR)


def truncate(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Hang up in the middle of the body."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nx-request-id: rq-77\r\n\r\n"
    connection.sendall(head + b'{"output": {"task_')
    connection.shutdown(socket.SHUT_RDWR)


def not_http(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Speak another protocol."""
    connection.sendall(b"220 mail.example.com ESMTP\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def stay_silent(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Take the request and never answer."""
    server.is_over.wait(20)


def trickle(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Send a byte now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{")
    while not server.is_over.wait(0.05):
        connection.sendall(b" ")


def flood(server: Loopback, connection: socket.socket, received: Received) -> None:
    """Send far more than an answer can have."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[")
    for _ in range(BIG // 65536):
        connection.sendall(b" " * 65536)
    connection.shutdown(socket.SHUT_RDWR)


def echo(status: int) -> Behaviour:
    """Show the request in an error page, key and all."""

    def behave(server: Loopback, connection: socket.socket, received: Received) -> None:
        shown = "\n".join(f"{name}: {value}" for name, value in received.headers.items())
        reply(status, f"<html><pre>{shown}</pre></html>".encode())(server, connection, received)

    return behave
