"""Alibaba Cloud Model Studio (DashScope), Qwen Cloud.

Follows https://help.aliyun.com/zh/model-studio/text-to-video-api-reference and its siblings for
image-to-video, reference-to-video and video editing, .../wan3-video-generation-api-reference,
.../manage-asynchronous-tasks, .../get-temporary-file-url and .../error-code.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Call, not_the_api, request_id_in
from airflow_provider_wan.client.requests import (
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.urls import is_web_url
from airflow_provider_wan.client.vendors.base import (
    TaskFilter,
    TaskPage,
    Upload,
    Vendor,
    cannot,
    check_schemes,
    merge,
    path_part,
)
from airflow_provider_wan.client.vendors.dashscope import bodies
from airflow_provider_wan.client.vendors.dashscope import older as legacy
from airflow_provider_wan.client.vendors.dashscope.answers import (
    compact_time,
    expiry,
    facts_of_usage,
    local_time,
    milliseconds,
    zone_of,
)
from airflow_provider_wan.client.vendors.dashscope.errors import FAILURE_CODES, parameters_in
from airflow_provider_wan.client.vendors.failures import Problem
from airflow_provider_wan.client.vendors.reading import (
    as_dict,
    id_of,
    rows_of,
    served_at,
    text_or_none,
    urls_in,
    usage_of,
)

VIDEO_GENERATION = "/api/v1/services/aigc/video-generation/video-synthesis"
IMAGE_TO_VIDEO = "/api/v1/services/aigc/image2video/video-synthesis"

SHARED_HOSTS = {
    "cn-beijing": "dashscope.aliyuncs.com",
    "ap-southeast-1": "dashscope-intl.aliyuncs.com",
    "us-east-1": "dashscope-us.aliyuncs.com",
    "cn-hongkong": "cn-hongkong.dashscope.aliyuncs.com",
}
REGIONS = ("ap-southeast-1", "cn-beijing", "us-east-1", "eu-central-1", "ap-northeast-1", "cn-hongkong")
DEFAULT_REGION = "ap-southeast-1"

LIST_SPAN = timedelta(hours=24)
"""The longest window of one list call, and how long the vendor keeps tasks at all."""

WORKSPACE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class DashScope(Vendor):
    """DashScope's video synthesis, with task list, cancel and temporary upload."""

    name = "dashscope"
    title = "DashScope"
    default_host = SHARED_HOSTS[DEFAULT_REGION]
    default_models = {
        Mode.TEXT_TO_VIDEO: "wan2.7-t2v",
        Mode.IMAGE_TO_VIDEO: "wan2.7-i2v",
        Mode.REFERENCE_TO_VIDEO: "wan2.7-r2v",
        Mode.VIDEO_EDIT: "wan2.7-videoedit",
    }
    statuses = {
        "pending": TaskStatus.PENDING,
        "suspended": TaskStatus.PENDING,
        "running": TaskStatus.RUNNING,
        "succeeded": TaskStatus.SUCCEEDED,
        "failed": TaskStatus.FAILED,
        "canceled": TaskStatus.CANCELLED,
        "cancelled": TaskStatus.CANCELLED,
        "unknown": TaskStatus.UNKNOWN,
    }
    # 20 queries and 5 submissions a second are allowed per main account, over all its keys. Three less stay below that
    # also when answers take half a second longer or shorter (tests/polling); two less do not.
    queries_per_second = 17.0
    submits_per_second = 4.0
    list_tells_time = True
    has_cancel = True
    connection_fields = frozenset({"region", "workspace_id"})
    regions = REGIONS
    upload_types = ("image/", "video/", "audio/", "application/", "text/")
    upload_lifetime = 48 * 3600.0
    upload_is_for_one_model = True
    upload_remark = "DashScope calls its temporary upload not for production"
    failure_codes = FAILURE_CODES
    moderation_words = ()
    plain_statuses = frozenset()
    cost_of_failure = " (failed tasks are not billed)"

    def is_workspace_id(self, text: str) -> bool:
        """Whether ``text`` can be the id of a workspace."""
        return WORKSPACE_ID.fullmatch(text) is not None

    def base_url(self, region: str | None, workspace_id: str | None) -> str:
        """Return the workspace's host when one is configured, else the region's shared host.

        :raises ValueError: for an unknown region, something that is no workspace id, or a region without a
            shared host when no workspace is given.
        """
        region = region or DEFAULT_REGION
        if region not in REGIONS:
            raise ValueError(f"region is one of {', '.join(REGIONS)}; given: {region!r}")
        if workspace_id:
            # It becomes part of the host that gets the key.
            if not self.is_workspace_id(workspace_id):
                raise ValueError(f"workspace_id looks like llm-xxxxxxxx; given: {workspace_id!r}")
            return f"https://{workspace_id}.{region}.maas.aliyuncs.com"
        if region not in SHARED_HOSTS:
            raise ValueError(f"region {region} has no shared host: set workspace_id in the connection's extra")
        return f"https://{SHARED_HOSTS[region]}"

    def region_of(self, account: Account) -> str | None:
        """Return the region of the account's host, else the one the connection names (a proxy tells none)."""
        host = urlsplit(account.base_url).hostname or ""
        own = re.fullmatch(r"[^.]+\.([a-z0-9-]+)\.maas\.aliyuncs\.com", host)
        if own and own[1] in REGIONS:
            return own[1]
        by_host = {shared: region for region, shared in SHARED_HOSTS.items()}
        return by_host.get(host) or account.region or DEFAULT_REGION

    def auth_headers(self, account: Account) -> dict[str, str]:
        """Return the bearer key and, when configured, the workspace."""
        headers = super().auth_headers(account)
        if account.workspace_id:
            headers["X-DashScope-WorkSpace"] = account.workspace_id
        return headers

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what DashScope cannot take."""
        if request.webhook_url:
            yield cannot(
                self.title,
                "webhook_url",
                request.webhook_url,
                "remove it (its events go to Alibaba EventBridge)",
            )
        images = [(field, url) for field, url in media_urls(request) if _is_image(field)]
        others = [(field, url) for field, url in media_urls(request) if not _is_image(field)]
        yield from check_schemes(self.title, images, ("http", "https", "oss", "data"))
        yield from check_schemes(self.title, others, ("http", "https", "oss"))
        yield from bodies.inline_limits(images)
        if legacy.speaks(model):
            yield from legacy.limits(request, model)

    def has_ratio(self, request: VideoRequest, model: str) -> bool:
        """Whether the model has a ratio in this mode."""
        return not bodies.follows_its_frame(request, model)

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return the asynchronous creation of a task."""
        model = self.model_of(request)
        body = legacy.body(request, model) if legacy.speaks(model) else bodies.body(request, model)
        body = merge(body, request.extra_body)
        headers = {"X-DashScope-Async": "enable"}
        if bodies.names_upload(body):
            headers["X-DashScope-OssResourceResolve"] = "enable"
        path = IMAGE_TO_VIDEO if legacy.uses_image_path(model) else VIDEO_GENERATION
        return Call("submit", "POST", path, headers=headers, json=body)

    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return the ids of ``{"output": {"task_id"}, "request_id"}``."""
        content = answer.json() or {}
        task_id = id_of(as_dict(content.get("output")).get("task_id"))
        return (task_id, _request_id(content, answer)) if task_id else None

    def task_call(self, handle: TaskHandle) -> Call:
        """Return ``GET /tasks/{id}``."""
        return Call("get_task", "GET", f"/api/v1/tasks/{path_part(handle.task_id)}")

    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task; the video may stand in ``output`` or in ``output.results``."""
        content = answer.json()
        output = as_dict(content.get("output")) if content else {}
        if content is None or "task_status" not in output:
            raise not_the_api(self.title, "get_task", answer, "without a task in it", handle.task_id)
        status = self.status_of(output["task_status"])
        usage = usage_of(content.get("usage"))
        urls = urls_in(output.get("video_url"), base_url) or urls_in(
            as_dict(output.get("results")).get("video_url"), base_url
        )
        zone = zone_of(output.get("submit_time"), handle.submitted_at)
        finished = local_time(output.get("end_time"), zone)
        return VideoTask(
            task_id=handle.task_id,
            vendor=self.name,
            mode=handle.mode,
            model=handle.model,
            status=status,
            raw_status=text_or_none(output["task_status"], 40),
            video_url=urls[0] if urls else None,
            video_urls=urls,
            url_expires_at=expiry(urls, finished),
            prompt=text_or_none(output.get("orig_prompt"), 20_000),
            actual_prompt=text_or_none(output.get("actual_prompt"), 20_000),
            submitted_at=local_time(output.get("submit_time"), zone) or handle.submitted_at,
            started_at=local_time(output.get("scheduled_time"), zone),
            finished_at=finished,
            usage=usage,
            request_id=_request_id(content, answer),
            error_code=text_or_none(output.get("code")),
            error_message=text_or_none(output.get("message")),
            **facts_of_usage(usage or {}),
        )

    def is_final(self, task: VideoTask) -> bool:
        """Take DashScope's own ``UNKNOWN`` as final: no such task for this account, or older than 24 h."""
        return super().is_final(task) or (task.raw_status or "").upper() == "UNKNOWN"

    def parameters_in(self, message: str, mode: Mode | None = None) -> tuple[str, ...]:
        """Return what ``input.…`` and ``parameters.…`` in a text, several joined by ``&``, are called here."""
        return parameters_in(message, mode)

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"code", "message", "request_id"}``, also inside a 200, or of an OpenAI envelope."""
        content = answer.json()
        if content is None:
            return None
        envelope = as_dict(content.get("error"))
        code = text_or_none(content.get("code") or envelope.get("code"))
        message = text_or_none(content.get("message") or content.get("msg") or envelope.get("message"))
        is_usable = bool(as_dict(content.get("output")))
        if 200 <= answer.status < 300 and (not code or code in ("200", "Success") or is_usable):
            return None
        return self.judge(answer.status, code, message, _request_id(content, answer))

    def key_call(self) -> Call:
        """Return a one-row task list: it needs a valid key and makes nothing."""
        return Call("test_connection", "GET", "/api/v1/tasks", params={"page_no": "1", "page_size": "1"})

    def page_call(self, wanted: TaskFilter, page: int) -> Call:
        """Return one page of at most the last 24 h of the window, which is told in China's time."""
        params = {"page_no": str(page), "page_size": str(wanted.page_size)}
        if wanted.since or wanted.until:
            # A little into the future: the vendor's clock may be ahead.
            until = wanted.until or datetime.now(UTC) + timedelta(minutes=5)
            earliest = until - LIST_SPAN
            params["start_time"] = compact_time(max(wanted.since or earliest, earliest))
            params["end_time"] = compact_time(until)
        if wanted.model:
            params["model_name"] = wanted.model
        return Call("list_tasks", "GET", "/api/v1/tasks", params=params)

    def read_page(self, answer: Answer, wanted: TaskFilter, page: int) -> TaskPage:
        """Return the rows of a page; they carry no prompt and no video."""
        content = answer.json() or {}
        rows, total, pages, size = (content.get(name) for name in ("data", "total", "total_page", "page_size"))
        rows = [] if rows is None and total == 0 else rows_of(rows)
        if rows is None:
            raise not_the_api(self.title, "list_tasks", answer, "without a list in it")
        # The vendor may give smaller pages than were asked for.
        full = size if isinstance(size, int) else wanted.page_size
        more = page < pages if isinstance(pages, int) else len(rows) >= full
        tasks = [self._row(row, task_id) for row in rows if (task_id := id_of(row.get("task_id")))]
        next_page = page + 1 if more and rows else None
        return TaskPage(tasks, next_page, total if isinstance(total, int) else None, served_at(answer))

    def _row(self, row: dict[str, Any], task_id: str) -> VideoTask:
        return VideoTask(
            task_id=task_id,
            vendor=self.name,
            model=text_or_none(row.get("model_name")),
            status=self.status_of(row.get("status")),
            raw_status=text_or_none(row.get("status"), 40),
            submitted_at=milliseconds(row.get("gmt_create")),
            started_at=milliseconds(row.get("start_time")),
            finished_at=milliseconds(row.get("end_time")),
            request_id=text_or_none(row.get("request_id")),
        )

    def cancel_call(self, handle: TaskHandle) -> Call:
        """Return the cancellation; the vendor takes it only while the task is queued."""
        return Call("cancel_task", "POST", f"/api/v1/tasks/{path_part(handle.task_id)}/cancel")

    def upload_call(self, upload: Upload) -> Call:
        """Return the request for an upload policy, which is bound to the model."""
        return Call("upload", "GET", "/api/v1/uploads", params={"action": "getPolicy", "model": upload.model})

    def upload_finish(self, answer: Answer, upload: Upload) -> tuple[Call | None, str]:
        """Return the form upload to the bucket and the ``oss://`` URL (48 h, same model only)."""
        content = answer.json() or {}
        policy = as_dict(content.get("data")) or as_dict(content.get("output"))
        host, directory = policy.get("upload_host"), policy.get("upload_dir")
        if not isinstance(host, str) or not is_web_url(host) or not isinstance(directory, str) or not directory:
            raise not_the_api(self.title, "upload", answer, "without an upload policy in it")
        # Numbers may come as strings.
        most = str(policy.get("max_file_size_mb"))
        if most.isdecimal() and upload.size > int(most) * 1024 * 1024:
            rule = f"has at most {most} MB at DashScope for {upload.model}"
            raise WanRequestError(violations=[Violation(upload.filename, rule, f"{upload.size} bytes", hard=True)])
        # Overwriting is forbidden under one policy, so the name is made unique; it becomes part of a URL.
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", upload.filename)[-100:]
        key = f"{directory}/{uuid.uuid4().hex[:8]}-{name}"
        form = {
            "OSSAccessKeyId": policy.get("oss_access_key_id"),
            "Signature": policy.get("signature"),
            "policy": policy.get("policy"),
            "key": key,
            "x-oss-object-acl": policy.get("x_oss_object_acl"),
            "x-oss-forbid-overwrite": policy.get("x_oss_forbid_overwrite"),
            "success_action_status": "200",
        }
        call = Call(
            "upload",
            "POST",
            host,
            data={name: str(value) for name, value in form.items() if value is not None},
            file=("file", upload.filename, upload.content, upload.content_type),
            auth=False,
            size=upload.size,
        )
        return call, f"oss://{key}"


def _is_image(field: str) -> bool:
    return field in ("first_frame", "last_frame") or (field.startswith("reference_images") and field.endswith("url"))


def _request_id(content: dict[str, Any], answer: Answer) -> str | None:
    return text_or_none(content.get("request_id")) or request_id_in(answer.headers)
