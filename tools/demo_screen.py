"""What the demo prints: a block that updates in place on a terminal, plain lines anywhere else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TextIO

from tools.airflow_rest import name

MEANING = {
    None: "waiting for its turn",
    "deferred": "deferred: the model works, no worker is held",
    "up_for_retry": "will be retried",
}


@dataclass(frozen=True)
class Step:
    """One task instance as it is shown."""

    name: str
    file_name: str
    state: str | None

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> Self:
        index = f"-{task['map_index']}" if task["map_index"] >= 0 else ""
        return cls(name(task), f"{task['task_id']}{index}", task["state"])


class Screen:
    """Prints to `out`; times are seconds since it was made."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._live = out.isatty()
        self._block_height = 0
        self._last: dict[str, str | None] = {}

    def say(self, text: str) -> None:
        self._block_height = 0
        print(text, file=self._out, flush=True)

    def step(self, text: str) -> None:
        self.say(f"{self._clock()}  {text}")

    def progress(self, steps: Sequence[Step]) -> None:
        """Show the states of all tasks: redrawn on a terminal, else only what changed."""
        if self._live:
            self._redraw([f"        {step.name:<32} {_meaning(step)}" for step in steps])
        else:
            for step in steps:
                if self._last.get(step.name, "") != step.state and step.state is not None:
                    self.step(f"{step.name}: {_meaning(step)}")
        self._last = {step.name: step.state for step in steps}

    def _redraw(self, lines: Sequence[str]) -> None:
        width, height = shutil.get_terminal_size()
        up = f"\x1b[{self._block_height}F" if self._block_height else ""
        # A block that is higher than the screen could not be redrawn in place.
        shown = [f"{self._clock()}  {len(lines)} tasks", *lines][: max(height - 1, 1)]
        self._out.write(up + "".join(f"\x1b[2K{line[: width - 1]}\n" for line in shown) + "\x1b[J")
        self._out.flush()
        self._block_height = len(shown)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._start:5.1f}s"


def _meaning(step: Step) -> str:
    return MEANING.get(step.state, step.state or "")


def duration(start: str | None, end: str | None) -> float | None:
    """Seconds between two ISO 8601 times; None when one is missing."""
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [list(head), *[[str(cell or "") for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)
