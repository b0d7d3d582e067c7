"""A clip of 100 MB on its way to the vendor: memory and time of the operators' upload and of the official SDK's."""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av

from benchmarks.page import NOTHING, number, table, verdict
from benchmarks.results import save
from benchmarks.sandbox_process import KEY, SandboxProcess, connection

MB = 1024 * 1024
SIZE = 100 * MB - 1024
MODEL = "wan2.7-i2v"
WAYS = {
    "ours": "`WanHook.upload_file`: read once to check it, once to send it",
    "sdk": "`OssUtils.upload` of the official SDK",
}
EXTRA_MB = 20.0
"""The memory that is promised."""


def peak_mb() -> float:
    """The most memory that this process has had since it was last asked, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def ours(path: str, url: str) -> None:
    from airflow_provider_wan.hooks.wan import WanHook

    WanHook().upload_file(path, MODEL)


def sdk(path: str, url: str) -> None:
    import dashscope
    from dashscope.utils.oss_utils import OssUtils

    dashscope.base_http_api_url = f"{url}/api/v1"
    OssUtils.upload(model=MODEL, file_path=path, api_key=KEY)


def measure(way: str, small: str, large: str, url: str) -> dict[str, Any]:
    """Upload a small file, for what is imported and opened once, then the large one; runs in a process of its own."""
    upload = {"ours": ours, "sdk": sdk}[way]
    upload(small, url)
    forget_peak()
    before, cpu, began = peak_mb(), time.process_time(), time.monotonic()
    upload(large, url)
    return {"way": way, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "mb": peak_mb() - before}


def clip(path: Path, size: int) -> None:
    """Write a clip of three seconds, filled up to a size with a box that players pass over."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(24):
            for packet in stream.encode(av.VideoFrame(320, 240, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with path.open("ab") as file:
        left = size - file.tell()
        file.write(struct.pack(">I4s", left, b"free"))
        file.truncate(size)


def run_way(way: str, small: Path, large: Path, sandbox: SandboxProcess) -> dict[str, Any]:
    given = [way, str(small), str(large), sandbox.url]
    call = f"import json; from benchmarks.inputs import measure; print(json.dumps(measure(*{given!r})))"
    env = os.environ | {"AIRFLOW_CONN_WAN_DEFAULT": connection(sandbox.url, "dashscope"), "NO_PROXY": "127.0.0.1"}
    said = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True, env=env)
    row: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    print(row, flush=True)
    return row


def section(data: dict[str, Any]) -> str:
    lines = [
        [
            WAYS[row["way"]],
            number(row["mb"]),
            number(row["seconds"]),
            number(row["cpu"], 2),
            f"{verdict(row['mb'], EXTRA_MB)} (at most {EXTRA_MB:.0f} MB)" if row["way"] == "ours" else NOTHING,
        ]
        for row in data["rows"]
    ]
    return "\n\n".join(
        [
            "## A clip of 100 MB as an input",
            f"{data['size'] / MB:.0f} MB from the disk to the upload of the sandbox, on loopback; a small file went "
            "before, so that what is imported and opened once is not counted.",
            table(["way", "extra memory at most, MB", "s", "CPU, s", "promise"], lines),
        ]
    )


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, SandboxProcess() as sandbox:
        small, large = Path(folder, "small.mp4"), Path(folder, "large.mp4")
        clip(small, 64 * 1024)
        clip(large, SIZE)
        rows = [run_way(way, small, large, sandbox) for _ in range(3 if full else 1) for way in WAYS]
    save("inputs", {"rows": rows, "size": SIZE})


if __name__ == "__main__":
    main()
