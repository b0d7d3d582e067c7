"""What a submission leaves behind: the handle, the task and its states."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator


class Mode(StrEnum):
    """What a task turns into a video."""

    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    REFERENCE_TO_VIDEO = "reference_to_video"
    VIDEO_EDIT = "video_edit"


class TaskStatus(StrEnum):
    """The canonical states; every vendor's words map to one of them, unheard ones to ``unknown``."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @cached_property
    def is_ended(self) -> bool:
        """Whether the vendor will not change it any more; ``unknown`` needs its own judgement."""
        return self in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def _as_utc(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


class TaskHandle(BaseModel):
    """Everything needed to find a submitted task again; holds no secret and no user data.

    :param wan_conn_id: the connection it was made on, where there was a choice.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    vendor: str
    task_id: str
    mode: Mode
    model: str
    submitted_at: datetime
    request_id: str | None = None
    wan_conn_id: str | None = None

    _utc = field_validator("submitted_at", mode="after")(staticmethod(_as_utc))

    def to_dict(self) -> dict[str, Any]:
        """Return the handle as a plain JSON dict, as it is recorded and put into trigger kwargs."""
        found = self.model_dump(mode="json")
        if self.wan_conn_id is None:
            # Left out, so that what an older release compares or reads is what it knows.
            del found["wan_conn_id"]
        return found

    @classmethod
    def of(cls, handle: TaskHandle | dict[str, Any]) -> TaskHandle:
        """Take a handle as the model or as its dict.

        :raises pydantic.ValidationError: for a dict that is no handle.
        """
        if isinstance(handle, TaskHandle):
            return handle
        found = cls.model_validate(handle)
        # Thousands are kept at a time: the set of the fields that were given, larger than all else of it, is kept once.
        return cls.model_construct(_FIELDS, **dict(found))


_FIELDS = set(TaskHandle.model_fields)


class VideoTask(BaseModel):
    """One task as the vendor reports it; unset fields are what the vendor does not tell."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    task_id: str
    vendor: str
    mode: Mode | None = None
    model: str | None = None
    status: TaskStatus = TaskStatus.UNKNOWN
    raw_status: str | None = None
    video_url: str | None = None
    video_urls: list[str] = Field(default_factory=list)
    url_expires_at: datetime | None = None
    prompt: str | None = None
    actual_prompt: str | None = None
    resolution: str | None = None
    ratio: str | None = None
    duration: float | None = None
    seed: int | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    request_id: str | None = None
    wan_conn_id: str | None = None
    progress: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    prompt_was_rewritten: bool = False

    _utc = field_validator("url_expires_at", "submitted_at", "started_at", "finished_at", mode="after")(
        staticmethod(_as_utc)
    )

    @field_serializer("duration", when_used="json-unless-none")
    def _whole_seconds_as_int(self, value: float) -> float | int:
        return int(value) if value == int(value) else value

    def to_event(self) -> dict[str, Any]:
        """Return the task without its prompts, which are user data and stay out of Airflow's database."""
        return self.model_dump(mode="json", exclude={"prompt", "actual_prompt"}, exclude_none=True) | {
            "prompt_was_rewritten": self.actual_prompt is not None
        }


RESULT_FIELDS = (
    "task_id",
    "vendor",
    "mode",
    "model",
    "status",
    "video_url",
    "video_urls",
    "url_expires_at",
    "prompt",
    "actual_prompt",
    "resolution",
    "ratio",
    "duration",
    "seed",
    "submitted_at",
    "started_at",
    "finished_at",
    "usage",
    "request_id",
    "wan_conn_id",
    "cost",
)
"""The keys of an operator's ``return_value``, in this order; landing adds ``uri``, ``bytes`` and ``sha256``."""


def result_of(task: VideoTask, **known: Any) -> dict[str, Any]:
    """Return one flat JSON dict of ``task``; ``known`` fills what the vendor does not echo."""
    said = task.model_dump(mode="json")
    return {name: known.get(name) if said[name] is None else said[name] for name in RESULT_FIELDS}
