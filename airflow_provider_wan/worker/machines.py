"""Paths that only one machine has, where Airflow runs tasks on several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ONE_MACHINE = frozenset({"LocalExecutor", "SequentialExecutor"})

WHAT_IS_LOST = {
    "ledger_path": "an attempt elsewhere does not find what is recorded there, and submits and pays again",
    "store_to": "the video lies on the machine that happened to store it, and an attempt elsewhere stores it again",
    "requests": "an attempt elsewhere does not find the rows",
    "manifest_path": "an attempt elsewhere begins another manifest",
}


def warn_of_local_paths(given: Mapping[str, Any], log: Any) -> None:
    """Say which of these parameters name a file or a folder of this machine alone, before anything is paid.

    :param given: parameters by name, rendered; those that are no path, or none, say nothing.
    """
    from airflow.providers.common.compat.sdk import conf

    executors = str(conf.get("core", "executor", fallback="LocalExecutor"))
    if all(name.strip().rpartition(".")[2] in ONE_MACHINE for name in executors.split(",")):
        return
    for name, path in given.items():
        if is_local(path):
            log.warning(
                "%s=%r is on the machine of this worker, and %s runs tasks on several: unless all of them mount "
                "the same folder there, %s. Name object storage instead",
                name,
                str(path),
                executors,
                WHAT_IS_LOST[name],
            )


def is_local(path: Any) -> bool:
    """Whether a path or URI is one of this machine's files."""
    text = path if isinstance(path, str) else str(path) if hasattr(path, "protocol") else ""
    text = text.strip()
    return bool(text) and (text.startswith(("file:", "local:")) or "://" not in text)
