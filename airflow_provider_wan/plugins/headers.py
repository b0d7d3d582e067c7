"""The headers that keep the page, its data and the files what they are."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

MEDIA_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, max-age=3600",
    # A file of the bucket must not become a page of Airflow's origin, whatever it holds.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    # Airflow packs all answers else, and packed ranges are none.
    "Content-Encoding": "identity",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page_policy(host: str | None) -> str:
    """Return the page's content policy: scripts and styles of its own only, videos and pictures by https."""
    # The sandbox serves its videos on this machine; nobody else's page may reach into it.
    local = " http://127.0.0.1:* http://localhost:*" if host in LOOPBACK else ""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' https: data:{local}",
        "media-src": f"'self' https:{local}",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


class PlainHeaders:
    """Adds to every answer, errors included, what forbids browsers to guess and to tell."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'")
            await send(message)

        await self._app(scope, receive, send_with_headers)
