"""Alibaba Cloud Model Studio (DashScope), Qwen Cloud.

Follows https://help.aliyun.com/zh/model-studio/text-to-video-api-reference and its siblings for
image-to-video, reference-to-video and video editing, .../wan3-video-generation-api-reference,
.../manage-asynchronous-tasks, .../get-temporary-file-url and .../error-code.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.exchange import Account, Answer, Call, not_the_api
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    Reference,
    ReferenceToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.rules import Family, family_of
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.vendors import dashscope_legacy as legacy
from airflow_provider_wan.client.vendors.base import (
    Failure,
    Problem,
    TaskFilter,
    TaskPage,
    Upload,
    Vendor,
    as_dict,
    cannot,
    check_schemes,
    classify,
    default_failure,
    merge,
    path_part,
    text_or_none,
    urls_in,
    without_none,
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

CHINA_TIME = timezone(timedelta(hours=8))
"""DashScope's times carry no zone; its own sample events prove that they are China's."""

LIST_SPAN = timedelta(hours=24)


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
    # 20 queries and 5 submissions a second are allowed per main account, over all its keys; keep headroom.
    queries_per_second = 15.0
    submits_per_second = 4.0
    has_list = True
    list_tells_time = True
    has_cancel = True
    upload_types = ("image/", "video/", "audio/", "application/", "text/")
    failure_codes = (
        ("Throttling.AllocationQuota", Failure.THROTTLED),
        ("DataInspectionFailed", Failure.MODERATION),
        ("data_inspection_failed", Failure.MODERATION),
        ("IPInfringementSuspect", Failure.MODERATION),
        ("CustomRoleBlocked", Failure.MODERATION),
        ("FaqRuleBlocked", Failure.MODERATION),
        ("~green network verification", Failure.MODERATION),
        ("Arrearage", Failure.BILLING),
        ("CommodityNotPurchased", Failure.BILLING),
        ("PrepaidBillOverdue", Failure.BILLING),
        ("PostpaidBillOverdue", Failure.BILLING),
        ("AllocationQuota.FreeTierOnly", Failure.BILLING),
        ("~free allocated quota exceeded", Failure.BILLING),
        ("Throttling", Failure.THROTTLED),
        ("LimitRequests", Failure.THROTTLED),
        ("ResourceExhausted", Failure.THROTTLED),
        ("limit_", Failure.THROTTLED),
        ("insufficient_quota", Failure.THROTTLED),
        ("ServiceOverloaded", Failure.THROTTLED),
        ("InvalidApiKey", Failure.AUTH),
        ("invalid_api_key", Failure.AUTH),
        ("NOT AUTHORIZED", Failure.AUTH),
        ("AccessDenied", Failure.AUTH),
        ("access_denied", Failure.AUTH),
        ("Model.AccessDenied", Failure.AUTH),
        ("Workspace.AccessDenied", Failure.AUTH),
        ("App.AccessDenied", Failure.AUTH),
        ("Endpoint.AccessDenied", Failure.AUTH),
        # The vendor's servers could not fetch the media, or were slow: worth another try.
        ("InvalidParameter.DataInspection", Failure.SERVER),
        ("~failed to download", Failure.SERVER),
        ("~download the media resource timed out", Failure.SERVER),
        ("~oss download error", Failure.SERVER),
        ("~download image failed", Failure.SERVER),
        ("~request timeout after", Failure.SERVER),
        ("InvalidURL.ConnectionRefused", Failure.SERVER),
        ("InvalidURL.Timeout", Failure.SERVER),
        ("InvalidFile.DownloadFailed", Failure.SERVER),
        ("BadRequest.InputDownloadFailed", Failure.SERVER),
        ("InternalError", Failure.SERVER),
        ("SystemError", Failure.SERVER),
        ("ModelServiceFailed", Failure.SERVER),
        ("RewriteFailed", Failure.SERVER),
        ("Invalid", Failure.REQUEST),
        ("BadRequest", Failure.REQUEST),
        ("UnsupportedOperation", Failure.REQUEST),
        ("ModelNotFound", Failure.REQUEST),
        ("Model.NotExist", Failure.REQUEST),
    )

    def base_url(self, region: str | None, workspace_id: str | None) -> str:
        """Return the workspace's host when one is configured, else the region's shared host.

        :raises ValueError: for a region without a shared host when no workspace is given.
        """
        region = region or DEFAULT_REGION
        if workspace_id:
            return f"https://{workspace_id}.{region}.maas.aliyuncs.com"
        if region not in SHARED_HOSTS:
            raise ValueError(f"region {region} has no shared host: set workspace_id in the connection's extra")
        return f"https://{SHARED_HOSTS[region]}"

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
        if legacy.speaks(model):
            yield from legacy.limits(request, model)

    def remarks(self, request: VideoRequest, model: str) -> Iterator[str]:
        """Yield what is accepted but has no effect."""
        if isinstance(request, ImageToVideoRequest) and request.ratio and family_of(model) is Family.WAN_2_7:
            yield f"ratio {request.ratio} is not sent: the video follows the first frame or clip"
        if isinstance(request, ReferenceToVideoRequest) and request.ratio and request.first_frame:
            yield f"ratio {request.ratio} has no effect: the video follows first_frame"

    def submit(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return the asynchronous creation of a task."""
        model = self.model_of(request)
        body = legacy.body(request, model) if legacy.speaks(model) else _body(request, model)
        headers = {"X-DashScope-Async": "enable"}
        if any(url.startswith("oss://") for _, url in media_urls(request)):
            headers["X-DashScope-OssResourceResolve"] = "enable"
        path = IMAGE_TO_VIDEO if legacy.uses_image_path(model) else VIDEO_GENERATION
        return Call("submit", "POST", path, headers=headers, json=merge(body, request.extra_body))

    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return the ids of ``{"output": {"task_id"}, "request_id"}``."""
        content = answer.json() or {}
        task_id = as_dict(content.get("output")).get("task_id")
        return (str(task_id), text_or_none(content.get("request_id"))) if task_id else None

    def get_task(self, handle: TaskHandle) -> Call:
        """Return ``GET /tasks/{id}``."""
        return Call("get_task", "GET", f"/api/v1/tasks/{path_part(handle.task_id)}")

    def read_task(self, answer: Answer, handle: TaskHandle) -> VideoTask:
        """Return the task; the video may stand in ``output`` or in ``output.results``."""
        content = answer.json()
        output = as_dict(content.get("output")) if content else {}
        if content is None or "task_status" not in output:
            raise not_the_api(self.title, "get_task", answer, "without a task in it", handle.task_id)
        status = self.status_of(output["task_status"])
        usage = as_dict(content.get("usage")) or None
        urls = urls_in(output.get("video_url")) or urls_in(as_dict(output.get("results")).get("video_url"))
        finished = china_time(output.get("end_time"))
        return VideoTask(
            task_id=handle.task_id,
            vendor=self.name,
            mode=handle.mode,
            model=handle.model,
            status=status,
            raw_status=text_or_none(output["task_status"], 40),
            video_url=urls[0] if urls else None,
            video_urls=urls,
            url_expires_at=_expiry(urls, finished),
            prompt=text_or_none(output.get("orig_prompt"), 20_000),
            actual_prompt=text_or_none(output.get("actual_prompt"), 20_000),
            submitted_at=china_time(output.get("submit_time")) or handle.submitted_at,
            started_at=china_time(output.get("scheduled_time")),
            finished_at=finished,
            usage=usage,
            request_id=text_or_none(content.get("request_id")),
            error_code=text_or_none(output.get("code")),
            error_message=text_or_none(output.get("message")),
            **_from_usage(usage or {}),
        )

    def is_final(self, task: VideoTask) -> bool:
        """Take DashScope's own ``UNKNOWN`` as final: no such task for this account, or older than 24 h."""
        return super().is_final(task) or (task.raw_status or "").upper() == "UNKNOWN"

    def problem(self, answer: Answer) -> Problem | None:
        """Return the error of ``{"code", "message", "request_id"}``, also inside a 200, or of an OpenAI envelope."""
        content = answer.json()
        if content is None:
            return None
        envelope = as_dict(content.get("error"))
        code = text_or_none(content.get("code") or envelope.get("code"))
        message = text_or_none(content.get("message") or content.get("msg") or envelope.get("message"))
        is_good = 200 <= answer.status < 300 and (not code or code in ("200", "Success") or "output" in content)
        if is_good or (code is None and message is None):
            return None
        request_id = text_or_none(content.get("request_id")) or answer.headers.get("x-request-id")
        fallback = default_failure(answer.status) if answer.status >= 400 else Failure.REQUEST
        failure = classify(self.failure_codes, code, message, fallback)
        if answer.status >= 500 and failure is Failure.REQUEST:
            failure = Failure.SERVER
        if code == "Throttling.AllocationQuota" and "free" in (message or "").lower():
            failure = Failure.BILLING
        return Problem(failure, code, message or "no message", request_id)

    def key_check(self) -> Call:
        """Return a one-row task list: it needs a valid key and makes nothing."""
        return Call("test_connection", "GET", "/api/v1/tasks", params={"page_no": "1", "page_size": "1"})

    def list_tasks(self, wanted: TaskFilter, page: int) -> Call:
        """Return one page of at most 24 h of tasks; the window is told in China's time."""
        params = {
            "page_no": str(page),
            "page_size": str(wanted.page_size),
            "start_time": _compact(wanted.since),
        }
        until = wanted.until or datetime.now(UTC) + timedelta(minutes=5)
        params["end_time"] = _compact(min(until, wanted.since + LIST_SPAN))
        if wanted.model:
            params["model_name"] = wanted.model
        return Call("list_tasks", "GET", "/api/v1/tasks", params=params)

    def read_page(self, answer: Answer, wanted: TaskFilter, page: int) -> TaskPage:
        """Return the rows of a page; they carry no prompt and no video."""
        content = answer.json()
        rows = content.get("data") if content else None
        if content is None or not isinstance(rows, list):
            raise not_the_api(self.title, "list_tasks", answer, "without a list in it")
        pages = content.get("total_page")
        more = page < pages if isinstance(pages, int) else len(rows) >= wanted.page_size
        total = content.get("total")
        tasks = [self._row(row) for row in rows if isinstance(row, dict) and row.get("task_id")]
        return TaskPage(tasks, page + 1 if more and rows else None, total if isinstance(total, int) else None)

    def _row(self, row: dict[str, Any]) -> VideoTask:
        return VideoTask(
            task_id=str(row["task_id"]),
            vendor=self.name,
            model=text_or_none(row.get("model_name")),
            status=self.status_of(row.get("status")),
            raw_status=text_or_none(row.get("status"), 40),
            submitted_at=_milliseconds(row.get("gmt_create")),
            started_at=_milliseconds(row.get("start_time")),
            finished_at=_milliseconds(row.get("end_time")),
            request_id=text_or_none(row.get("request_id")),
        )

    def cancel(self, handle: TaskHandle) -> Call:
        """Return the cancellation; the vendor takes it only while the task is queued."""
        return Call("cancel_task", "POST", f"/api/v1/tasks/{path_part(handle.task_id)}/cancel")

    def upload_start(self, upload: Upload) -> Call:
        """Return the request for an upload policy, which is bound to the model."""
        return Call("upload", "GET", "/api/v1/uploads", params={"action": "getPolicy", "model": upload.model})

    def upload_finish(self, answer: Answer, upload: Upload) -> tuple[Call | None, str]:
        """Return the form upload to the bucket and the ``oss://`` URL (48 h, same model only)."""
        content = answer.json() or {}
        policy = as_dict(content.get("data")) or as_dict(content.get("output"))
        if not policy.get("upload_host") or not policy.get("upload_dir"):
            raise not_the_api(self.title, "upload", answer, "without an upload policy in it")
        # Overwriting is forbidden under one policy, so the name is made unique.
        key = f"{policy['upload_dir']}/{uuid.uuid4().hex[:8]}-{upload.filename}"
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
            str(policy["upload_host"]),
            data={name: str(value) for name, value in form.items() if value is not None},
            file=("file", upload.filename, upload.content, upload.content_type),
            auth=False,
        )
        return call, f"oss://{key}"


def _is_image(field: str) -> bool:
    return field in ("first_frame", "last_frame") or (field.startswith("reference_images") and field.endswith("url"))


def _body(request: VideoRequest, model: str) -> dict[str, Any]:
    is_3 = family_of(model) is Family.WAN_3_0
    media = list(_media(request, is_3))
    ratio = request.ratio
    if isinstance(request, ImageToVideoRequest) and not is_3:
        ratio = None
    return {
        "model": model,
        "input": without_none(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            audio_url=getattr(request, "audio_url", None),
            media=media or None,
        ),
        "parameters": without_none(
            resolution=request.resolution,
            ratio=ratio,
            duration=request.duration,
            audio=request.generate_audio,
            prompt_extend=request.prompt_extend,
            watermark=request.watermark,
            seed=request.seed,
            audio_setting=getattr(request, "audio_setting", None),
        ),
    }


def _media(request: VideoRequest, is_3: bool) -> Iterator[dict[str, str]]:
    match request:
        case ImageToVideoRequest():
            for kind in ("first_frame", "first_clip", "last_frame", "driving_audio"):
                url = getattr(request, kind)
                if url:
                    yield {"type": kind, "url": url}
        case ReferenceToVideoRequest():
            yield from _references("reference_image", request.reference_images)
            yield from _references("reference_video", request.reference_videos)
            yield from ({"type": "reference_audio", "url": url} for url in request.reference_audios)
            for kind, url in (
                ("file", request.document),
                ("link", request.link),
                ("first_frame", request.first_frame),
            ):
                if url:
                    yield {"type": kind, "url": url}
        case VideoEditRequest():
            if request.video:
                yield {"type": "reference_video" if is_3 else "video", "url": request.video}
            yield from _references("reference_image", request.reference_images)


def _references(kind: str, items: list[Reference]) -> Iterator[dict[str, str]]:
    for item in items:
        yield without_none(type=kind, url=item.url, reference_voice=item.voice)


def china_time(value: object) -> datetime | None:
    """Read ``YYYY-MM-DD HH:mm:ss.SSS`` in China's time; anything else is ``None``."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=CHINA_TIME)).astimezone(UTC)


def _compact(when: datetime) -> str:
    return when.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S")


def _milliseconds(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _expiry(urls: list[str], finished: datetime | None) -> datetime | None:
    """Read ``Expires`` of the signed URL, else count 24 h from the end."""
    from urllib.parse import parse_qs

    if not urls:
        return None
    stamp = parse_qs(urlsplit(urls[0]).query).get("Expires", [""])[0]
    if stamp.isdigit():
        try:
            return datetime.fromtimestamp(int(stamp), UTC)
        except (ValueError, OverflowError, OSError):
            return None
    return finished + timedelta(hours=24) if finished else None


def _from_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Read tier, ratio and length of the video; the field names differ by family."""
    found: dict[str, Any] = {}
    tier = str(usage.get("SR") or "").rstrip("Pp")
    if tier.isdigit():
        found["resolution"] = f"{tier}P"
    ratio = usage.get("ratio")
    if isinstance(ratio, str) and ":" in ratio:
        found["ratio"] = ratio
    for name in ("output_video_duration", "video_duration", "duration"):
        value = usage.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
            found["duration"] = value
            break
    return found
