"""Where measurements are kept: one JSON file for each benchmark, from which the page is written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "results"
PACKAGES = (
    "apache-airflow",
    "httpx",
    "dashscope",
    "apache-airflow-providers-http",
    "apache-airflow-providers-openai",
    "apache-airflow-providers-common-ai",
)


def save(name: str, data: dict[str, Any]) -> None:
    """Keep one benchmark's measurements, with what they were made on."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"made_on": made_on(), **data}, indent=1, sort_keys=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")


def load(name: str) -> dict[str, Any] | None:
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def made_on() -> dict[str, Any]:
    """The machine, the versions and the moment."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "commit": _commit(),
        "load": os.getloadavg()[0],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    argv = ["git", "rev-parse", "--short", "HEAD"]
    said = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
