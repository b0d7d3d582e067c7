"""Freepik / Magnific: the mode and the model stand in the path; key in a header of its own; webhooks.

Follows docs.magnific.com/api-reference/*/wan-2-7, /webhooks and /upload-files.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply
from airflow_provider_wan.sandbox.front.bodies import Reader
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway, VendorApi
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors.freepik.bodies import FreepikBody
from airflow_provider_wan.sandbox.world.tasks import Status, Task

MODES = {
    "text-to-video": "text_to_video",
    "image-to-video": "image_to_video",
    "reference-to-video": "reference_to_video",
    "video-edit": "video_edit",
}
WORDS = {
    Status.PENDING: "CREATED",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELED: "FAILED",
}
KEY_HEADERS = ("x-magnific-api-key", "x-freepik-api-key")
IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
UPLOAD_SECONDS, ASSET_SECONDS = 120, 86_400


class FreepikApi(VendorApi):
    """``/v1/ai/{mode}/wan-2-7`` and ``/v1/ai/uploads/request-url``."""

    name = "freepik"

    def __init__(self, gateway: Gateway, uploads: UploadStore, result_host: ResultHost) -> None:
        super().__init__(gateway)
        self._uploads = uploads
        self._result_host = result_host
        # Signed upload URLs that have been given out: name to (media type, end of life, headers to repeat).
        self._tickets: dict[str, tuple[str, float, dict[str, str]]] = {}

    def routes(self) -> list[Route]:
        """Return the vendor's paths."""

        def route(path: str, method: str, kind: str, handler: Callable[[ApiCall], Any]) -> Route:
            return Route(path, self.gateway.endpoint(self, kind, handler), methods=[method])

        return [
            route("/v1/ai/uploads/request-url", "POST", "upload", self._tickets_for),
            # Stands for the storage host of the signed URL: no key there.
            Route("/freepik-upload/{name}", self._receive, methods=["PUT"]),
            route("/v1/ai/{mode}/{model}", "POST", "submit", self._submit),
            route("/v1/ai/{mode}/{model}", "GET", "list", self._list),
            route("/v1/ai/{mode}/{model}/{task_id}", "GET", "query", self._query),
        ]

    def clear(self) -> None:
        """Forget the signed upload URLs."""
        self._tickets.clear()

    def key_of(self, request: Request) -> str:
        """Return the key of either header generation; a Bearer key is none."""
        for name in KEY_HEADERS:
            if request.headers.get(name):
                return request.headers[name]
        raise Refusal(401, None, "Missing API key")

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, None, "Invalid API key")

    def unpaid(self) -> Refusal:
        """Return the no to an account without credits."""
        return Refusal(402, None, "Insufficient credits")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{"message"}``, or the problem form when fields are at fault."""
        headers = {"x-request-id": request_id, **refusal.headers}
        message = f"{refusal.code}: {refusal.message}" if refusal.code else refusal.message
        if refusal.status == 400 and refusal.field:
            wrong = [{"name": refusal.field, "reason": refusal.message}]
            return Reply(400, {"problem": {"message": "Validation error", "invalid_params": wrong}}, headers)
        return Reply(refusal.status, {"message": message}, headers)

    # Submit, query, list -----------------------------------------------------------------------------------

    def _path(self, call: ApiCall) -> tuple[str, str]:
        """Return canonical mode and model of the path; raises ``Refusal`` (404)."""
        mode = MODES.get(call.request.path_params["mode"])
        model = call.request.path_params["model"]
        if mode is None or not model.startswith("wan-"):
            raise Refusal(404, None, "Not found")
        return mode, model

    def _submit(self, call: ApiCall) -> Reply:
        mode, model = self._path(call)
        order = FreepikBody(self._uploads, call.json(), strict=self.settings.strict_fields).order(mode, model)
        task = self.submitted(call, order, str(uuid.uuid4()))
        return Reply(200, {"data": {"task_id": task.id, "status": "CREATED", "generated": []}})

    def _query(self, call: ApiCall) -> Reply:
        mode, model = self._path(call)
        task = self.world.find(self.name, call.account, call.request.path_params["task_id"])
        if task is None or (task.order.mode, task.order.model) != (mode, model):
            raise Refusal(404, None, "Task not found")
        return Reply(200, {"data": self.shape(task)})

    def shape(self, task: Task) -> dict[str, Any]:
        """Return the task as a query or a webhook shows it."""
        done = task.status is Status.SUCCEEDED
        shape: dict[str, Any] = {
            "task_id": task.id,
            "status": self.status_word(WORDS[task.status], over=task.over),
            "generated": [self._generated(task)] if done else [],
        }
        if task.status is Status.FAILED and task.failure is not None and self.settings.freepik_failure_reason:
            shape["error"] = f"{task.failure.code}: {task.failure.message}"
        return shape

    def _generated(self, task: Task) -> str | dict[str, str]:
        url = self._result_host.url(task)
        return url if self.settings.freepik_generated == "strings" else {"url": url, "content_type": "video/mp4"}

    def _list(self, call: ApiCall) -> Reply:
        mode, model = self._path(call)
        page, size = call.request.query_params.get("page", "1"), self.settings.page_size_max
        if not page.isdecimal() or int(page) < 1:
            raise Refusal(400, None, "Parameter 'page' is not valid")
        _, tasks = self.world.page(
            self.name,
            call.account,
            model=model,
            keep=lambda task: task.order.mode == mode,
            skip=(int(page) - 1) * size,
            take=size,
        )
        rows = [{"task_id": task.id, "status": self.shape(task)["status"]} for task in tasks]
        return Reply(200, {"data": rows})

    # Uploads -----------------------------------------------------------------------------------------------

    def _tickets_for(self, call: ApiCall) -> Reply:
        body = Reader(call.json())
        files = body.objects("files")
        if not 1 <= len(files) <= 14:
            raise body.wrong("files", "must have 1 to 14 items")
        answer = []
        for file in files:
            kind = file.choice("content_type", IMAGE_TYPES) or ""
            if not kind:
                raise file.missing("content_type")
            name = f"{secrets.token_hex(12)}.{IMAGE_TYPES[kind]}"
            headers = {"Content-Type": kind, "x-sandbox-upload-token": secrets.token_hex(8)}
            self._tickets[name] = (kind, self.world.now() + UPLOAD_SECONDS, headers)
            answer.append(
                {
                    "file_id": name.partition(".")[0],
                    "upload_url": f"{self.gateway.base_url()}/freepik-upload/{name}?X-Signature={secrets.token_hex(8)}",
                    "headers": headers,
                    "expires_in": UPLOAD_SECONDS,
                    "asset_url": f"{self.gateway.base_url()}/assets/{name}",
                    "asset_url_expires_in": ASSET_SECONDS,
                }
            )
        return Reply(200, {"files": answer})

    async def _receive(self, request: Request) -> Response:
        response = await self._stored(request)
        self.gateway.count(self.name, "upload", str(response.status_code))
        return response

    async def _stored(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind, ends, headers = self._tickets.get(name, ("", 0.0, {}))
        if "authorization" in request.headers or any(header in request.headers for header in KEY_HEADERS):
            return Response("the signed URL takes no key", 400)
        if self.world.now() > ends or any(request.headers.get(key) != value for key, value in headers.items()):
            return Response("signature does not match or has expired", 403)
        content = await request.body()
        # Reading an image's head is quick, but not free for a large one.
        await asyncio.to_thread(self._uploads.put, name, content, kind)
        return Response(status_code=200)
