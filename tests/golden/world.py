"""What is at the vendor and in the storage while a test goes on from a golden file."""

from __future__ import annotations

from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_wan.sandbox import Sandbox

from .driving import Attempt, Deferral

ADDRESS = "http://127.0.0.1:9"
"""Where the sandbox stood when the golden files were written."""

KEY = "sk-golden-5b1e7702aa"
VENDORS = ("dashscope", "gccai", "powertokens", "freepik")
OVER = {"SUCCEEDED", "FAILED", "CANCELED"}


class World:
    """The sandbox and the storage, as a test sees them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def created(self) -> list[str]:
        """The prompts of all tasks that were made."""
        return sorted(task["prompt"] for task in self.sandbox.ledger()["created"])

    @property
    def cancels(self) -> list[str]:
        """The ids of all tasks that somebody tried to cancel."""
        return [entry["task_id"] for entry in self.sandbox.ledger()["cancels"]]

    def runs_long(self) -> None:
        """Let tasks run until a test ends them."""
        self.sandbox.configure(generation_seconds=600)

    def end(self, task_id: str, change: str = "finish", **given: Any) -> None:
        self.sandbox.change(task_id, change, **given)

    def all_over(self) -> None:
        """Wait until no task is open any more."""
        self.sandbox.wait_for(lambda books: all(task["status"] in OVER for task in books["created"]))

    def submitted(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Make a task of a golden entry's request, as if an earlier attempt had; return its handle."""
        found = Attempt(entry["operator"], entry["arguments"] | {"wait_for_completion": True}).step()
        assert isinstance(found, Deferral)
        return dict(found.kwargs["handle"])

    def put(self, uri: str, size: int) -> None:
        """Put a file of so many bytes into the storage."""
        ObjectStoragePath(uri).write_bytes(b"\0" * size)
