"""Hands render jobs to the render process and keeps the files; an answer never waits here, only a download does."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.world.directives import strip
from airflow_provider_wan.sandbox.world.tasks import Task


class Renderer:
    """Renders each video at its first download, in one low-priority process, into a directory that goes with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        # One thread talks to the process: jobs are done one after the other and the event loop never blocks.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-render")
        self._pending: dict[Path, asyncio.Future[None]] = {}
        self._done: set[Path] = set()

    async def file(self, task: Task) -> Path:
        """Return the path of the task's MP4, rendering it first if need be; raises ``RuntimeError`` if it cannot."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="wan-sandbox-"))
        job = self._job(task, self._directory)
        path = Path(job["path"])
        if path in self._done:
            return path
        if path not in self._pending:
            loop = asyncio.get_running_loop()
            self._pending[path] = loop.run_in_executor(self._thread, self._render, job)
        try:
            await asyncio.shield(self._pending[path])
        finally:
            self._pending.pop(path, None)
        self._done.add(path)
        return path

    def clear(self) -> None:
        """Forget the files; the next render starts a new directory."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        self._done.clear()

    def close(self) -> None:
        """End the render process and remove the files."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self.clear()

    def _job(self, task: Task, directory: Path) -> dict[str, Any]:
        order = task.order
        if self._settings.render == "small":
            path = directory / f"small-{order.seconds:g}.mp4"
            return {
                "path": str(path), "width": 160, "height": 90, "seconds": order.seconds, "prompt": "", "lines": [],
            }  # fmt: skip
        width, height = order.size
        ratio = f" {order.ratio}" if order.ratio else ""
        lines = [
            f"{order.mode} · {order.model} · {task.vendor}",
            f"{order.tier}{ratio} · {width}x{height} · {order.seconds:g} s",
            task.id,
        ]
        return {
            "path": str(directory / f"{task.id}.mp4"),
            "width": width,
            "height": height,
            "seconds": order.seconds,
            "prompt": strip(order.prompt)[:600],
            "lines": lines,
        }

    def _render(self, job: dict[str, Any]) -> None:
        """Have one job done, in the render thread; starts the process if there is none (or it died)."""
        process = self._process
        if process is None or process.poll() is not None:
            command = [sys.executable, "-m", "airflow_provider_wan.sandbox.video.render"]
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            self._process = process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the render process has no pipes")
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the render process ended before it answered")
        answer = json.loads(line)
        if not answer["ok"]:
            raise RuntimeError(f"rendering failed: {answer['error']}")
