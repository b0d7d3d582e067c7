"""The way of every vendor call: outage, key, limits and ordered errors before it; lost and broken answers after."""

from __future__ import annotations

import asyncio
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import HangUp, Refusal, Reply, malformed
from airflow_provider_wan.sandbox.front.faults import Faults
from airflow_provider_wan.sandbox.front.limits import SlidingSecond
from airflow_provider_wan.sandbox.settings import Settings, fingerprint
from airflow_provider_wan.sandbox.world.directives import BadDirective, Directives, parse
from airflow_provider_wan.sandbox.world.tasks import Order, Task
from airflow_provider_wan.sandbox.world.world import QueueFull, World

BODY_LIMIT = 64 * 1024 * 1024


@dataclass(slots=True)
class ApiCall:
    """One call that has been let in."""

    request: Request
    account: str
    billing_ok: bool
    body: bytes
    request_id: str
    # The task that a submission made, so that faults can lose its answer.
    made: Task | None = None

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; raises ``Refusal`` (400) for anything else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise Refusal(400, "BadRequest.IllegalInput", "Request body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise Refusal(400, "BadRequest.IllegalInput", "Request body must be a JSON object.")
        return value


Handler = Callable[[ApiCall], "Reply | Awaitable[Reply]"]


class VendorApi(ABC):
    """One vendor's API: its routes, its way to say no, its key header."""

    name: str

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.world = gateway.world

    @property
    def settings(self) -> Settings:
        """The sandbox's settings."""
        return self.gateway.settings

    @abstractmethod
    def routes(self) -> list[Route]:
        """Return the vendor's paths."""

    @abstractmethod
    def key_of(self, request: Request) -> str:
        """Return the API key of a request; raises ``Refusal`` (401) when there is none."""

    @abstractmethod
    def bad_key(self) -> Refusal:
        """Return the vendor's no to a key that it does not know."""

    @abstractmethod
    def unpaid(self) -> Refusal:
        """Return the vendor's no to an account in arrears."""

    @abstractmethod
    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write a refusal in the vendor's error shape."""

    def clear(self) -> None:  # noqa: B027 - most vendors remember nothing
        """Forget what the vendor remembers beside its tasks."""

    def submitted(self, call: ApiCall, order: Order, task_id: str) -> Task:
        """Take a validated order, under the prompt's own directives; raises ``Refusal``."""
        if not call.billing_ok:
            raise self.unpaid()
        self.gateway.admit_submit(self.name, call.account, order)
        try:
            call.made = self.world.create(self.name, call.account, order, task_id, call.request_id)
        except QueueFull:
            raise Refusal(429, "Throttling", "The task queue of this model is full, please try again later.") from None
        return call.made

    def status_word(self, word: str, *, over: bool) -> str:
        """Return the status word to show: the vendor's own, or the one that the settings put in its place."""
        return word if over else self.settings.unknown_status_word or word


class Gateway:
    """Serves vendor calls; holds what they share."""

    def __init__(self, world: World, base_url: Callable[[], str]) -> None:
        self.world = world
        self.settings = world.settings
        self.faults = Faults(world.settings, world)
        self.limits = SlidingSecond()
        self.base_url = base_url
        self.on_request: Callable[[str, str, str], None] = lambda vendor, kind, outcome: None

    def clear(self) -> None:
        """Forget what happened."""
        self.limits.clear()
        self.faults.clear()

    def endpoint(self, vendor: VendorApi, kind: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return the route's endpoint: ``handler`` behind the gateway."""

        async def serve(request: Request) -> Response:
            response, outcome = await self._serve(vendor, kind, request, handler)
            self.count(vendor.name, kind, outcome)
            return response

        return serve

    def count(self, vendor: str, kind: str, outcome: str) -> None:
        """Enter one call in the ledger."""
        self.world.billing.request(vendor, kind, outcome)
        self.on_request(vendor, kind, outcome)

    async def _serve(self, vendor: VendorApi, kind: str, request: Request, handler: Handler) -> tuple[Response, str]:
        if self.faults.outage:
            return await self._refuse_service()
        request_id = str(uuid.uuid4())
        call: ApiCall | None = None
        try:
            body = await self._body(request)
            if self.faults.drop_before(kind):
                return HangUp(), "dropped-before"
            call = self._let_in(vendor, kind, request, body, request_id)
            answer = self._ordered_error(vendor, kind, request_id)
            if answer is None:
                result = handler(call)
                answer = await result if isinstance(result, Awaitable) else result
        except _Hang:
            return HangUp(), "dropped-before"
        except ClientDisconnect:
            return HangUp(), "abandoned"
        except Refusal as refusal:
            answer = vendor.refuse(self._with_retry_after(refusal), request_id)
        return await self._spoil(vendor, kind, call, answer)

    async def _body(self, request: Request) -> bytes:
        if int(request.headers.get("content-length") or 0) > BODY_LIMIT:
            raise Refusal(413, "BadRequest.TooLarge", "Payload too large.")
        body = await request.body()
        if len(body) > BODY_LIMIT:
            raise Refusal(413, "BadRequest.TooLarge", "Payload too large.")
        return body

    def _let_in(self, vendor: VendorApi, kind: str, request: Request, body: bytes, request_id: str) -> ApiCall:
        """Check key and rate; raises ``Refusal``."""
        key = vendor.key_of(request)
        account = fingerprint(key)
        known = self.settings.api_keys
        if (known and account not in known) or (not known and key.startswith(("sk-invalid", "sk-sp-"))):
            raise vendor.bad_key()
        if kind in ("query", "list", "cancel") and not self.limits.admit(
            (vendor.name, account, kind), self.settings.query_qps, self.world.now()
        ):
            raise throttled()
        return ApiCall(request, account, not key.startswith("sk-arrears"), body, request_id)

    def admit_submit(self, vendor: str, account: str, order: Order) -> None:
        """Check a submission's rate (per account and model, as the vendors count) and the prompt's own orders.

        Raises ``Refusal``.
        """
        if not self.limits.admit((vendor, account, order.model), self.settings.submit_qps, self.world.now()):
            raise throttled()
        try:
            directives = parse(order.prompt)
        except BadDirective as error:
            raise Refusal(400, "InvalidParameter", str(error), field="prompt") from None
        occasion = (vendor, account, order.prompt)
        if directives.drop_before and self.world.first_time(("drop-before", *occasion)):
            raise _Hang
        reject = directives.reject
        if reject and (reject.times is None or self.world.first_time(("reject", *occasion), reject.times)):
            raise Refusal(reject.status, reject.code, directives.message or "Refused as the prompt orders.")

    def _ordered_error(self, vendor: VendorApi, kind: str, request_id: str) -> Reply | None:
        """Return the error that the settings put in place of this call, if they do."""
        forced = self.faults.forced(kind, vendor.name)
        if forced is not None:
            if forced.body is not None:
                return Reply(forced.status, forced.body, dict(forced.headers))
            refusal = Refusal(forced.status, forced.code, forced.message or "Ordered failure.", headers=forced.headers)
            return vendor.refuse(self._with_retry_after(refusal), request_id)
        status = self.faults.error(kind)
        if status is None:
            return None
        return vendor.refuse(self._with_retry_after(Refusal(status, None, "Injected failure.")), request_id)

    async def _spoil(self, vendor: VendorApi, kind: str, call: ApiCall | None, answer: Reply) -> tuple[Response, str]:
        """Delay, lose or break an answer that is ready."""
        if self.settings.answer_delay:
            await asyncio.sleep(self.settings.answer_delay)
        made = call.made if call else None
        if made is not None and call is not None:
            directives: Directives = made.directives
            first = self.world.first_time(("answered", made.vendor, made.account, made.order.prompt))
            if self.faults.drop_answer(first, directives):
                return HangUp(), "dropped"
            status = self.faults.error_after_create(first, directives)
            if status is not None:
                refusal = Refusal(status, None, "Internal error after the task was made.")
                return vendor.refuse(refusal, call.request_id).response(), str(status)
        number = self.faults.malformed(kind)
        if number is not None:
            return malformed(number, answer), "malformed"
        return answer.response(), str(answer.status)

    async def _refuse_service(self) -> tuple[Response, str]:
        if self.settings.outage_kind == "503":
            return Response("upstream connect error", 503, media_type="text/plain"), "503"
        return HangUp(reset=True), "outage"

    def _with_retry_after(self, refusal: Refusal) -> Refusal:
        seconds = self.settings.retry_after_seconds
        if refusal.status == 429 and seconds is not None:
            refusal.headers.setdefault("Retry-After", f"{seconds:g}")
        return refusal


class _Hang(Exception):
    """The prompt orders that the connection closes before anything is made."""


def throttled() -> Refusal:
    """Return the no to a call over the rate limit."""
    return Refusal(429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")


def bearer(request: Request) -> str | None:
    """Return the key of an ``Authorization: Bearer`` header."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
