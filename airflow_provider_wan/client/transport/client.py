"""Carries flows out over httpx, blocking (``WanClient``) or async (``AsyncWanClient``)."""

from __future__ import annotations

import asyncio
import re
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import IO, Any

import httpx

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanAuthError, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Broken, Call, Content, Pause
from airflow_provider_wan.client.observers import observers
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask
from airflow_provider_wan.client.transport.flows import Flow, Flows, Outcome, Patience, Proof, Submitted, T
from airflow_provider_wan.client.transport.wire import USER_AGENT, Exchange, KeyAuth, tls_context
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import TaskFilter, TaskPage, Upload

MAX_CONNECTIONS = 16
KEEP_ALIVE_SECONDS = 120.0
CONNECT_SECONDS = 10.0

SLOWEST_UPLOAD = 50_000
"""Bytes a second: what is slower is given up."""

LARGE_BODY = 64 * 1024
"""Bytes: a page of 100 tasks stays below; larger answers are parsed in a thread."""

PLAIN_KEY = re.compile(r"[\x21-\x7e]+")


class _Base:
    """What the two clients share: everything but the sending."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.vendor = vendor_of(account.vendor)
        self.flows = Flows(self.vendor, account)
        self._auth = KeyAuth(self.vendor, account)
        may_have_none = not self.vendor.needs_key and not account.api_key.get_secret_value()
        if not (may_have_none or PLAIN_KEY.fullmatch(account.api_key.get_secret_value())):
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

    def _longest(self, call: Call) -> float:
        """Seconds for one exchange altogether, however its bytes trickle in."""
        return self.account.timeout + min(CONNECT_SECONDS, self.account.timeout) + call.size / SLOWEST_UPLOAD

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
            request["content"] = _opened(call.content)
        parts: dict[str, Any] = {name: (None, value) for name, value in (call.form or {}).items()}
        if call.file is not None:
            field, name, content, kind = call.file
            parts[field] = (name, _opened(content), kind)
        if parts:
            request["files"] = parts
        return request

    def _auth_for(self, call: Call) -> httpx.Auth | None:
        return self._auth if call.auth else None

    def _noted(self, call: Call, outcome: Answer | Broken) -> Answer | Broken:
        for observer in observers:
            observer.exchanged(self.vendor.name, call, outcome)
        return outcome


def _opened(content: Content) -> bytes | IO[bytes]:
    return content() if callable(content) else content


class _Pages:
    """A way through the pages of a list; each task comes once, and a list that begins anew is at its end."""

    def __init__(self, wanted: TaskFilter) -> None:
        self.wanted = wanted
        self.number: int | None = 1
        self._seen: set[str] = set()

    def take(self, page: TaskPage) -> list[VideoTask]:
        """Return what a page brings that none before it did."""
        fresh = [task for task in page.tasks if task.task_id not in self._seen]
        self._seen.update(task.task_id for task in fresh)
        is_over = not fresh and (page.last_id is None or page.last_id == self.wanted.after)
        self.number = None if is_over else page.next_page
        self.wanted = replace(self.wanted, after=page.last_id)
        return fresh


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
            weakref.finalize(self, self._http.close)  # who drops a hook does not always close it
        request = self._prepare(self._http, call)
        with Exchange(self.account) as exchange:
            until = time.monotonic() + self._longest(call)
            exchange.response = response = self._http.send(request, stream=True, auth=self._auth_for(call))
            with closing(response):
                for chunk in response.iter_bytes():
                    if exchange.is_full_with(chunk):
                        break
                    if time.monotonic() > until:
                        raise TimeoutError("the answer did not end in time")
        return self._noted(call, exchange.outcome)

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
        return (self.submit_with_proof(request, idempotency_key, patience)).handle

    def submit_with_proof(
        self, request: VideoRequest, idempotency_key: str | None = None, patience: Patience | None = None
    ) -> Submitted:
        """Check and submit ``request`` as :meth:`submit`; return what the answer says besides, too."""
        self.vendor.check(request)
        return self.run(self.flows.submit(request, idempotency_key, patience or Patience()))

    def get_task(self, handle: TaskHandle, patience: Patience | None = None) -> VideoTask:
        """Query one task, with back-off."""
        return self.run(self.flows.get_task(handle, patience or Patience()))

    def list_tasks(self, wanted: TaskFilter) -> Iterator[VideoTask]:
        """Yield the tasks of the vendor's list, page by page."""
        pages = _Pages(wanted)
        while pages.number is not None:
            yield from pages.take(self.run(self.flows.page(pages.wanted, pages.number, Patience())))

    def cancel_task(self, handle: TaskHandle, patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot any more."""
        return self.run(self.flows.cancel(handle, patience or Patience()))

    def upload(self, upload: Upload) -> str:
        """Upload a file; return the URL the vendor takes as media."""
        return self.run(self.flows.upload(upload, Patience()))

    def test_key(self) -> str:
        """Prove the key without submitting anything."""
        return (self.prove_key()).message

    def prove_key(self) -> Proof:
        """Prove the key; return a sentence and the vendor's clock."""
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
        with Exchange(self.account) as exchange:
            async with asyncio.timeout(self._longest(call)):
                exchange.response = response = await http.send(request, stream=True, auth=self._auth_for(call))
                async with aclosing(response):
                    async for chunk in response.aiter_bytes():
                        if exchange.is_full_with(chunk):
                            break
        outcome = self._noted(call, exchange.outcome)
        if isinstance(outcome, Answer) and len(outcome.body) > LARGE_BODY:
            # Parsed once, and kept: not on the loop that others wait on.
            await asyncio.to_thread(outcome.json)
        return outcome

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
        return (await self.submit_with_proof(request, idempotency_key, patience)).handle

    async def submit_with_proof(
        self, request: VideoRequest, idempotency_key: str | None = None, patience: Patience | None = None
    ) -> Submitted:
        """Check and submit ``request`` as :meth:`submit`; return what the answer says besides, too."""
        self.vendor.check(request)
        return await self.run(self.flows.submit(request, idempotency_key, patience or Patience()))

    async def get_task(self, handle: TaskHandle, patience: Patience | None = None) -> VideoTask:
        """Query one task, with back-off."""
        return await self.run(self.flows.get_task(handle, patience or Patience()))

    async def list_tasks(self, wanted: TaskFilter) -> AsyncIterator[VideoTask]:
        """Yield the tasks of the vendor's list, page by page."""
        pages = _Pages(wanted)
        while pages.number is not None:
            for task in pages.take(await self.run(self.flows.page(pages.wanted, pages.number, Patience()))):
                yield task

    async def cancel_task(self, handle: TaskHandle, patience: Patience | None = None) -> bool:
        """Cancel a queued task; ``False`` when the vendor cannot any more."""
        return await self.run(self.flows.cancel(handle, patience or Patience()))

    async def upload(self, upload: Upload) -> str:
        """Upload a file; return the URL the vendor takes as media."""
        return await self.run(self.flows.upload(upload, Patience()))

    async def test_key(self) -> str:
        """Prove the key without submitting anything."""
        return (await self.prove_key()).message

    async def prove_key(self) -> Proof:
        """Prove the key; return a sentence and the vendor's clock."""
        return await self.run(self.flows.key_check(Patience(tries=2)))
