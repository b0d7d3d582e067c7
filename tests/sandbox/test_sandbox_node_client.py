"""Vercel's AI SDK with its Alibaba provider makes videos at the sandbox; left out where Node.js is missing."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.sandbox import Sandbox

from .conftest import KEY, probe

SOURCE = Path(__file__).parent / "node_client"
FILES = ("package.json", "package-lock.json", "generate.mjs")
IMAGE = "https://media.example.com/a.png"
INSTALL_SECONDS = 180

# One process installs the packages, and it installs them once.
pytestmark = pytest.mark.xdist_group("node")


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Path:
    """Install the pinned packages into pytest's cache, once for each content of the lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("node_client")
    wanted = "".join((SOURCE / name).read_text() for name in FILES)
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        for name in FILES:
            shutil.copy(SOURCE / name, folder / name)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install the packages within {INSTALL_SECONDS} s")
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip()[-300:]
            pytest.skip(f"npm could not install the packages (exit status {done.returncode}): {why}")
        stamp.write_text(wanted)
    return folder


@pytest.fixture
def generate(installed: Path, sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    def run(**request: Any) -> dict[str, Any]:
        command = ["node", "generate.mjs", sandbox.url, KEY, json.dumps(request)]
        done = subprocess.run(command, cwd=installed, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run


def media(kind: str) -> dict[str, Any]:
    return {"alibaba": {"media": [{"type": kind, "url": IMAGE}]}}


@pytest.mark.parametrize(
    ("request_", "mode"),
    [
        ({"model": "wan2.7-t2v", "duration": 3, "resolution": "1280x720"}, "text_to_video"),
        ({"model": "wan2.7-r2v", "providerOptions": media("reference_image")}, "reference_to_video"),
        ({"model": "wan3.0-video", "duration": 2}, "text_to_video"),
        ({"model": "wan3.0-video", "providerOptions": media("first_frame")}, "image_to_video"),
    ],
)
def test_ai_sdk_creates_polls_and_downloads(
    generate: Callable[..., dict[str, Any]], sandbox: Sandbox, request_: dict[str, Any], mode: str
) -> None:
    result = generate(prompt="A paper boat", **request_)
    assert result.get("mediaType") == "video/mp4", result
    (task,) = sandbox.tasks()
    assert (task["mode"], task["status"], task["ignored_fields"]) == (mode, "SUCCEEDED", [])
    clip = probe(base64.b64decode(result["base64"]))
    assert (clip.width, clip.height, clip.seconds) == (task["width"], task["height"], task["seconds"])


def test_ai_sdk_tells_what_was_wrong(generate: Callable[..., dict[str, Any]]) -> None:
    result = generate(model="wan2.7-t2v", prompt="x", duration=1)
    assert "Duration should be between 2 and 15" in result["message"]
