"""DashScope's temporary uploads: a policy for five minutes, a multipart form for object storage, an ``oss://`` URL.

Follows help.aliyun.com/zh/model-studio/get-temporary-file-url.
"""

from __future__ import annotations

import base64
import json
import uuid

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_wan.sandbox.front.answers import Refusal, Reply, oss_error
from airflow_provider_wan.sandbox.front.gateway import ApiCall, Gateway
from airflow_provider_wan.sandbox.front.uploads import OSS_DIRECTORY, UploadStore

POLICY_SECONDS = 300


class UploadPolicies:
    """Gives out policies and takes the files that come under them."""

    def __init__(self, gateway: Gateway, uploads: UploadStore) -> None:
        self._gateway = gateway
        self._uploads = uploads
        self._policies: dict[str, tuple[str, float]] = {}

    def clear(self) -> None:
        """Forget the policies."""
        self._policies.clear()

    def policy(self, call: ApiCall) -> Reply:
        """Answer ``getPolicy``: permission to upload under one directory, for one model."""
        query = call.request.query_params
        if query.get("action") != "getPolicy" or not query.get("model"):
            raise Refusal(400, "InvalidParameter", "action=getPolicy and model are required.")
        directory = f"{OSS_DIRECTORY}/{uuid.uuid4().hex}"
        self._policies[directory] = (query["model"], self._gateway.world.now() + POLICY_SECONDS)
        policy = base64.b64encode(json.dumps({"dir": directory}).encode()).decode()
        data = {
            "policy": policy,
            "signature": "c2FuZGJveA==",
            "upload_dir": directory,
            "upload_host": f"{self._gateway.base_url()}/oss-upload",
            "expire_in_seconds": POLICY_SECONDS,
            "max_file_size_mb": 100,
            "capacity_limit_mb": 999999999,
            "oss_access_key_id": "LTAI-SANDBOX",
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }
        return Reply(200, {"request_id": call.request_id, "data": data})

    async def receive(self, request: Request) -> Response:
        """Take a multipart upload under a policy, as OSS does."""
        if "authorization" in request.headers:
            return self._no("InvalidArgument", "Only one auth mechanism is allowed.", 400)
        async with request.form() as form:
            key, upload = str(form.get("key") or ""), form.get("file")
            directory, _, name = key.rpartition("/")
            model, ends = self._policies.get(directory, ("", 0.0))
            needed = ("OSSAccessKeyId", "Signature", "policy", "x-oss-object-acl", "x-oss-forbid-overwrite")
            if not model or not name or any(not form.get(field) for field in needed):
                return self._no("AccessDenied", "Invalid according to Policy.", 403)
            if self._gateway.world.now() > ends:
                return self._no("AccessDenied", "Invalid according to Policy: Policy expired.", 403)
            if upload is None or isinstance(upload, str) or list(form)[-1] != "file":
                return self._no("InvalidArgument", "The file must be the last form field.", 400)
            if self._uploads.get(key) is not None:
                return self._no("FileAlreadyExists", "The object you specified already exists.", 409)
            content = await upload.read()
            self._uploads.put(key, content, upload.content_type or "application/octet-stream", model)
        self._gateway.count("dashscope", "upload", "200")
        return Response(status_code=int(str(form.get("success_action_status") or 204)))

    def _no(self, code: str, message: str, status: int) -> Response:
        self._gateway.count("dashscope", "upload", str(status))
        return oss_error(code, message, status)
