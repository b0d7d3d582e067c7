"""PowerTokens: OpenAI-style video tasks, seconds as strings, ``size`` means the tier, content behind the key.

Follows docs.powertokens.ai/en/zmodelVideo/ali; the query shape is that of the gateway's sibling pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import HangUp, Refusal, Reply
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway, VendorApi, bearer
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.settings import fingerprint
from airflow_provider_wan.sandbox.vendors.powertokens.bodies import Bodies
from airflow_provider_wan.sandbox.world.tasks import Status, Task

WORDS = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    # The gateway has no word of its own for a task that was cancelled upstream.
    Status.CANCELED: "failed",
}
CODES = {
    400: "invalid_request", 402: "insufficient_user_quota", 403: "access_denied", 404: "task_not_exist",
    413: "request_too_large", 429: "rate_limit_exceeded",
}  # fmt: skip


class PowerTokensApi(VendorApi):
    """``/v1/videos``, ``/v1/videos/{id}``, ``/v1/videos/{id}/content``."""

    name = "powertokens"

    def __init__(self, gateway: Gateway, uploads: UploadStore, result_host: ResultHost) -> None:
        super().__init__(gateway)
        self._uploads = uploads
        self._result_host = result_host

    def routes(self) -> list[Route]:
        """Return the vendor's paths."""

        def route(path: str, method: str, kind: str, handler: Callable[[ApiCall], Any]) -> Route:
            return Route(path, self.gateway.endpoint(self, kind, handler), methods=[method])

        return [
            route("/v1/videos", "POST", "submit", self._submit),
            route("/v1/videos/{task_id}", "GET", "query", self._query),
            Route("/v1/videos/{task_id}/content", self._content, methods=["GET"]),
        ]

    def key_of(self, request: Request) -> str:
        """Return the Bearer key."""
        key = bearer(request)
        if key is None:
            raise Refusal(401, None, "No token provided")
        return key

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, None, "Invalid token")

    def unpaid(self) -> Refusal:
        """Return the no to an empty account."""
        return Refusal(402, None, "user quota is not enough")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{code, message, data}``; trouble with the token comes from another layer, in another shape."""
        message = f"{refusal.message} (request id: {request_id})"
        if refusal.status == 401:
            error = {"message": message, "type": "new_api_error", "code": refusal.code or "invalid_token"}
            return Reply(401, {"error": error}, refusal.headers)
        code = refusal.code or CODES.get(refusal.status, "internal_error")
        return Reply(refusal.status, {"code": code, "message": message, "data": None}, refusal.headers)

    # Submit and query --------------------------------------------------------------------------------------

    def _submit(self, call: ApiCall) -> Reply:
        order = Bodies(self._uploads, call.json(), strict=self.settings.strict_fields).order()
        task = self.submitted(call, order, "task_" + secrets.token_hex(16))
        return Reply(200, self._shape(task, "queued", 0))

    def _query(self, call: ApiCall) -> Reply:
        task = self.world.find(self.name, call.account, call.request.path_params["task_id"])
        if task is None:
            raise Refusal(404, None, "task_not_exist")
        word = self.status_word(WORDS[task.status], over=task.over)
        body = self._shape(task, word, task.progress(self.world.now()))
        if task.ended is not None:
            body["completed_at"] = int(task.ended)
        if task.status is Status.SUCCEEDED:
            content = f"{self.gateway.base_url()}/v1/videos/{task.id}/content"
            body["metadata"] = {
                "url": self._result_host.url(task) if self.settings.powertokens_url == "file" else content
            }
        if task.status is Status.CANCELED:
            body["error"] = {"code": "task_failed", "message": "task was cancelled upstream"}
        elif task.status is Status.FAILED and task.failure is not None:
            body["error"] = {"code": task.failure.code, "message": task.failure.message}
        return Reply(200, body)

    def _shape(self, task: Task, word: str, progress: int) -> dict[str, Any]:
        return {
            "id": task.id,
            "task_id": task.id,
            "object": "video",
            "model": task.order.model,
            "status": word,
            "progress": progress,
            "created_at": int(task.created),
            "seconds": f"{task.order.seconds:g}",
            "size": task.order.tier,
        }

    # Content -----------------------------------------------------------------------------------------------

    async def _content(self, request: Request) -> Response:
        """Give the video to the task's owner: stream it, or send to another host where the key must not go."""
        response, outcome = await self._owned(request)
        self.gateway.count(self.name, "download", outcome)
        return response

    async def _owned(self, request: Request) -> tuple[Response, str]:
        if self.gateway.faults.outage:
            return HangUp(reset=True), "outage"
        key = bearer(request)
        if key is None:
            return self._no(Refusal(401, None, "No token provided"))
        task = self.world.find(self.name, fingerprint(key), request.path_params["task_id"])
        if task is None:
            return self._no(Refusal(404, None, "task_not_exist"))
        if task.status is not Status.SUCCEEDED:
            return self._no(Refusal(400, None, "Task is not completed yet"))
        if task.url_expired or self.world.now() > self._result_host.expires(task):
            return self._no(Refusal(404, None, "the content has expired"))
        status = self.gateway.faults.error("download")
        if status is not None:
            return self._no(Refusal(status, None, "Injected failure."))
        if self.settings.powertokens_content == "redirect":
            url = self._result_host.url(task, _other_name(self.gateway.base_url()))
            return RedirectResponse(url, 302, {"Cache-Control": "max-age=86400"}), "302"
        return await self._result_host.serve(request, task)

    def _no(self, refusal: Refusal) -> tuple[Response, str]:
        return self.refuse(refusal, secrets.token_hex(8)).response(), str(refusal.status)


def _other_name(base: str) -> str:
    """Return the same address under another host name, so that a client sees that it leaves the API's origin."""
    return f"http://localhost:{urlsplit(base).port}"
