"""What a soak counts while it runs, and what its end is judged by: the files, the records and the vendor's books."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_wan.durable import Ledger

from .settings import Soak
from .store import store_of

VIDEO_BEGINS = b"ftyp"


@dataclass
class Tally:
    """Counts of one run; ``failures`` are attempts that failed, ``lost`` the videos that were given up, with why."""

    counts: Counter[str] = field(default_factory=Counter)
    come_backs: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    lost: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """One vendor's videos against its books.

    :param twice: prompts that more than one task was made for, or billed for.
    :param damaged: files that are not the video.
    :param foreign: files that come from a task of another prompt.
    """

    vendor: str
    wanted: int
    delivered: int
    billed: int
    made: int
    twice: int
    cancels: int
    damaged: int
    foreign: int
    strange_files: int
    requests: dict[str, dict[str, int]]

    @property
    def asked(self) -> int:
        """Queries and pages of the list that were answered, one way or other."""
        return sum(sum(self.requests.get(call, {}).values()) for call in ("query", "list"))

    @property
    def throttled(self) -> dict[str, int]:
        return {call: outcomes["429"] for call, outcomes in self.requests.items() if "429" in outcomes}

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing paid twice, nothing left over."""
        whole = self.delivered == self.billed == self.made == self.wanted
        return whole and not (self.twice or self.cancels or self.damaged or self.foreign or self.strange_files)


def judged(soak: Soak, vendor: str, folder: Path, books: dict[str, Any]) -> Verdict:
    """Compare what lies on disk with what the vendor made and billed; all its tasks have ended."""
    made = Counter(task["prompt"] for task in books["created"] if task["vendor"] == vendor)
    billed = Counter(task["prompt"] for task in books["billed"] if task["vendor"] == vendor)
    prompts = {task["task_id"]: task["prompt"] for task in books["created"]}
    files = {path.name: path for path in (folder / "videos").glob(f"*{vendor}-*")}
    # All videos of one length are the same in the sandbox's small rendering.
    right = Counter(_digest(path) for path in files.values()).most_common(1)
    delivered = damaged = foreign = 0
    for number in range(soak.each):
        path = files.pop(f"{vendor}-{number}.mp4", None)
        if path is None:
            continue
        is_whole = _digest(path) == right[0][0] and path.read_bytes()[4:8] == VIDEO_BEGINS
        is_own = prompts.get(_recorded(folder, f"{vendor}-{number}")) == soak.prompt(vendor, number)
        damaged += not is_whole
        foreign += not is_own
        delivered += is_whole and is_own
    return Verdict(
        vendor=vendor,
        wanted=soak.each,
        delivered=delivered,
        billed=billed.total(),
        made=made.total(),
        twice=sum(max(made[prompt], billed[prompt]) > 1 for prompt in made),
        cancels=sum(entry["vendor"] == vendor for entry in books["cancels"]),
        damaged=damaged,
        foreign=foreign,
        strange_files=len(files),
        requests=books["requests"].get(vendor, {}),
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _recorded(folder: Path, key: str) -> str:
    """The id of the task that a video's record names."""
    record = Ledger(store_of(folder, key, has_ledger=(folder / "ledger").exists())).read()
    assert record is not None
    assert record.handle is not None
    return record.handle.task_id
