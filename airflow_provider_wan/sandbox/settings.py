"""All settings of the sandbox: by flag, by constructor, or at ``/sandbox/settings``."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, field_validator, model_validator

CallKind = Literal["submit", "query", "list", "cancel", "download", "upload", "models"]
# What a call may be answered that proves nothing: front/odd_answers.py writes them.
OddAnswer = Literal[
    "timeout-400", "internal-400", "request-timeout-200", "service-unavailable-200", "response-timeout-200",
    "redirect-307", "redirect-303", "proxy-403", "proxy-404",
]  # fmt: skip
# What may be wrong with one account, whose key names it.
Trouble = Literal["unpaid", "refused", "throttled", "down", "lossy"]
Echo = Literal["", "plain", "quoted", "escaped"]
Rate = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


def fingerprint(key: str) -> str:
    """Return the short hash by which an API key is known here; the key itself is never kept."""
    return "fp-" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _span(value: Any) -> Any:
    """Read ``2``, ``"2"``, ``"2:6"`` or ``[2, 6]`` as a (least, most) pair."""
    if isinstance(value, str):
        value = value.split(":")
    if isinstance(value, (int, float)):
        value = (value, value)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = (value[0], value[0])
    return value


Span = Annotated[tuple[Seconds, Seconds], BeforeValidator(_span)]


class FailNext(BaseModel):
    """Answer the next ``times`` calls of one kind with this status (and body), or with an odd answer by its name.

    The call is not served, or with ``after`` it is served and its answer replaced.
    """

    model_config = ConfigDict(extra="forbid")

    call: CallKind
    status: int | None = Field(default=None, ge=200, le=599)
    answer: OddAnswer | None = None
    after: bool = False
    times: int = Field(default=1, ge=0)
    vendor: str | None = None
    code: str | None = None
    message: str | None = None
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_answer(self) -> FailNext:
        if (self.status is None) == (self.answer is None):
            raise ValueError("a status or an odd answer is needed, one of the two")
        return self


class Settings(BaseModel):
    """The sandbox's behaviour; times in seconds, rates from 0 to 1, ``0`` switches a limit off."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # How generations run
    generation_seconds: Span = (2.0, 2.0)
    pending_seconds: Seconds = 0.0
    running_limit: int = Field(default=5, ge=0)
    queue_limit: int = Field(default=500, ge=0)
    expire_after: Seconds = 86_400.0
    input_video_seconds: Seconds = 5.0
    billing_region: Literal["cn-beijing", "ap-southeast-1"] = "ap-southeast-1"
    seed: int = 0

    # What the API allows
    query_qps: Annotated[float, Field(ge=0)] = 0.0
    submit_qps: Annotated[float, Field(ge=0)] = 0.0
    answer_delay: Seconds = 0.0
    page_size_max: int = Field(default=100, ge=1)
    utc_offset_hours: float = 8.0
    late_validation: bool = True
    late_validation_seconds: Seconds = 0.1
    strict_fields: bool = False
    api_keys: list[str] = Field(default_factory=list)

    # What a finished task looks like
    render: Literal["full", "small"] = "full"
    powertokens_url: Literal["content", "file", "none"] = "content"
    gccai_url: Literal["absolute", "relative"] = "absolute"
    powertokens_content: Literal["redirect", "stream"] = "redirect"
    powertokens_words: Literal["openai", "new-api"] = "openai"
    freepik_failure_reason: bool = True
    freepik_generated: Literal["strings", "objects"] = "strings"
    v1_videos: Literal["powertokens", "openai"] = "powertokens"
    openai_key: Literal["required", "optional"] = "required"
    openai_content: Literal["redirect", "stream"] = "stream"
    openai_bodies: Literal["both", "multipart", "json"] = "both"
    openai_delete: Literal["any", "finished"] = "any"
    webhook_secret: str = "sandbox-webhook-secret"  # noqa: S105 - documented value of a local test server

    # Faults
    drop_answer_rate: Rate = 0.0
    drop_next_answers: int = Field(default=0, ge=0)
    drop_before_rate: Rate = 0.0
    error_rates: dict[CallKind, dict[int, Rate]] = Field(default_factory=dict)
    error_after_create_rate: Rate = 0.0
    fail_next: list[FailNext] = Field(default_factory=list)
    malformed_rate: dict[CallKind, Rate] = Field(default_factory=dict)
    task_failure_rate: Rate = 0.0
    task_failure_code: str = "InternalError"
    outage: Seconds = 0.0
    outage_kind: Literal["reset", "503"] = "reset"
    cancel_delay_seconds: Seconds = 0.0
    truncate_downloads: int = Field(default=0, ge=0)
    html_downloads: int = Field(default=0, ge=0)
    endless_downloads: int = Field(default=0, ge=0)
    half_downloads: int = Field(default=0, ge=0)
    partial_downloads: int = Field(default=0, ge=0)
    results_refused: Seconds = 0.0
    results_refused_status: Literal[403, 404] = 403
    keys_refused: Seconds = 0.0
    account_trouble: dict[str, Trouble] = Field(default_factory=dict)
    echo_keys: Echo = ""
    clock_skew_seconds: float = 0.0
    list_drift: int = Field(default=0, ge=0)
    gccai_ignores_idempotency_keys: bool = False
    retry_after_seconds: float | None = None
    list_lag_seconds: Seconds = 0.0
    unknown_status_word: str | None = None

    @field_validator("generation_seconds")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("the least comes before the most, as in 2:6")
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _hashed(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple, set)):
            return value
        return [key if str(key).startswith("fp-") else fingerprint(str(key)) for key in value]

    @field_validator("account_trouble", mode="before")
    @classmethod
    def _hashed_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name if str(name).startswith("fp-") else fingerprint(str(name)): kind for name, kind in value.items()}

    @field_validator("malformed_rate", mode="before")
    @classmethod
    def _every_call(cls, value: Any) -> Any:
        """Take one number for all the calls that answer JSON."""
        if isinstance(value, (int, float)):
            return dict.fromkeys(("submit", "query", "list", "cancel"), value)
        return value

    @field_serializer("webhook_secret")
    def _hidden(self, value: str) -> str:
        return "(set)" if value else ""

    def change(self, changes: dict[str, Any]) -> None:
        """Apply ``changes`` together or not at all; raises pydantic's ``ValidationError``."""
        merged = type(self).model_validate({**self.model_dump(), "webhook_secret": self.webhook_secret, **changes})
        for name in changes:
            # The merged model has been validated as a whole; assigning again would validate each twice.
            self.__dict__[name] = getattr(merged, name)
