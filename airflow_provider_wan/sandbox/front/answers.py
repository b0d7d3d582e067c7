"""What goes back over the wire: plain answers, and the ways in which an answer goes wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRANSPORT = "airflow_provider_wan.sandbox.transport"

HTML = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    "<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>"
)


@dataclass(slots=True)
class Reply:
    """A JSON answer before it is written."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the HTTP response."""
        if isinstance(self.body, str):
            return Response(self.body, self.status, self.headers, media_type="text/html")
        return Response(encode(self.body), self.status, self.headers, media_type="application/json")


class Refusal(Exception):
    """A vendor's no: HTTP status, the vendor's code if known, and the reason; ``field`` is what was wrong.

    ``late`` is the reason in the words of a check that runs after the submission, ``None`` for a no that never waits.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        late: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.late = late
        self.headers = dict(headers or {})


def encode(body: Any) -> bytes:
    """Write JSON as the vendors do: UTF-8, compact."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


class KeepTransport:
    """Outermost layer: leaves the connection's transport in the scope, for answers that cut the line.

    ASGI has no way to close a connection without an answer; an application that just returns makes uvicorn
    send a 500. uvicorn's ``send`` is a bound method of the object that holds the transport.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "http":
            scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


class HangUp(Response):
    """Close the connection without a byte of answer; with ``reset`` the peer sees a TCP reset."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close instead of answering."""
        await cut(scope, receive, reset=self._reset)


async def cut(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection under the server, and wait until the server has noticed."""
    transport = scope.get(TRANSPORT)
    if transport is None:
        raise RuntimeError("this server does not show its transport, so the line cannot be cut")
    if reset:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return


class Truncated(Response):
    """Promise ``content`` whole in ``Content-Length``, send half of it, and cut the line."""

    def __init__(self, content: bytes, media_type: str) -> None:
        super().__init__(content, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half and close."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await cut(scope, receive)


def endless(head: bytes, media_type: str) -> Response:
    """Stream ``head`` and then zeros for ever, without a length, at about 3 MB a second."""

    async def flow() -> AsyncIterator[bytes]:
        yield head
        block = bytes(64 * 1024)
        while True:
            await asyncio.sleep(0.02)
            yield block

    return StreamingResponse(flow(), media_type=media_type)


def malformed(kind: int, answer: Reply) -> Response:
    """Return an answer that is not the vendor's API: HTML, half a JSON, nothing, or megabytes, in turn."""
    match kind % 4:
        case 0:
            return Response(HTML, 200, media_type="text/html")
        case 1:
            text = encode(answer.body)
            return Response(text[: max(1, len(text) // 2)], answer.status, media_type="application/json")
        case 2:
            return Response(b"", answer.status, media_type="application/json")
        case _:
            filler = b'{"output":{"padding":"' + b"x" * (24 * 1024 * 1024) + b'"}}'
            return Response(filler, 200, media_type="application/json")


def oss_error(code: str, message: str, status: int) -> Response:
    """Return an error as OSS writes it."""
    fields = f"<Code>{code}</Code>\n  <Message>{message}</Message>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  {fields}\n</Error>'
    return Response(text, status, media_type="application/xml")
