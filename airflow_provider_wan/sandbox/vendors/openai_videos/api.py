"""A server of one's own (vLLM-Omni, SGLang) or a proxy (LiteLLM) that speaks OpenAI's ``/v1/videos``.

Follows platform.openai.com/docs/api-reference/videos. It answers below ``/openai``, since PowerTokens has the same
paths; the setting ``v1_videos`` gives it ``/v1/videos`` too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Literal

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply
from airflow_provider_wan.sandbox.front.gateway import ApiCall, bearer
from airflow_provider_wan.sandbox.vendors.openai_videos.bodies import Bodies
from airflow_provider_wan.sandbox.vendors.videos_api import VideosApi, bearer_or
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task

WORDS = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
# HTTP status to the type of the error.
TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    415: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error",
}  # fmt: skip
ANONYMOUS = "anonymous"
BODIES = {"multipart": "multipart/form-data", "json": "application/json"}


class OpenAiVideosApi(VideosApi):
    """Create, retrieve, list, delete, content, remix."""

    name = "openai"

    def routes(self, base: str = "/openai") -> list[Route]:
        """Return the vendor's paths, below ``base``."""
        remix: Callable[[ApiCall], Any] = self._remix
        endpoint = self.gateway.endpoint(self, "submit", remix)
        return [
            *super().routes(base),
            Route(f"{base}/v1/videos/{{task_id}}/remix", endpoint, methods=["POST"]),
            Route(f"{base}/v1/models", self.gateway.endpoint(self, "models", self._models), methods=["GET"]),
        ]

    def key_of(self, request: Request) -> str:
        """Return the Bearer key; a server without keys knows one account only."""
        if self.settings.openai_key == "optional":
            return bearer(request) or ANONYMOUS
        return bearer_or(request, "You didn't provide an API key.")

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, "invalid_api_key", "Incorrect API key provided.")

    def unpaid(self) -> Refusal:
        """Return the no to an empty account."""
        return Refusal(429, "insufficient_quota", "You exceeded your current quota, please check your plan.")

    def no_such_task(self) -> Refusal:
        """Return the no to an unknown id."""
        return Refusal(404, None, "Video not found", field="video_id")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{"error": {message, type, param, code}}``."""
        error = {
            "message": refusal.message,
            "type": TYPES.get(refusal.status, "server_error"),
            "param": refusal.field,
            "code": refusal.code,
        }
        return Reply(refusal.status, {"error": error}, {"x-request-id": request_id, **refusal.headers})

    @property
    def deletes_unfinished(self) -> bool:
        """Whether a deletion ends what is still being made."""
        return self.settings.openai_delete == "any"

    @property
    def content_by(self) -> Literal["redirect", "stream"]:
        """How the content endpoint gives the video."""
        return self.settings.openai_content

    async def body_of(self, call: ApiCall) -> dict[str, Any]:
        """Return the body; a server may take only one of the two forms."""
        kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = BODIES.get(self.settings.openai_bodies)
        if wanted and kind != wanted:
            raise Refusal(415, None, f"Unsupported media type {kind}; this server takes {wanted}")
        return await super().body_of(call)

    def order(self, body: dict[str, Any]) -> Order:
        """Return the order of a create body."""
        return Bodies(self.uploads, body, strict=self.settings.strict_fields).order()

    async def _remix(self, call: ApiCall) -> Reply:
        source = self.owned(call)
        if source.status is not Status.SUCCEEDED:
            raise Refusal(400, None, "Only a completed video can be remixed", field="video_id")
        body = await self.body_of(call)
        given = {"model": source.order.model, "size": "{}x{}".format(*source.order.size)}
        order = self.order({**given, "seconds": f"{source.order.seconds:g}", **body, "remixed_from": source.id})
        task = self.submitted(call, order, self.task_prefix + secrets.token_hex(16))
        return Reply(200, self.created(task))

    def _models(self, call: ApiCall) -> Reply:
        names = ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-I2V-A14B-Diffusers")
        return Reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    def created(self, task: Task) -> dict[str, Any]:
        """Return a task as the answer to its creation shows it."""
        return self.shape(task) | {"status": "queued", "progress": 0}

    def shape(self, task: Task) -> dict[str, Any]:
        """Return a task as a query or a list shows it."""
        failure = task.failure if task.status is Status.FAILED else None
        expires = self.result_host.expires(task) if task.status is Status.SUCCEEDED else None
        return {
            "id": task.id,
            "object": "video",
            "model": task.order.model,
            "status": self.status_word(WORDS[task.status], over=task.over),
            "progress": task.progress(self.world.now()),
            "created_at": int(self.shown_time(task.created)),
            "completed_at": None if task.ended is None else int(self.shown_time(task.ended)),
            "expires_at": expires,
            "prompt": task.order.prompt,
            "seconds": f"{task.order.seconds:g}",
            "size": "{}x{}".format(*task.order.size),
            "remixed_from_video_id": task.order.body.get("remixed_from"),
            "error": {"code": failure.code, "message": failure.message} if failure else None,
        }
