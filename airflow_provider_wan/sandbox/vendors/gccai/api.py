"""GCCAI / APIMart: one submit path, ``size`` means the ratio, idempotency keys.

Follows docs.apimart.ai/en/api-reference (videos/wan2.7, wan2.7-r2v, wan2.7-videoedit, tasks/status, uploads/images).
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import string
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway, VendorApi, bearer
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors.gccai import catalogue
from airflow_provider_wan.sandbox.vendors.gccai.bodies import GccaiBody
from airflow_provider_wan.sandbox.world.tasks import Status, Task, TaskFailure

VERSION = "2026-07-27"
VERSION_HEADER = "X-APIMart-Response-Version"
IMAGE_TYPES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
IMAGE_LIMIT = 20 * 1024 * 1024
WORDS = {
    Status.PENDING: "pending",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "cancelled",
}
# HTTP status to (error type, code), for refusals that bring no code of their own.
ERRORS = {
    400: ("invalid_request_error", "invalid_request"), 401: ("authentication_error", "invalid_api_key"),
    402: ("payment_required", "insufficient_balance"), 403: ("permission_error", "permission_denied"),
    404: ("not_found_error", "task_not_found"), 409: ("invalid_request_error", "idempotency_key_reused"),
    413: ("invalid_request_error", "file_too_large"), 422: ("invalid_request_error", "invalid_parameter"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}  # fmt: skip
# Assumed: no source says what a credit is worth.
CREDITS_PER_DOLLAR = 100
_KEY = re.compile(r"[\x21-\x7e]{1,191}")
_LETTERS = string.ascii_uppercase + string.digits


class GccaiApi(VendorApi):
    """``/v1/videos/generations``, ``/v1/tasks/…``, ``/v1/uploads/images``, ``/v1/models``."""

    name = "gccai"

    def __init__(self, gateway: Gateway, uploads: UploadStore, result_host: ResultHost) -> None:
        super().__init__(gateway)
        self._uploads = uploads
        self._result_host = result_host
        self._replays: dict[tuple[str, str], tuple[str, str]] = {}

    def routes(self) -> list[Route]:
        """Return the vendor's paths."""

        def route(path: str, method: str, kind: str, handler: Callable[[ApiCall], Any]) -> Route:
            return Route(path, self.gateway.endpoint(self, kind, handler), methods=[method])

        return [
            route("/v1/videos/generations", "POST", "submit", self._submit),
            route("/v1/tasks/{task_id}", "GET", "query", self._query),
            route("/v1/uploads/images", "POST", "upload", self._upload),
            # PowerTokens has the same path; a client of either only asks whether its key is good.
            route("/v1/models", "GET", "models", lambda call: Reply(200, catalogue.models())),
            route("/v1/model-schema", "GET", "models", self._schema),
            route("/v1/model-docs", "GET", "models", self._docs),
            route("/v1/balance", "GET", "models", self._balance),
            route("/v1/user/balance", "GET", "models", self._balance),
            # The only path that wants no key.
            Route("/api/pricing/model", self._prices, methods=["GET"]),
        ]

    def clear(self) -> None:
        """Forget the idempotency keys."""
        self._replays.clear()

    def key_of(self, request: Request) -> str:
        """Return the Bearer key."""
        key = bearer(request)
        if key is None:
            raise Refusal(401, None, "Missing API key in the Authorization header")
        return key

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, None, "Invalid API key")

    def unpaid(self) -> Refusal:
        """Return the no to an empty account."""
        return Refusal(402, None, "Insufficient balance, please top up your account")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{"error": {message, type, code, param}}``."""
        kind, code = ERRORS.get(refusal.status, ("server_error", "internal_error"))
        error = {"message": refusal.message, "type": kind, "code": refusal.code or code, "param": refusal.field}
        return Reply(refusal.status, {"error": error}, {"X-Request-Id": request_id, **refusal.headers})

    # Submit ------------------------------------------------------------------------------------------------

    def _submit(self, call: ApiCall) -> Reply:
        key = call.request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise Refusal(
                400, None, "Idempotency-Key must be 1 to 191 visible ASCII characters", field="Idempotency-Key"
            )
        digest = hashlib.sha256(call.body).hexdigest()
        if self.settings.gccai_ignores_idempotency_keys:
            key = None
        known = self._replays.get((call.account, key)) if key else None
        if known is not None:
            if known[1] != digest:
                raise Refusal(409, None, "Idempotency-Key was used with a different body", field="Idempotency-Key")
            return self._submitted(call, known[0], {"Idempotency-Replayed": "true"})
        order = GccaiBody(self._uploads, call.json(), strict=self.settings.strict_fields).order()
        task_id = "task_" + "".join(secrets.choice(_LETTERS) for _ in range(26))
        self.submitted(call, order, task_id)
        if key:
            self._replays[call.account, key] = (task_id, digest)
        return self._submitted(call, task_id, {})

    def _submitted(self, call: ApiCall, task_id: str, headers: dict[str, str]) -> Reply:
        if call.request.headers.get(VERSION_HEADER) == VERSION:
            data: Any = {"id": task_id, "object": "generation.task", "status": "submitted"}
            body = {"code": 200, "data": data, "request_id": call.request_id}
            return Reply(200, body, {VERSION_HEADER: VERSION, **headers})
        return Reply(200, {"code": 200, "data": [{"status": "submitted", "task_id": task_id}]}, headers)

    # Query -------------------------------------------------------------------------------------------------

    def _query(self, call: ApiCall) -> Reply:
        task = self.world.find(self.name, call.account, call.request.path_params["task_id"])
        if task is None:
            raise Refusal(404, None, "Task not found")
        return Reply(200, {"code": 200, "data": self._data(task)})

    def _data(self, task: Task) -> dict[str, Any]:
        data: dict[str, Any] = {
            "id": task.id,
            "status": self.status_word(WORDS[task.status], over=task.over),
            "progress": task.progress(self.world.now()),
            "created": int(self.shown_time(task.created)),
            "estimated_time": math.ceil(self.settings.generation_seconds[1]),
        }
        if task.ended is not None:
            data["completed"] = int(self.shown_time(task.ended))
            data["actual_time"] = math.ceil(task.ended - task.created)
        if task.status is Status.SUCCEEDED:
            # Some clients have met addresses without a host.
            base = "" if self.settings.gccai_url == "relative" else self.gateway.base_url()
            video = {
                "url": [self._result_host.url(task, base)],
                "expires_at": int(self.shown_time(self._result_host.expires(task))),
            }
            data |= {"result": {"videos": [video]}, "cost": self._cost(task)}
            data["credits_cost"] = round(data["cost"] * CREDITS_PER_DOLLAR, 6)
        if task.status is Status.FAILED and task.failure is not None:
            data["error"] = _error(task.failure)
        return data

    # The rest ----------------------------------------------------------------------------------------------

    async def _upload(self, call: ApiCall) -> Reply:
        async with call.request.form() as form:
            file = form.get("file")
            if file is None or isinstance(file, str):
                raise Refusal(400, None, "The multipart field file is missing", field="file")
            kind = (file.content_type or "").partition(";")[0]
            if kind not in IMAGE_TYPES:
                raise Refusal(400, None, f"Unsupported image format {kind}", field="file")
            content = await file.read()
            name = file.filename or "image"
        if len(content) > IMAGE_LIMIT:
            raise Refusal(413, None, "The image is larger than 20 MB", field="file")
        key = f"{secrets.token_hex(12)}.{IMAGE_TYPES[kind]}"
        self._uploads.put(key, content, kind)
        body = {
            "url": f"{self.gateway.base_url()}/assets/{key}",
            "filename": name,
            "content_type": kind,
            "bytes": len(content),
            "created_at": int(self.world.now()),
        }
        return Reply(200, body)

    def _schema(self, call: ApiCall) -> Reply:
        query = call.request.query_params
        return Reply(200, catalogue.schema(query.get("model"), query.get("operation")))

    def _docs(self, call: ApiCall) -> Reply:
        return Reply(200, catalogue.docs(call.request.query_params.get("model"), self.world.now()))

    def _balance(self, call: ApiCall) -> Reply:
        """Return what the account has spent here of a hundred dollars."""
        spent = sum(self._cost(task) for task in self.world.all_tasks() if task.account == call.account)
        return Reply(200, {"success": True, "remain_balance": round(100 - spent, 6), "used_balance": round(spent, 6)})

    async def _prices(self, request: Request) -> Response:
        try:
            return Reply(200, catalogue.prices(request.query_params.get("model"))).response()
        except Refusal as refusal:
            return self.refuse(refusal, secrets.token_hex(8)).response()

    def _cost(self, task: Task) -> float:
        amount = self.world.billing.amount(task) if task.vendor == self.name else None
        return 0.0 if amount is None else float(round(amount[0], 6))


def _error(failure: TaskFailure) -> dict[str, Any]:
    """Return the error object of a failed task; the upstream code stands in the message."""
    message = f"{failure.code}: {failure.message}"
    if failure.code in ("DataInspectionFailed", "IPInfringementSuspect", "InvalidParameter.DataInspection"):
        return {"code": 400, "message": message, "type": "content_policy_violation"}
    if failure.code.startswith(("Invalid", "BadRequest")):
        return {"code": 400, "message": message, "type": "invalid_request_error"}
    return {"code": 500, "message": message, "type": "upstream_error"}
