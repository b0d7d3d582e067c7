"""What the sandbox knows about one generation, whichever vendor's API it came through."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_wan.sandbox.world.directives import Directives

MODES = ("text_to_video", "image_to_video", "reference_to_video", "video_edit")


class Status(StrEnum):
    """Where a generation stands; each vendor has its own words for these."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """Why a generation fails, in DashScope's codes; the other vendors translate."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Order:
    """A validated request: what is to be made, and what of the wire must come back in the answers."""

    mode: str
    model: str
    prompt: str
    tier: str
    size: tuple[int, int]
    seconds: float
    input_seconds: float = 0.0
    ratio: str | None = None
    # Set where the task takes its turn, and fails.
    failure: TaskFailure | None = None
    # Set where the vendor takes the body and finds right after, without a turn, what is wrong with it.
    rejected: str | None = None
    webhook_url: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    unknown_fields: tuple[str, ...] = ()

    @property
    def billed_seconds(self) -> float:
        """Seconds on the bill: what was made, and what was read where the vendor charges for that."""
        return self.seconds + self.input_seconds


@dataclass(eq=False, slots=True)
class Task:
    """One generation and its state; only ``World`` changes it."""

    id: str
    vendor: str
    account: str
    order: Order
    directives: Directives
    request_id: str
    created: float
    ready: float
    status: Status = Status.PENDING
    held: bool = False
    started: float | None = None
    ended: float | None = None
    ends: float = math.inf
    failure: TaskFailure | None = None
    expired: bool = False
    url_expired: bool = False
    webhook_state: str | None = None
    spent: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)

    def progress(self, now: float) -> int:
        """Percent done, as the gateways show it."""
        if self.over:
            return 100
        if self.started is None or math.isinf(self.ends):
            return 0 if self.started is None else 50
        share = (now - self.started) / max(self.ends - self.started, 1e-6)
        return min(99, max(1, int(share * 100)))

    def spend(self, name: str, allowance: int) -> bool:
        """Use up one of ``allowance`` occasions of the fault ``name``."""
        used = self.spent.get(name, 0)
        if used >= allowance:
            return False
        self.spent[name] = used + 1
        return True


def shortened(value: Any, limit: int = 200) -> Any:
    """Copy a JSON body with inline images and other long strings cut, for keeping and showing."""
    if isinstance(value, dict):
        return {key: shortened(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item, limit) for item in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > limit:
        return f"{value[:64]}… ({len(value)} characters)"
    return value
