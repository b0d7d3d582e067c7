"""The result host: signed, keyless, mortal URLs, as object storage serves them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import HTML, HangUp, Truncated, endless, oss_error
from airflow_provider_wan.sandbox.front.gateway import Gateway
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.video.renderer import Renderer
from airflow_provider_wan.sandbox.world.tasks import Status, Task


class ResultHost:
    """``/files/{task_id}.mp4?Expires=…&Signature=…`` and ``/assets/{name}`` for uploaded inputs."""

    def __init__(self, gateway: Gateway, renderer: Renderer, uploads: UploadStore) -> None:
        self._gateway = gateway
        self._world = gateway.world
        self._renderer = renderer
        self._uploads = uploads
        self._secret = secrets.token_bytes(16)

    def routes(self) -> list[Route]:
        """Return the host's paths."""
        return [
            Route("/files/{task_id}.mp4", self._download, methods=["GET"]),
            Route("/assets/{name}", self._asset, methods=["GET"]),
        ]

    def expires(self, task: Task) -> int:
        """When the task's URL dies, in seconds since the epoch."""
        if task.url_expired or task.directives.expire_url:
            return int(task.ended or task.created) - 1
        return int((task.ended or task.created) + self._world.settings.expire_after)

    def url(self, task: Task, base: str | None = None) -> str:
        """Return the signed URL of a finished task's video."""
        expires = self.expires(task)
        signature = quote(self._sign(task.id, str(expires)), safe="")
        base = base or self._gateway.base_url()
        return f"{base}/files/{task.id}.mp4?Expires={expires}&OSSAccessKeyId=LTAI-SANDBOX&Signature={signature}"

    async def serve(self, request: Request, task: Task) -> tuple[Response, str]:
        """Return the video, or what the settings and the prompt put in its place, with the word for the ledger."""
        if self._spoiled(task, "html_download", "html_downloads"):
            return Response(HTML, 200, media_type="text/html"), "html"
        path = await self._renderer.file(task)
        if self._spoiled(task, "truncate_download", "truncate_downloads"):
            return Truncated(path.read_bytes(), "video/mp4"), "truncated"
        if self._spoiled(task, "endless_download", "endless_downloads"):
            return endless(path.read_bytes(), "video/mp4"), "endless"
        response = FileResponse(path, media_type="video/mp4", headers={"x-oss-object-type": "Normal"})
        return response, "206" if "range" in request.headers else "200"

    async def _download(self, request: Request) -> Response:
        task = self._world.tasks.get(request.path_params["task_id"])
        response, outcome = await self._checked(request, task)
        self._gateway.count(task.vendor if task else "unknown", "download", outcome)
        return response

    async def _checked(self, request: Request, task: Task | None) -> tuple[Response, str]:
        if self._gateway.faults.outage:
            return HangUp(reset=True), "outage"
        if "authorization" in request.headers or any("api-key" in name for name in request.headers):
            # OSS takes a signed URL or a signed header, not both; a vendor's key has no business here at all.
            return oss_error("AccessDenied", "Only one authentication mechanism is allowed.", 403), "403"
        expires = request.query_params.get("Expires", "")
        signature = request.query_params.get("Signature", "")
        if task is None or not hmac.compare_digest(signature, self._sign(task.id, expires)):
            return oss_error("SignatureDoesNotMatch", "The request signature does not match.", 403), "403"
        self._world.refresh(task)
        if task.url_expired or self._world.now() > int(expires):
            return oss_error("AccessDenied", "Request has expired.", 403), "403"
        if task.status is not Status.SUCCEEDED:
            return oss_error("NoSuchKey", "The specified key does not exist.", 404), "404"
        status = self._gateway.faults.error("download")
        if status is not None:
            return oss_error("InternalError", "Please contact the server administrator.", status), str(status)
        forced = self._gateway.faults.forced("download", task.vendor)
        if forced is not None:
            return oss_error(forced.code or "InternalError", "Ordered failure.", forced.status), str(forced.status)
        return await self.serve(request, task)

    def _spoiled(self, task: Task, directive: str, setting: str) -> bool:
        allowance: int = getattr(task.directives, directive)
        return task.spend(directive, allowance) or self._gateway.faults.download(setting)

    def _sign(self, task_id: str, expires: str) -> str:
        digest = hmac.new(self._secret, f"{task_id}\n{expires}".encode(), hashlib.sha1).digest()
        return base64.b64encode(digest).decode()

    async def _asset(self, request: Request) -> Response:
        upload = self._uploads.get(request.path_params["name"])
        if upload is None:
            return oss_error("NoSuchKey", "The specified key does not exist.", 404)
        return Response(upload.content, media_type=upload.media_type)
