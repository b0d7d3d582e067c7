"""A vendor that repeats the caller's key in its answers, as careless gateways do."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from airflow_provider_wan.sandbox.settings import Echo


def echoed(key: str, how: Echo) -> str:
    """Return a key as it stands in the answer: as it is, URL-quoted, or with JSON escapes."""
    match how:
        case "quoted":
            return quote(key, safe="")
        case "escaped":
            return "".join(f"\\u{ord(letter):04x}" for letter in key)
        case _:
            return key


def echo_key(response: Response, key: str, how: Echo) -> None:
    """Write the key into the request id of the headers, and into a JSON body's messages or beside its fields."""
    written = echoed(key, how)
    response.headers["x-request-id"] = echoed(key, "quoted" if how == "escaped" else how)
    body = bytes(response.body)
    if not body.startswith(b"{") or body == b"{}":
        return
    text = written.encode()
    body = body.replace(b'"message":"', b'"message":"[' + text + b"] ")
    response.body = b'{"debug":"' + text + b'",' + body[1:]
    response.headers["content-length"] = str(len(response.body))
