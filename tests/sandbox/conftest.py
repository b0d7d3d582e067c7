from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import httpx
import pytest

from airflow_provider_wan.sandbox import Sandbox

KEY = "sk-test-sandbox-key"


class Clip(NamedTuple):
    width: int
    height: int
    seconds: float
    codec: str
    pixels: str


def probe(content: bytes) -> Clip:
    """Read an MP4 to its last frame."""
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        assert frames == stream.frames
        context = stream.codec_context
        assert container.duration is not None
        return Clip(context.width, context.height, container.duration / 1e6, context.name, str(context.pix_fmt))


class Wire:
    """Talks to the sandbox as a client of each vendor would, over plain HTTP."""

    def __init__(self, sandbox: Sandbox, key: str = KEY) -> None:
        self.sandbox = sandbox
        bearer = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=sandbox.url, headers=bearer, timeout=20, trust_env=False, verify=False)
        self.freepik = httpx.Client(
            base_url=sandbox.url, headers={"x-magnific-api-key": key}, timeout=20, trust_env=False, verify=False
        )
        self.plain = httpx.Client(
            base_url=sandbox.url, timeout=20, trust_env=False, verify=False, follow_redirects=True
        )

    def close(self) -> None:
        for client in (self.http, self.freepik, self.plain):
            client.close()

    def create(
        self,
        prompt: str | None = "A paper boat",
        *,
        model: str = "wan2.7-t2v",
        media: list[dict[str, Any]] | None = None,
        path: str = "video-generation",
        headers: dict[str, str] | None = None,
        input: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> httpx.Response:
        """Submit to DashScope."""
        given = {"prompt": prompt, "media": media, **(input or {})}
        body = {
            "model": model,
            "input": {name: value for name, value in given.items() if value is not None},
            "parameters": parameters,
        }
        sent = {"X-DashScope-Async": "enable", **(headers or {})}
        return self.http.post(f"/api/v1/services/aigc/{path}/video-synthesis", json=body, headers=sent)

    def made(self, *args: Any, **kwargs: Any) -> str:
        """Submit to DashScope and return the task id."""
        answer = self.create(*args, **kwargs)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["output"]["task_id"])

    def fetch(self, task_id: str) -> dict[str, Any]:
        """Query DashScope."""
        answer = self.http.get(f"/api/v1/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def status(self, task_id: str) -> str:
        return str(self.fetch(task_id)["output"]["task_status"])

    def wait(self, task_id: str) -> None:
        """Wait until the task is over."""
        over = {"SUCCEEDED", "FAILED", "CANCELED"}
        self.sandbox.wait_for(
            lambda ledger: any(t["task_id"] == task_id and t["status"] in over for t in ledger["created"])
        )

    def finished(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Submit to DashScope, wait, and return the final answer."""
        task_id = self.made(*args, **kwargs)
        self.wait(task_id)
        return self.fetch(task_id)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(generation_seconds=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    wire = Wire(sandbox)
    yield wire
    wire.close()


@pytest.fixture(scope="session")
def png() -> bytes:
    """A picture that is twice as high as it is wide."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (300, 600), (200, 80, 20)).save(buffer, "PNG")
    return buffer.getvalue()
