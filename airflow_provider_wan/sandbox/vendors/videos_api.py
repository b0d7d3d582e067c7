"""What all servers with an OpenAI-style ``/v1/videos`` share: creation as form or JSON, list, delete, content.

Follows platform.openai.com/docs/api-reference/videos; the vendors differ in bodies, words and errors.
"""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import HangUp, Refusal, Reply
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway, VendorApi, bearer
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.settings import fingerprint
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task

LIST_MAX = 100


class VideosApi(VendorApi):
    """``/v1/videos``, ``/v1/videos/{id}``, ``/v1/videos/{id}/content``."""

    task_prefix = "video_"

    def __init__(self, gateway: Gateway, uploads: UploadStore, result_host: ResultHost) -> None:
        super().__init__(gateway)
        self.uploads = uploads
        self.result_host = result_host

    def routes(self, base: str = "") -> list[Route]:
        """Return the vendor's paths, below ``base``."""

        def route(path: str, method: str, kind: str, handler: Callable[[ApiCall], Any]) -> Route:
            return Route(base + path, self.gateway.endpoint(self, kind, handler), methods=[method])

        return [
            route("/v1/videos", "POST", "submit", self._submit),
            route("/v1/videos", "GET", "list", self._list),
            route("/v1/videos/{task_id}", "GET", "query", self._query),
            route("/v1/videos/{task_id}", "DELETE", "cancel", self._delete),
            Route(f"{base}/v1/videos/{{task_id}}/content", self._content, methods=["GET"]),
        ]

    @property
    def deletes_unfinished(self) -> bool:
        """Whether a deletion ends what is still being made."""
        return False

    # What the vendors differ in ------------------------------------------------------------------------------

    @abstractmethod
    def order(self, body: dict[str, Any]) -> Order:
        """Return the order of a create body; raises ``Refusal``."""

    @abstractmethod
    def created(self, task: Task) -> dict[str, Any]:
        """Return a task as the answer to its creation shows it."""

    @abstractmethod
    def shape(self, task: Task) -> dict[str, Any]:
        """Return a task as a query or a list shows it."""

    @abstractmethod
    def no_such_task(self) -> Refusal:
        """Return the no to an id that this account does not have."""

    @property
    @abstractmethod
    def content_by(self) -> Literal["redirect", "stream"]:
        """How the content endpoint gives the video."""

    # Calls ---------------------------------------------------------------------------------------------------

    async def _submit(self, call: ApiCall) -> Reply:
        task = self.submitted(call, self.order(await self.body_of(call)), self.task_prefix + secrets.token_hex(16))
        return Reply(200, self.created(task))

    async def body_of(self, call: ApiCall) -> dict[str, Any]:
        """Return the body, which comes as JSON or as the form that the OpenAI SDKs send."""
        kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            return call.json()
        body: dict[str, Any] = {}
        async with call.request.form() as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    body[name] = await self._kept(value)
                else:
                    body[name] = _read(name, value)
        return body

    async def _kept(self, file: UploadFile) -> str:
        """Keep a file part and return the URL under which it is known here."""
        kind = (file.content_type or "application/octet-stream").partition(";")[0]
        name = f"{secrets.token_hex(12)}.{kind.rpartition('/')[2] or 'bin'}"
        self.uploads.put(name, await file.read(), kind)
        return f"{self.gateway.base_url()}/assets/{name}"

    def owned(self, call: ApiCall) -> Task:
        """Return the account's own task that the path names; raises ``Refusal``."""
        task = self.world.find(self.name, call.account, call.request.path_params["task_id"])
        if task is None:
            raise self.no_such_task()
        return task

    def _query(self, call: ApiCall) -> Reply:
        return Reply(200, self.shape(self.owned(call)))

    def _list(self, call: ApiCall) -> Reply:
        query = call.request.query_params
        after, limit = query.get("after"), _number(query.get("limit"), 20)
        _, tasks = self.world.page(self.name, call.account, take=len(self.world.tasks))
        if query.get("order", "desc") == "asc":
            tasks.reverse()
        ids = [task.id for task in tasks]
        start = ids.index(after) + 1 if after in ids else 0
        page = tasks[start : start + limit]
        return Reply(
            200,
            {
                "object": "list",
                "data": [self.shape(task) for task in page],
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
                "has_more": start + limit < len(tasks),
            },
        )

    def _delete(self, call: ApiCall) -> Reply:
        task = self.owned(call)
        if not task.over and not self.deletes_unfinished:
            raise Refusal(400, None, "The video is still being made; only a finished one can be deleted")
        if not task.over:
            self.world.drop(task)
            self.world.billing.cancel(task.id, self.name, accepted=True)
        self.world.expire(task)
        return Reply(200, {"id": task.id, "object": "video.deleted", "deleted": True})

    # Content -------------------------------------------------------------------------------------------------

    async def _content(self, request: Request) -> Response:
        """Give the video to the task's owner: stream it, or send to another host where the key must not go."""
        response, outcome = await self._given(request)
        self.gateway.count(self.name, "download", outcome)
        return response

    async def _given(self, request: Request) -> tuple[Response, str]:
        faults = self.gateway.faults
        if faults.outage:
            return HangUp(reset=True), "outage"
        try:
            account = fingerprint(self.key_of(request))
            if faults.keys_refused:
                raise self.bad_key()
            task = self.world.find(self.name, account, request.path_params["task_id"])
            if task is None:
                raise self.no_such_task()
            if task.status is not Status.SUCCEEDED:
                raise Refusal(400, None, "Task is not completed yet")
            if task.url_expired or self.world.now() > self.result_host.expires(task):
                raise Refusal(404, None, "the content has expired")
            status = faults.error("download")
            if status is not None:
                raise Refusal(status, None, "Injected failure.")
        except Refusal as refusal:
            return self.refuse(refusal, secrets.token_hex(8)).response(), str(refusal.status)
        if self.content_by == "redirect":
            url = self.result_host.url(task, _other_name(self.gateway.base_url()))
            return RedirectResponse(url, 302, {"Cache-Control": "max-age=86400"}), "302"
        return await self.result_host.serve(request, task)


def bearer_or(request: Request, message: str) -> str:
    """Return the Bearer key; raises ``Refusal`` (401) when there is none."""
    key = bearer(request)
    if key is None:
        raise Refusal(401, None, message)
    return key


def _read(name: str, value: str) -> Any:
    """Read a form field, which has no types, as the JSON that it stands for; ``seconds`` is text in both."""
    if name in ("prompt", "negative_prompt", "model", "seconds", "size"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= LIST_MAX:
        raise Refusal(400, None, f"limit must be from 1 to {LIST_MAX}", field="limit")
    return int(text)


def _other_name(base: str) -> str:
    """Return the same address under another host name, so that a client sees that it leaves the API's origin."""
    return f"http://localhost:{urlsplit(base).port}"
