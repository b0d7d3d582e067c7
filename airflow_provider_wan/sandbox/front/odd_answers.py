"""Answers that prove nothing about a submission: seen of vendors, gateways and proxies in between.

help.aliyun.com/zh/model-studio/error-code names the DashScope ones; a redirect or a page of HTML comes from a proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply

# Name to (HTTP status, the status whose error shape it has, code, message).
_SPOKEN = {
    "timeout-400": (400, 400, "InvalidParameter", "request timeout after 23 seconds."),
    "internal-400": (400, 400, "InternalError.Algo", "An internal error occurred, please try again later."),
    "request-timeout-200": (200, 500, "RequestTimeOut", "Request timed out, please try again later."),
    "service-unavailable-200": (200, 503, "ServiceUnavailable", "The service is busy, please try again later."),
    "response-timeout-200": (200, 500, "ResponseTimeout", "Response timeout!"),
}
_PAGES = {403: "Forbidden", 404: "Not Found"}


def odd_answer(name: str, request: Request, refuse: Callable[[Refusal], Reply]) -> Reply:
    """Return the odd answer of that name to a request; ``refuse`` writes the vendor's own error shape."""
    if name in _SPOKEN:
        status, shape, code, message = _SPOKEN[name]
        reply = refuse(Refusal(shape, code, message))
        return Reply(status, reply.body, reply.headers)
    kind, _, number = name.partition("-")
    status = int(number)
    if kind == "redirect":
        # The same place under another name: who follows it with the same method submits again.
        place = f"http://localhost:{urlsplit(str(request.base_url)).port}{request.url.path}"
        return Reply(status, "", {"Location": place})
    title = f"{status} {_PAGES[status]}"
    return Reply(status, f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>proxy</body></html>")
