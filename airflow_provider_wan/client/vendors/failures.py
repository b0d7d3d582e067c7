"""What a vendor's error means for the caller, whatever the vendor calls it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_wan.client.errors import (
    WanAuthError,
    WanBillingError,
    WanError,
    WanModerationError,
    WanQuotaError,
    WanRejectedError,
    WanServerError,
)

STATUS_SPEAKS = frozenset({401, 402, 403, 429})
"""HTTP statuses whose meaning is plain whatever the body is."""


class Failure(StrEnum):
    """What an error means for the caller, whatever the vendor calls it."""

    REQUEST = "request"
    AUTH = "auth"
    BILLING = "billing"
    MODERATION = "moderation"
    THROTTLED = "throttled"
    SERVER = "server"
    NOT_FOUND = "not_found"


ERROR_TYPES: dict[Failure, type[WanError]] = {
    Failure.REQUEST: WanRejectedError,
    Failure.AUTH: WanAuthError,
    Failure.BILLING: WanBillingError,
    Failure.MODERATION: WanModerationError,
    Failure.THROTTLED: WanQuotaError,
    Failure.SERVER: WanServerError,
    Failure.NOT_FOUND: WanRejectedError,
}


@dataclass(frozen=True)
class Problem:
    """An error as the vendor put it, and what it means."""

    failure: Failure
    code: str | None
    message: str
    request_id: str | None = None
    is_certain: bool = False
    """Whether it proves that a submission made no task."""


BARE_REFUSALS = frozenset({401, 402, 413, 414, 431})
"""HTTP statuses that prove that a submission went no further, whoever on the way gives them."""

REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 413, 414, 415, 422, 429, 431})
"""HTTP statuses that refuse where the vendor's own answer names no code."""

UNDECIDED_STATUSES = frozenset({408, 409, 425, 499})
"""4xx answers that do not prove that the vendor took no task, whatever they say."""

PLAIN_STATUSES = frozenset({401, 402, 429})

MODERATION_WORDS: tuple[tuple[str, Failure], ...] = (
    ("~moderation", Failure.MODERATION),
    ("~nsfw", Failure.MODERATION),
    ("~inappropriate", Failure.MODERATION),
    ("~sensitive content", Failure.MODERATION),
    ("~sensitive word", Failure.MODERATION),
    ("~content policy", Failure.MODERATION),
    ("sensitive_words", Failure.MODERATION),
    ("content_policy", Failure.MODERATION),
    ("DataInspection", Failure.MODERATION),
    ("IPInfringement", Failure.MODERATION),
)
"""How gateways say that the moderation refused something."""

LATE_REFUSAL_WORDS: tuple[tuple[str, Failure], ...] = (
    ("~field required", Failure.REQUEST),
    ("~input should be", Failure.REQUEST),
    ("~should be between", Failure.REQUEST),
    ("~must be less than the requested duration", Failure.REQUEST),
    ("~invalidparameter", Failure.REQUEST),
    ("~invalid param", Failure.REQUEST),
    ("~validation failed", Failure.REQUEST),
    ("~is not valid", Failure.REQUEST),
)
"""How Alibaba refuses a request once it is a task, as the vendors who resell its models pass it on, some without a
code; looked up last. Texts of live calls of August and September 2026."""


def classify(codes: Iterable[tuple[str, Failure]], code: str | None, message: str | None) -> Failure | None:
    """Look a code up by prefix, or the message by the words marked with ``~``; ignore case."""
    lower_code, lower_message = (code or "").lower(), (message or "").lower()
    for pattern, failure in codes:
        if pattern.startswith("~"):
            if pattern[1:].lower() in lower_message:
                return failure
        elif lower_code.startswith(pattern.lower()):
            return failure
    return None


def default_failure(status: int) -> Failure:
    """Say what an HTTP status means where the body says nothing more."""
    table = {
        401: Failure.AUTH,
        402: Failure.BILLING,
        403: Failure.AUTH,
        404: Failure.NOT_FOUND,
        408: Failure.SERVER,
        425: Failure.SERVER,
        429: Failure.THROTTLED,
    }
    return table.get(status, Failure.SERVER if status >= 500 else Failure.REQUEST)


def problem_of(
    codes: Iterable[tuple[str, Failure]], status: int, code: str | None, message: str | None, request_id: str | None
) -> Problem:
    """Say what an error means: by its code or words where they are known, else by the HTTP status."""
    known = classify(codes, code, message)
    failure = known or default_failure(status)
    if status >= 500 and failure is Failure.REQUEST:
        # Whatever its words are: the vendor is in trouble.
        failure = Failure.SERVER
    is_plain = status in STATUS_SPEAKS or (code in (None, str(status)) and status in REFUSALS)
    is_certain = (known is not None or is_plain) and failure is not Failure.SERVER and _may_refuse(status)
    return Problem(failure, code, message or "no message", request_id, is_certain)


def _may_refuse(status: int) -> bool:
    return 200 <= status < 300 or (400 <= status < 500 and status not in UNDECIDED_STATUSES)
