"""Carries flows out over httpx, blocking (``WanClient``) or async (``AsyncWanClient``)."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from contextvars import ContextVar, Token
from functools import cache
from typing import Any

import httpx

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanAuthError, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Broken, Call, Pause, request_id_in
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.transport.flows import Flow, Flows, Outcome, Patience, T
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage, Upload, Vendor

MAX_BODY = 8 * 1024 * 1024
"""Bytes read of one answer; a page of 100 tasks has about 50 KB."""

MAX_CONNECTIONS = 16
KEEP_ALIVE_SECONDS = 120.0
CONNECT_SECONDS = 10.0

NEVER_OPENED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
USER_AGENT = "airflow-provider-wan"
SHORTEST_SECRET = 8
"""Characters: shorter keys are a test's, and stand in innocent words too."""
PLAIN_KEY = re.compile(r"[\x21-\x7e]+")

_is_ours: ContextVar[bool] = ContextVar("wan_exchange", default=False)
_SIGNED = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")


class _ShortUrls(logging.Filter):
    """Cut query strings (signatures) out of what httpx and httpcore log about our exchanges."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not _is_ours.get():
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(public_url(str(item)) if isinstance(item, httpx.URL) else item for item in record.args)
        if isinstance(record.msg, str):
            record.msg = _SIGNED.sub(r"\1?…", record.msg)
        return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_ShortUrls())


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context; making one costs about 40 ms of CPU."""
    return httpx.create_ssl_context()


class _KeyAuth(httpx.Auth):
    """Adds the key at the last moment, and only for the account's own origin."""

    def __init__(self, vendor: Vendor, account: Account) -> None:
        self._vendor = vendor
        self._account = account
        self._origin = _origin(httpx.URL(account.base_url))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) == self._origin:
            request.headers.update(self._vendor.auth_headers(self._account))
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"https": 443, "http": 80}.get(url.scheme)
    return (url.scheme, url.host, url.port or default)


class _Base:
    """What the two clients share: everything but the sending."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.vendor = vendor_of(account.vendor)
        self.flows = Flows(self.vendor, account)
        self._auth = _KeyAuth(self.vendor, account)
        if not PLAIN_KEY.fullmatch(account.api_key.get_secret_value()):
            # Whatever would complain later, quotes the header with the key in it.
            raise WanAuthError("The API key is empty or holds spaces, line ends or other signs that no key has")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vendor.title}, {public_url(self.account.base_url)})"

    def _settings(self) -> dict[str, Any]:
        return {
            "timeout": httpx.Timeout(self.account.timeout, connect=min(CONNECT_SECONDS, self.account.timeout)),
            "limits": httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            "follow_redirects": False,
            "headers": {"User-Agent": USER_AGENT, "Accept": "application/json"},
        }

    @property
    def _longest(self) -> float:
        """Seconds for one exchange altogether, however its bytes trickle in."""
        return self.account.timeout + min(CONNECT_SECONDS, self.account.timeout)

    def _prepare(self, http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
        """Build the request, so that nothing but the network can go wrong afterwards.

        :raises WanRequestError: when it cannot be written down; nothing was sent.
        """
        try:
            return http.build_request(**self._parts(call))
        except (TypeError, ValueError, RecursionError, httpx.InvalidURL) as error:
            problem = f"{type(error).__name__}: {error}"[:200]
        wrong = Violation(call.name, "can be written as an HTTP request", problem, "use plain JSON values", hard=True)
        raise WanRequestError(violations=[wrong])

    def _parts(self, call: Call) -> dict[str, Any]:
        url = call.target if call.is_absolute else self.account.base_url + call.target
        request: dict[str, Any] = {"method": call.method, "url": url, "headers": dict(call.headers)}
        if call.params:
            request["params"] = dict(call.params)
        if call.json is not None:
            request["json"] = call.json
        if call.data is not None:
            request["data"] = dict(call.data)
        if call.content is not None:
            request["content"] = call.content
        if call.file is not None:
            field, name, content, kind = call.file
            request["files"] = {field: (name, content, kind)}
        return request

    def _auth_for(self, call: Call) -> httpx.Auth | None:
        return self._auth if call.auth else None


class WanClient(_Base):
    """The blocking client of one account; safe to share between threads."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._http: httpx.Client | None = None

    def __enter__(self) -> WanClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def send(self, call: Call) -> Answer | Broken:
        """Carry out one exchange; never raises for what the network does."""
        if self._http is None:
            # Also for a base URL on http, since uploads may go elsewhere: httpx would make a context for each client.
            self._http = httpx.Client(verify=tls_context(), **self._settings())
        request = self._prepare(self._http, call)
        with _Exchange(self.account) as exchange:
            until = time.monotonic() + self._longest
            exchange.response = response = self._http.send(request, stream=True, auth=self._auth_for(call))
            with closing(response):
                for chunk in response.iter_bytes():
                    if exchange.is_full_with(chunk):
                        break
                    if time.monotonic() > until:
                        raise TimeoutError("the answer did not end in time")
        return exchange.outcome

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out, sleeping through its pauses."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                outcome = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    outcome = self.send(step)
        except StopIteration as end:
            value: T = end.value
            return value

    def submit(
        self, request: VideoRequest, idempotency_key: str | None = None, patience: Patience | None = None
    ) -> TaskHandle:
        """Check and submit ``request``: one paid POST.

        :raises WanRequestError: before anything is sent.
        :raises WanSubmissionUnknown: when the answer was lost.
        :raises WanError: when the vendor refused.
        """
        self.vendor.check(request)
        return self.run(self.flows.submit(request, idempotency_key, patience or Patience()))

    def get_task(self, handle: TaskHandle, patience: Patience | None = None) -> VideoTask:
        """Query one task, with back-off."""
        return self.run(self.flows.get_task(handle, patience or Patience()))

    def list_tasks(self, wanted: TaskFilter) -> Iterator[VideoTask]:
        """Yield the tasks of the vendor's list, page by page."""
        page: int | None = 1
        while page is not None:
            found: TaskPage = self.run(self.flows.page(wanted, page, Patience()))
            yield from found.tasks
            page = found.next_page

    def cancel_task(self, handle: TaskHandle, patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot any more."""
        return self.run(self.flows.cancel(handle, patience or Patience()))

    def upload(self, upload: Upload) -> str:
        """Upload a file; return the URL the vendor takes as media."""
        return self.run(self.flows.upload(upload, Patience()))

    def test_key(self) -> str:
        """Prove the key without submitting anything."""
        return self.run(self.flows.key_check(Patience(tries=2)))


class AsyncWanClient(_Base):
    """The async client of one account, for one event loop."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> AsyncWanClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._http is None:
                # For http too: otherwise httpx makes a context of its own, on the event loop.
                verify = await asyncio.to_thread(tls_context)
                self._http = httpx.AsyncClient(verify=verify, **self._settings())
            return self._http

    async def send(self, call: Call) -> Answer | Broken:
        """Carry out one exchange; never raises for what the network does."""
        http = self._http or await self._open()
        request = self._prepare(http, call)
        with _Exchange(self.account) as exchange:
            async with asyncio.timeout(self._longest):
                exchange.response = response = await http.send(request, stream=True, auth=self._auth_for(call))
                async with aclosing(response):
                    async for chunk in response.aiter_bytes():
                        if exchange.is_full_with(chunk):
                            break
        return exchange.outcome

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow out, awaiting its pauses."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                outcome = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    outcome = await self.send(step)
        except StopIteration as end:
            value: T = end.value
            return value

    async def submit(
        self, request: VideoRequest, idempotency_key: str | None = None, patience: Patience | None = None
    ) -> TaskHandle:
        """Check and submit ``request``; see :meth:`WanClient.submit`."""
        self.vendor.check(request)
        return await self.run(self.flows.submit(request, idempotency_key, patience or Patience()))

    async def get_task(self, handle: TaskHandle, patience: Patience | None = None) -> VideoTask:
        """Query one task, with back-off."""
        return await self.run(self.flows.get_task(handle, patience or Patience()))

    async def list_tasks(self, wanted: TaskFilter) -> AsyncIterator[VideoTask]:
        """Yield the tasks of the vendor's list, page by page."""
        page: int | None = 1
        while page is not None:
            found: TaskPage = await self.run(self.flows.page(wanted, page, Patience()))
            for task in found.tasks:
                yield task
            page = found.next_page

    async def cancel_task(self, handle: TaskHandle, patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot any more."""
        return await self.run(self.flows.cancel(handle, patience or Patience()))

    async def upload(self, upload: Upload) -> str:
        """Upload a file; return the URL the vendor takes as media."""
        return await self.run(self.flows.upload(upload, Patience()))

    async def test_key(self) -> str:
        """Prove the key without submitting anything."""
        return await self.run(self.flows.key_check(Patience(tries=2)))


class _Exchange:
    """Collects one answer, and turns what the network does into a value: no exception carries the request (and key)."""

    def __init__(self, account: Account) -> None:
        self._key = account.api_key.get_secret_value().encode()
        self._chunks: list[bytes] = []
        self._size = 0
        self._broken: Broken | None = None
        self._mark: Token[bool] | None = None
        self.response: httpx.Response | None = None

    def __repr__(self) -> str:
        return f"_Exchange({self._size} bytes)"

    def __enter__(self) -> _Exchange:
        self._mark = _is_ours.set(True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if self._mark is not None:
            _is_ours.reset(self._mark)
        if isinstance(error, NEVER_OPENED):
            self._broken = Broken(self._reason(error), opened=False)
        elif isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError | OSError | ValueError):
            self._broken = Broken(self._reason(error), True, request_id_in(self._headers(), self._body()))
        else:
            return False
        return True

    def is_full_with(self, chunk: bytes) -> bool:
        self._chunks.append(chunk)
        self._size += len(chunk)
        return self._size > MAX_BODY

    @property
    def outcome(self) -> Answer | Broken:
        if self._broken is not None or self.response is None:
            return self._broken or Broken("no answer", opened=True)
        return Answer(self.response.status_code, self._body(), self._headers(), self._size > MAX_BODY)

    def _headers(self) -> dict[str, str]:
        if self.response is None:
            return {}
        return {name.lower(): value for name, value in self.response.headers.items()}

    def _body(self) -> bytes:
        # Some servers echo what they were sent, in error pages above all.
        body = b"".join(self._chunks)[:MAX_BODY]
        return body.replace(self._key, b"***") if len(self._key) >= SHORTEST_SECRET else body

    def _reason(self, error: Exception) -> str:
        text = str(error).strip()
        text = text.replace(self._key.decode(), "***") if len(self._key) >= SHORTEST_SECRET else text
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
