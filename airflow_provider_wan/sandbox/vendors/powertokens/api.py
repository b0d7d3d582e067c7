"""PowerTokens: OpenAI-style video tasks, seconds as strings, ``size`` means the tier, content behind the key.

Follows docs.powertokens.ai/en/zmodelVideo/ali; the query shape is that of the gateway's sibling pages, the errors and
the older words are those of the new-api family, which it appears to be a build of.
"""

from __future__ import annotations

from typing import Any, Literal

from starlette.requests import Request

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply
from airflow_provider_wan.sandbox.vendors.powertokens.bodies import PowerTokensBody
from airflow_provider_wan.sandbox.vendors.videos_api import VideosApi, bearer_or
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task

WORDS = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    # The gateway has no word of its own for a task that was cancelled upstream.
    Status.CANCELED: "failed",
}
NEW_API_WORDS = {
    Status.PENDING: "QUEUED",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "SUCCESS",
    Status.FAILED: "FAILURE",
    Status.CANCELED: "FAILURE",
}
CODES = {
    400: "invalid_request", 402: "insufficient_user_quota", 403: "access_denied", 413: "request_too_large",
    429: "rate_limit_exceeded",
}  # fmt: skip


class PowerTokensApi(VideosApi):
    """A gateway before DashScope."""

    name = "powertokens"
    task_prefix = "task_"

    def key_of(self, request: Request) -> str:
        """Return the Bearer key."""
        return bearer_or(request, "No token provided")

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, None, "Invalid token")

    def unpaid(self) -> Refusal:
        """Return the no to an empty account."""
        return Refusal(402, None, "user quota is not enough")

    def no_such_task(self) -> Refusal:
        """Return the no to an unknown id."""
        return Refusal(400, "task_not_exist", "task_not_exist")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{code, message, data}``; trouble with the token comes from another layer, in another shape."""
        message = f"{refusal.message} (request id: {request_id})"
        if refusal.status == 401:
            error = {"message": message, "type": "new_api_error", "code": refusal.code or "invalid_token"}
            return Reply(401, {"error": error}, refusal.headers)
        code = refusal.code or CODES.get(refusal.status, "internal_error")
        if refusal.status == 400 and code[:1].isupper():
            # What DashScope says arrives under one code, with its own in the text.
            code, message = "ali_api_error", f"{code}: {message}"
        return Reply(refusal.status, {"code": code, "message": message, "data": None}, refusal.headers)

    def order(self, body: dict[str, Any]) -> Order:
        """Return the order of a create body."""
        return PowerTokensBody(self.uploads, body, strict=self.settings.strict_fields).order()

    @property
    def content_by(self) -> Literal["redirect", "stream"]:
        """How the content endpoint gives the video."""
        return self.settings.powertokens_content

    def created(self, task: Task) -> dict[str, Any]:
        """Return a task as the answer to its creation shows it."""
        return self._base(task, "SUBMITTED" if self._is_new_api else "queued", 0)

    def shape(self, task: Task) -> dict[str, Any]:
        """Return a task as a query or a list shows it."""
        word = self.status_word((NEW_API_WORDS if self._is_new_api else WORDS)[task.status], over=task.over)
        if self._is_new_api and task.held:
            word = "NOT_START"
        body = self._base(task, word, task.progress(self.world.now()))
        if task.ended is not None:
            body["finished_at" if self._is_new_api else "completed_at"] = int(self.shown_time(task.ended))
        if task.status is Status.SUCCEEDED:
            body["metadata"] = {"url": self._url(task)}
        return body | self._failure(task)

    def _url(self, task: Task) -> str:
        match self.settings.powertokens_url:
            case "file":
                return self.result_host.url(task)
            case "none":
                return ""
            case _:
                return f"{self.gateway.base_url()}/v1/videos/{task.id}/content"

    def _failure(self, task: Task) -> dict[str, Any]:
        if task.status is Status.CANCELED:
            code, message = "task_failed", "task was cancelled upstream"
        elif task.status is Status.FAILED and task.failure is not None:
            code, message = task.failure.code, task.failure.message
        else:
            return {}
        if self._is_new_api:
            return {"fail_reason": f"{code}: {message}"}
        return {"error": {"code": code, "message": message}}

    @property
    def _is_new_api(self) -> bool:
        return self.settings.powertokens_words == "new-api"

    def _base(self, task: Task, word: str, progress: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": task.id,
            "task_id": task.id,
            "object": "video",
            "model": task.order.model,
            "status": word,
            "progress": progress,
            "created_at": int(self.shown_time(task.created)),
            "seconds": f"{task.order.seconds:g}",
            "size": task.order.tier,
        }
        if self._is_new_api:
            # These stand in every state there, empty until they mean something.
            body |= {"metadata": {"url": ""}, "finished_at": 0, "fail_reason": ""}
        return body
