"""Result hosts made by hand, on loopback: each path has its own behaviour; what was sent is kept."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def box(kind: bytes, content: bytes = b"") -> bytes:
    """A box of an MP4 file."""
    return (8 + len(content)).to_bytes(4) + kind + content


START = box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2")
VIDEO = START + box(b"moov", bytes(64)) + box(b"mdat", bytes(range(256)) * 800)
"""The frame of an MP4, about 200 KB."""

TINY = START + box(b"moov") + box(b"mdat")

Behaviour = Callable[["Visitor"], None]


class Visitor(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        with suppress(ConnectionError):
            self.server.behaviours[self.path.split("?")[0]](self)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.head(status, **({"Content_Length": str(len(content)), "Content_Type": "video/mp4"} | headers))
        self.wfile.write(content)


class Host(ThreadingHTTPServer):
    """A server whose paths behave as told."""

    daemon_threads = True

    def __init__(self, **behaviours: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Visitor)
        self.behaviours: dict[str, Behaviour] = {f"/{name}.mp4": work for name, work in behaviours.items()}
        self.seen: list[tuple[str, dict[str, str]]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{name}.mp4?Expires=9999999999&Signature=SECRETSIGNATURE"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def whole(visitor: Visitor) -> None:
    visitor.whole(VIDEO)


def without_length(visitor: Visitor) -> None:
    visitor.head(200, Connection="close")
    visitor.wfile.write(VIDEO)
    visitor.close_connection = True


def chunked(visitor: Visitor) -> None:
    visitor.head(200, Transfer_Encoding="chunked")
    for start in range(0, len(VIDEO), 5000):
        part = VIDEO[start : start + 5000]
        visitor.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    visitor.wfile.write(b"0\r\n\r\n")


def chunks_that_break_off(visitor: Visitor) -> None:
    visitor.head(200, Transfer_Encoding="chunked")
    visitor.wfile.write(b"%x\r\n%s\r\n" % (5000, VIDEO[:5000]))
    visitor.close_connection = True


def packed(visitor: Visitor) -> None:
    """Packs although nobody asked for it, as some proxies do."""
    visitor.whole(gzip.compress(VIDEO), Content_Encoding="gzip")


def packed_and_cut(visitor: Visitor) -> None:
    content = gzip.compress(VIDEO)
    visitor.head(200, Content_Length=str(len(content)), Content_Encoding="gzip")
    visitor.wfile.write(content[: len(content) // 2])
    visitor.close_connection = True


def truncated(visitor: Visitor) -> None:
    visitor.head(200, Content_Length=str(len(VIDEO)))
    visitor.wfile.write(VIDEO[: len(VIDEO) // 2])
    visitor.close_connection = True


def empty(visitor: Visitor) -> None:
    visitor.whole(b"")


def html(visitor: Visitor) -> None:
    visitor.whole(b"<!DOCTYPE html><title>Sign in to the network</title>", Content_Type="text/html")


def tiny(visitor: Visitor) -> None:
    visitor.whole(TINY)


def short(visitor: Visitor) -> None:
    visitor.whole(b"ok")


def in_crumbs(visitor: Visitor) -> None:
    """The first bytes come one by one."""
    visitor.head(200, Content_Length=str(len(VIDEO)))
    for sign in range(12):
        visitor.wfile.write(VIDEO[sign : sign + 1])
        visitor.wfile.flush()
        time.sleep(0.005)
    visitor.wfile.write(VIDEO[12:])


def endless(visitor: Visitor) -> None:
    visitor.head(200, Connection="close")
    visitor.wfile.write(VIDEO)
    while True:
        visitor.wfile.write(bytes(65536))


def trickle(visitor: Visitor) -> None:
    visitor.head(200, Connection="close")
    visitor.wfile.write(VIDEO)
    while True:
        visitor.wfile.write(b"x")
        visitor.wfile.flush()
        time.sleep(0.02)


def huge(visitor: Visitor) -> None:
    visitor.head(200, Content_Length=str(10**12))
    visitor.wfile.write(VIDEO)


def answering(status: int) -> Behaviour:
    return lambda visitor: visitor.whole(b"<Error><Code>AccessDenied</Code></Error>", status)


def leading_to(*urls: str, status: int = 302) -> Behaviour:
    """Redirect to each of ``urls`` in turn, then always to the last."""
    left = list(urls)
    return lambda visitor: visitor.whole(b"", status, Location=left.pop(0) if len(left) > 1 else left[0])


def after(times: int, first: Behaviour, then: Behaviour = whole) -> Behaviour:
    """Behave as ``first`` so many times, then as ``then``."""
    left = [times]

    def behave(visitor: Visitor) -> None:
        left[0] -= 1
        (first if left[0] >= 0 else then)(visitor)

    return behave
