"""Inputs that the sandbox knows: its own results, what was uploaded to it, what is signed on this machine.

Nothing is ever fetched from another machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import httpx

from airflow_provider_wan.sandbox.front.bodies import web_or_image, web_url
from airflow_provider_wan.sandbox.video.picture import Size, data_url_size, image_size, video_seconds
from airflow_provider_wan.sandbox.world.world import World

OSS_DIRECTORY = "dashscope-instant/sandbox"
_INVALID = "The provided URL does not appear to be valid. Ensure it is correctly formatted."
_OWN_FILE = re.compile(r"/files/([A-Za-z0-9_-]+)\.mp4")
_OWN_ASSET = re.compile(r"/assets/([A-Za-z0-9_.-]+)")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SIGNATURES = frozenset({"signature", "sig", "x-amz-signature", "x-goog-signature", "x-oss-signature"})
FETCH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that was uploaded; ``model`` is what DashScope binds it to."""

    name: str
    content: bytes
    media_type: str
    size: Size | None
    seconds: float | None = None
    model: str | None = None


class UploadStore:
    """Knows sizes and lengths of the inputs that never left this machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._uploads: dict[str, UploadedFile] = {}

    def clear(self) -> None:
        """Forget the uploads."""
        self._uploads.clear()

    @property
    def all(self) -> list[UploadedFile]:
        """Everything that was uploaded or fetched, in order."""
        return list(self._uploads.values())

    def put(self, key: str, content: bytes, media_type: str, model: str | None = None) -> UploadedFile:
        """Keep an upload under ``key``."""
        seconds = video_seconds(content) if media_type.startswith("video/") else None
        upload = UploadedFile(key, content, media_type, image_size(content), seconds, model)
        self._uploads[key] = upload
        return upload

    def get(self, key: str) -> UploadedFile | None:
        """Return an upload."""
        return self._uploads.get(key)

    def size(self, url: str | None) -> Size | None:
        """Return the pixel size of an input, where it is known without fetching it."""
        if not url:
            return None
        if url.startswith("data:"):
            return data_url_size(url)
        upload = self._upload(url)
        if upload is not None:
            return upload.size
        task_id = _OWN_FILE.fullmatch(urlsplit(url).path)
        task = self._world.tasks.get(task_id[1]) if task_id else None
        return task.order.size if task else None

    def seconds(self, url: str) -> float:
        """Return the length of an input video; what is not known has the length that the settings assume."""
        known = self.known_seconds(url)
        return self._world.settings.input_video_seconds if known is None else known

    def known_seconds(self, url: str | None) -> float | None:
        """Return the length of an input video, where it is known without fetching it."""
        if not url:
            return None
        upload = self._upload(url)
        if upload is not None:
            return upload.seconds
        task_id = _OWN_FILE.fullmatch(urlsplit(url).path)
        task = self._world.tasks.get(task_id[1]) if task_id else None
        return task.order.seconds if task else None

    def check(self, model: str, *, resolve_oss: bool, images: bool) -> Callable[[str], str | None]:
        """Return DashScope's check of a media URL: web, ``oss://`` with the resolve header, image data URL."""

        def complain(url: str) -> str | None:
            if not url.startswith("oss://"):
                bad = (web_or_image if images else web_url)(url)
                if bad:
                    return f"is wrong: {_INVALID} ({bad})"
                is_missing = _is_signed_here(url) and self._upload(url) is None
                return "is wrong: Failed to find the requested media resource" if is_missing else None
            if not resolve_oss:
                return f"is wrong: {_INVALID} (oss:// needs X-DashScope-OssResourceResolve)"
            key = url.removeprefix("oss://")
            if not key.startswith(OSS_DIRECTORY):
                return None
            upload = self._uploads.get(key)
            if upload is None:
                return "is wrong: Failed to find the requested media resource"
            if upload.model != model:
                return f"is wrong: the file was uploaded for model {upload.model}, not for {model}"
            return None

        return complain

    def _upload(self, url: str) -> UploadedFile | None:
        if url.startswith("oss://"):
            return self._uploads.get(url.removeprefix("oss://"))
        path = urlsplit(url).path
        name = _OWN_ASSET.fullmatch(path)
        if name:
            return self._uploads.get(name[1])
        return self._fetched(url) if _is_signed_here(url) else None

    def _fetched(self, url: str) -> UploadedFile | None:
        """Fetch what a storage on this machine has signed an address of, once."""
        key = url.partition("?")[0]
        if key not in self._uploads:
            try:
                answer = httpx.get(url, timeout=FETCH_SECONDS, trust_env=False, verify=False)  # noqa: S501 - loopback
            except httpx.HTTPError:
                return None
            if answer.status_code != 200:
                return None
            kind = answer.headers.get("content-type", "application/octet-stream")
            self.put(key, answer.content, "video/mp4" if answer.content[4:8] == b"ftyp" else kind)
        return self._uploads[key]


def _is_signed_here(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname not in _LOOPBACK or _OWN_FILE.fullmatch(parts.path):
        return False
    return any(name.lower() in _SIGNATURES for name, _ in parse_qsl(parts.query))
