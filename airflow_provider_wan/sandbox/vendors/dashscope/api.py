"""DashScope (Alibaba Cloud Model Studio): create, query, list, cancel, quotas.

Follows help.aliyun.com/zh/model-studio: the Wan API references, manage-asynchronous-tasks, error-code.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway, VendorApi, bearer
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors.dashscope.bodies import Bodies
from airflow_provider_wan.sandbox.vendors.dashscope.uploads import UploadPolicies
from airflow_provider_wan.sandbox.vendors.dashscope.usage import SPEECH_RESULTS, usage
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task

DEFAULT_CODES = {
    400: "InvalidParameter", 401: "InvalidApiKey", 403: "AccessDenied", 404: "NotFound", 408: "RequestTimeOut",
    413: "BadRequest.TooLarge", 429: "Throttling.RateQuota", 500: "InternalError", 502: "InternalError",
    503: "ServiceUnavailable", 504: "GatewayTimeout",
}  # fmt: skip
PLAIN_BODY_LIMIT = 16 * 1024 * 1024
STATUS_WORDS = frozenset({*Status, "UNKNOWN"})


class DashScopeApi(VendorApi):
    """``/api/v1/…``."""

    name = "dashscope"

    def __init__(self, gateway: Gateway, uploads: UploadStore, result_host: ResultHost) -> None:
        super().__init__(gateway)
        self._uploads = uploads
        self._result_host = result_host
        self._upload_policies = UploadPolicies(gateway, uploads)

    def routes(self) -> list[Route]:
        """Return the vendor's paths."""

        def route(path: str, method: str, kind: str, handler: Callable[[ApiCall], Any]) -> Route:
            return Route(path, self.gateway.endpoint(self, kind, handler), methods=[method])

        services = "/api/v1/services/aigc"
        return [
            route(f"{services}/video-generation/video-synthesis", "POST", "submit", self._create_video),
            route(f"{services}/image2video/video-synthesis", "POST", "submit", self._create_from_image),
            route("/api/v1/tasks", "GET", "list", self._list),
            route("/api/v1/tasks/", "GET", "list", self._list),
            route("/api/v1/tasks/{task_id}", "GET", "query", self._query),
            route("/api/v1/tasks/{task_id}/cancel", "POST", "cancel", self._cancel),
            route("/api/v1/uploads", "GET", "upload", self._upload_policies.policy),
            route("/api/v1/models/limits", "GET", "models", self._quotas),
            # Stands for the OSS host of the upload policy: no key there, the policy is the permission.
            Route("/oss-upload", self._upload_policies.receive, methods=["POST"]),
        ]

    def clear(self) -> None:
        """Forget the upload policies."""
        self._upload_policies.clear()

    # Saying no ---------------------------------------------------------------------------------------------

    def key_of(self, request: Request) -> str:
        """Return the Bearer key."""
        key = bearer(request)
        if key is None:
            raise Refusal(401, "InvalidApiKey", "No API-key provided.")
        return key

    def bad_key(self) -> Refusal:
        """Return the no to a wrong key."""
        return Refusal(401, "InvalidApiKey", "Invalid API-key provided.")

    def unpaid(self) -> Refusal:
        """Return the no to an overdue account."""
        return Refusal(400, "Arrearage", "Access denied, please make sure your account is in good standing.")

    def refuse(self, refusal: Refusal, request_id: str) -> Reply:
        """Write ``{code, message, request_id}``."""
        code = refusal.code or DEFAULT_CODES.get(refusal.status, "InternalError")
        body = {"code": code, "message": refusal.message, "request_id": request_id}
        return Reply(refusal.status, body, refusal.headers)

    # Create ------------------------------------------------------------------------------------------------

    def _create_video(self, call: ApiCall) -> Reply:
        return self._create(call, "video-generation")

    def _create_from_image(self, call: ApiCall) -> Reply:
        return self._create(call, "image2video")

    def _create(self, call: ApiCall, path: str) -> Reply:
        headers = call.request.headers
        if headers.get("x-dashscope-async", "").lower() != "enable":
            raise Refusal(403, "AccessDenied", "current user api does not support synchronous calls.")
        if len(call.body) > PLAIN_BODY_LIMIT and b";base64," not in call.body:
            raise Refusal(413, None, "Payload too large.")
        order = self._order(call.json(), path, resolve_oss=headers.get("x-dashscope-ossresourceresolve") == "enable")
        task = self.submitted(call, order, str(uuid.uuid4()))
        return Reply(200, {"output": {"task_status": "PENDING", "task_id": task.id}, "request_id": call.request_id})

    def _order(self, body: dict[str, Any], path: str, *, resolve_oss: bool) -> Order:
        settings = self.settings
        return Bodies(
            self._uploads, body, resolve_oss=resolve_oss, strict=settings.strict_fields, late=settings.late_validation
        ).order(path)

    # Query, list, cancel -----------------------------------------------------------------------------------

    def _query(self, call: ApiCall) -> Reply:
        task_id = call.request.path_params["task_id"]
        task = self.world.find(self.name, call.account, task_id)
        if task is None:
            output: dict[str, Any] = {"task_id": task_id, "task_status": "UNKNOWN"}
            return Reply(200, {"request_id": call.request_id, "output": output})
        body: dict[str, Any] = {"request_id": call.request_id, "output": self._output(task)}
        if task.status is Status.SUCCEEDED:
            body["usage"] = usage(task.order)
        return Reply(200, body)

    def _output(self, task: Task) -> dict[str, Any]:
        word = self.status_word(task.status.value, over=task.over)
        output: dict[str, Any] = {"task_id": task.id, "task_status": word, "submit_time": self._local(task.created)}
        if task.started is not None:
            output["scheduled_time"] = self._local(task.started)
        if task.ended is not None:
            output["end_time"] = self._local(task.ended)
        if task.status is Status.SUCCEEDED:
            # The prompt is shown only with a result: before, a task cannot be told by it.
            output["orig_prompt"] = task.order.prompt
            url = self._result_host.url(task)
            output |= {"results": {"video_url": url}} if SPEECH_RESULTS.search(task.order.model) else {"video_url": url}
        if task.status is Status.FAILED and task.failure is not None:
            output |= {"code": task.failure.code, "message": task.failure.message}
        return output

    def _zone(self) -> timezone:
        return timezone(timedelta(hours=self.settings.utc_offset_hours))

    def _local(self, at: float) -> str:
        return datetime.fromtimestamp(at, self._zone()).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    def _list(self, call: ApiCall) -> Reply:
        query = call.request.query_params
        number = _positive(query.get("page_no"), "page_no", 1)
        size = min(_positive(query.get("page_size"), "page_size", 10), self.settings.page_size_max)
        since, until = self._window(query.get("start_time"), query.get("end_time"))
        status, task_id = query.get("status"), query.get("task_id")
        if status and status not in STATUS_WORDS:
            raise Refusal(400, "InvalidParameter", f"status must be one of {', '.join(sorted(STATUS_WORDS))}.")

        def fits(task: Task) -> bool:
            return (not status or task.status == status) and (not task_id or task.id == task_id)

        total, tasks = self.world.page(
            self.name,
            call.account,
            since=since,
            until=until,
            model=query.get("model_name") or None,
            keep=fits if status or task_id else None,
            skip=(number - 1) * size,
            take=size,
        )
        return Reply(
            200,
            {
                "request_id": call.request_id,
                "data": [self._row(task) for task in tasks],
                "total": total,
                "total_page": -(-total // size),
                "page_no": number,
                "page_size": size,
            },
        )

    def _row(self, task: Task) -> dict[str, Any]:
        row: dict[str, Any] = {
            "api_key_id": task.account,
            "caller_parent_id": "1000000000000000",
            "caller_uid": "1000000000000000",
            "gmt_create": int(task.created * 1000),
            "model_name": task.order.model,
            "region": "sandbox",
            "request_id": task.request_id,
            "status": self.status_word(task.status.value, over=task.over),
            "task_id": task.id,
            "user_api_unique_key": f"apikey:v1:aigc:video-generation:video-synthesis:{task.order.model}",
        }
        if task.started is not None:
            row["start_time"] = int(task.started * 1000)
        if task.ended is not None:
            row["end_time"] = int(task.ended * 1000)
        return row

    def _window(self, start: str | None, end: str | None) -> tuple[float, float]:
        """Return the span of creation times that is asked for: at most a day, the last one if nothing is said."""
        now = self.world.now()
        day = 86_400.0
        since, until = self._instant(start, "start_time"), self._instant(end, "end_time")
        if since is None:
            until = now if until is None else until
            return until - day, until
        if until is None:
            return since, since + day
        if not 0 <= until - since <= day:
            raise Refusal(400, "InvalidParameter", "The span from start_time to end_time must be at most 24 hours.")
        return since, until

    def _instant(self, text: str | None, name: str) -> float | None:
        if not text:
            return None
        try:
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=self._zone()).timestamp()
        except ValueError:
            raise Refusal(400, "InvalidParameter", f"{name} must look like 20260420153000.") from None

    async def _cancel(self, call: ApiCall) -> Reply:
        task = self.world.find(self.name, call.account, call.request.path_params["task_id"])
        delay = self.settings.cancel_delay_seconds
        if task is not None and task.directives.cancel_delay is not None:
            delay = task.directives.cancel_delay
        if delay:
            await asyncio.sleep(delay)
            # A caller that hangs up before the answer cancels nothing: only so does a test see whether the
            # caller waited for it.
            if await call.request.is_disconnected():
                self.world.billing.cancel(task.id if task else "", self.name, accepted=False, abandoned=True)
                raise Refusal(499, None, "Client closed the request.")
        accepted = task is not None and self.world.cancel(task)
        self.world.billing.cancel(call.request.path_params["task_id"], self.name, accepted=accepted)
        if not accepted:
            text = "Failed to cancel the task, please confirm if the task is in PENDING status."
            raise Refusal(400, "UnsupportedOperation", text)
        return Reply(200, {"request_id": call.request_id})

    # Quotas ------------------------------------------------------------------------------------------------

    def _quotas(self, call: ApiCall) -> Reply:
        model = call.request.query_params.get("model") or "wan2.7-t2v"
        limit = {
            "request_limit": int(self.settings.submit_qps) or 5,
            "request_limit_period": 1,
            "async_user_queue_limit": self.settings.queue_limit,
            "async_user_concurrency_limit": self.settings.running_limit,
        }
        quotas = [{"model": model, "model_limit": limit, "workspace_limit": None}]
        return Reply(200, {"request_id": call.request_id, "output": {"quotas": quotas, "total": 1, "page_no": 1}})


def _positive(text: str | None, name: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(400, "InvalidParameter", f"{name} must be a positive integer.")
    return int(text)
