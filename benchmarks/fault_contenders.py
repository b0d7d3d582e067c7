"""The ways to make one video from a prompt to a file; each is one attempt of an Airflow task, and may raise."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.driver import FileStore, Run
from benchmarks.sandbox_process import KEY, connection

VIDEO = {"resolution": "720P", "duration": 5}
MODEL = "wan2.7-t2v"
POLL_SECONDS = 1.0


def configure(name: str, url: str) -> None:
    """Point everything at the sandbox; called once in each process."""
    os.environ["AIRFLOW_CONN_WAN_DEFAULT"] = connection(url, vendor_of(name))
    if name == "sdk":
        from benchmarks.contenders.sdk import configure as configure_sdk

        configure_sdk(url, KEY)


def sdk(prompt: str, folder: Path, url: str) -> None:
    """The official SDK's one call that submits and waits, in a ``PythonOperator``."""
    from dashscope import VideoSynthesis

    done = VideoSynthesis.call(model=MODEL, prompt=prompt, **VIDEO)
    if done.status_code != 200 or done.output.task_status != "SUCCEEDED":
        raise RuntimeError(f"{done.status_code} {done.code} {done.output}")
    _download(done.output.video_url, folder)


def plain(prompt: str, folder: Path, url: str) -> None:
    """What people write with an HTTP client in a ``PythonOperator``: submit, poll, download, raise for any error."""
    headers = {"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable"}
    body = {"model": MODEL, "input": {"prompt": prompt}, "parameters": VIDEO}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30, trust_env=False) as http:
        answer = http.post("/services/aigc/video-generation/video-synthesis", json=body)
        task_id = answer.raise_for_status().json()["output"]["task_id"]
        while True:
            output = http.get(f"/tasks/{task_id}").raise_for_status().json()["output"]
            if output["task_status"] not in ("PENDING", "RUNNING"):
                break
            time.sleep(POLL_SECONDS)
    if output["task_status"] != "SUCCEEDED":
        raise RuntimeError(output["task_status"])
    _download(output["video_url"], folder)


def _download(url: str, folder: Path) -> None:
    answer = httpx.get(url, timeout=30, trust_env=False).raise_for_status()
    (folder / "video.mp4").write_bytes(answer.content)


def wan(prompt: str, folder: Path, url: str) -> None:
    """The provider's operator, deferrable and durable, as it is by default."""
    from airflow_provider_wan.operators.wan import WanTextToVideoOperator

    make = functools.partial(
        WanTextToVideoOperator,
        task_id="make",
        prompt=prompt,
        poll_interval=POLL_SECONDS,
        store_to=f"file://{folder}/video.mp4",
        **VIDEO,
    )
    Run(make, FileStore(folder)).attempt()


WAYS: dict[str, tuple[Any, str, str]] = {
    "sdk": (sdk, "dashscope", "`VideoSynthesis.call()` in a `PythonOperator`"),
    "plain": (plain, "dashscope", "an HTTP client in a `PythonOperator`"),
    "wan": (wan, "dashscope", "`WanTextToVideoOperator`, DashScope (task list)"),
    "wan, gccai": (wan, "gccai", "the same, GCCAI (idempotency key)"),
    "wan, powertokens": (wan, "powertokens", "the same, PowerTokens (neither)"),
}


def vendor_of(name: str) -> str:
    return WAYS[name][1]
