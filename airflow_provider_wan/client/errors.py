"""The errors of the client: one hierarchy, split by what the caller should do next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

EXCERPT_LIMIT = 300


@dataclass(frozen=True)
class Violation:
    """One broken rule: the field, the rule, what was given and how to mend it.

    ``hard`` marks what cannot be sent at all; the others are documented limits that ``strict=False``
    turns into warnings. ``depends_on`` names other fields whose values the rule looked at.
    """

    field: str
    rule: str
    given: str
    fix: str = ""
    hard: bool = False
    depends_on: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.field}: {self.rule} (given: {self.given})"
        return f"{text}; {self.fix}" if self.fix else text


class WanError(Exception):
    """Base of all errors of this package.

    :param message: what happened, to which task, what it cost and what to do.
    :param code: the vendor's own error code, or an HTTP status as text.
    :param request_id: the vendor's id of the HTTP exchange, for its support.
    :param task_id: the task concerned, when one exists.
    :param retryable: whether the same call may succeed later, unchanged.
    :param retry_after: seconds the vendor asked to wait, when it said so.
    """

    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        task_id: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.task_id = task_id
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        marks = (("code", self.code), ("request_id", self.request_id), ("task_id", self.task_id))
        known = ", ".join(f"{name}={value}" for name, value in marks if value)
        return f"{self.message} [{known}]" if known else self.message


class WanRequestError(WanError):
    """The request breaks rules and was not sent; ``violations`` lists all of them."""

    def __init__(self, message: str = "", *, violations: Iterable[Violation] = (), **details: Any) -> None:
        self.violations = tuple(violations)
        super().__init__(message or _listing(self.violations), **details)


class WanRejectedError(WanRequestError):
    """The vendor refused the request: no task was made and nothing is billed."""


class WanAuthError(WanError):
    """The vendor does not accept the key, for this host, region, workspace or model."""


class WanQuotaError(WanError):
    """Throttled: no task was made, the same request may be sent later."""

    default_retryable = True


class WanBillingError(WanError):
    """The account cannot pay: overdue, out of credit, or a free quota that is used up."""


class WanModerationError(WanError):
    """The vendor's moderation refused the input or the output; it is not billed."""


class WanTaskFailed(WanError):
    """The vendor's task ended without a video; DashScope does not bill failed tasks."""


class WanTaskTimeout(WanError):
    """The deadline passed before the task finished."""


class WanSubmissionUnknown(WanError):
    """It cannot be known whether the vendor took the request, so it was not sent again."""


class WanTransportError(WanError):
    """The vendor could not be reached, or the exchange broke off; nothing was decided by it."""

    default_retryable = True


class WanServerError(WanError):
    """The vendor answered that it is in trouble (5xx)."""

    default_retryable = True


class WanResponseError(WanError):
    """The answer is not the vendor's API: not JSON, truncated, too large or of another shape.

    :param excerpt: the first characters of the answer, for the log.
    """

    default_retryable = True

    def __init__(self, message: str, *, excerpt: str = "", **details: Any) -> None:
        self.excerpt = excerpt[:EXCERPT_LIMIT]
        super().__init__(f"{message}; it begins: {self.excerpt!r}" if self.excerpt else message, **details)


def _listing(violations: tuple[Violation, ...]) -> str:
    count = len(violations)
    head = "1 rule is broken" if count == 1 else f"{count} rules are broken"
    return "\n  - ".join([f"The request was not sent, {head}:", *map(str, violations)])
