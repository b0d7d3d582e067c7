"""An HTTP exchange as values: what to send, and what came back. No I/O here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, TypeAlias

from airflow_provider_wan.client.errors import EXCERPT_LIMIT, WanResponseError

Content: TypeAlias = bytes | Callable[[], IO[bytes]]
"""Bytes, or what opens a stream of them: anew for each sending, read from the start to the end."""


@dataclass(frozen=True)
class Call:
    """One request to send.

    :param name: the vendor-neutral name of the call, for messages (``submit``, ``get_task``, …).
    :param target: a path below the account's base URL, or an absolute URL when ``auth`` is false.
    :param form: fields of a multipart form, also where no file goes with them.
    :param auth: whether the key goes with it; only ever to the account's own origin.
    :param model: the model that it is about, where it is about one; for statistics.
    :param size: bytes of a file or content, which take their time.
    """

    name: str
    method: str
    target: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    data: Mapping[str, str] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    file: tuple[str, str, Content, str] | None = field(default=None, repr=False)
    content: Content | None = field(default=None, repr=False)
    auth: bool = True
    model: str | None = None
    size: int = 0

    @property
    def is_absolute(self) -> bool:
        """Whether the target names its own host."""
        return "://" in self.target


@dataclass(frozen=True)
class Answer:
    """What came back: status, lower-case headers and the body, cut (``is_cut``) when it is gigantic."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_cut: bool = False

    @property
    def excerpt(self) -> str:
        """The first characters of the body, printable."""
        text = self.body[: EXCERPT_LIMIT * 4].decode("utf-8", "replace")
        return " ".join(text.split())[:EXCERPT_LIMIT]

    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, or ``None`` when it is anything else."""
        return self._content

    @cached_property
    def _content(self) -> dict[str, Any] | None:
        # Read once: an answer is first looked through for an error.
        try:
            value = json.loads(self.body, parse_constant=_refuse_constant)
            if _is_deeper(value, JSON_DEPTH):
                return None
        except (ValueError, RecursionError):
            return None
        if b"\\u" in self.body or not self.body.isascii():
            value = _tidy(value)
        return value if isinstance(value, dict) else None


JSON_DEPTH = 32
"""Deeper answers than this are nobody's API, and would break whatever walks them later."""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_deeper(value: Any, depth: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(item, depth - 1) for item in items if isinstance(item, dict | list))


def _tidy(value: Any) -> Any:
    """Replace halves of surrogate pairs (a prompt cut in the middle of an emoji), which no codec takes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_tidy(name): _tidy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return value


@dataclass(frozen=True)
class Broken:
    """No answer came back.

    :param opened: whether the connection was ever established; if not, the vendor has seen nothing.
    :param request_id: the vendor's id of the exchange, when an answer began and broke off.
    """

    reason: str
    opened: bool
    request_id: str | None = None


def not_the_api(vendor: str, call: str, answer: Answer, why: str, task_id: str | None = None) -> WanResponseError:
    """Build the error for an answer that is not the vendor's API."""
    return WanResponseError(
        f"{vendor} answered {call} with HTTP {answer.status}, {why}",
        excerpt=answer.excerpt,
        code=str(answer.status),
        request_id=request_id_in(answer.headers, answer.body),
        task_id=task_id,
    )


REQUEST_ID_LIMIT = 128

_REQUEST_ID = re.compile(rb'"request_id"\s*:\s*"([\w.-]{4,128})"')


def request_id_in(headers: Mapping[str, str], body: bytes = b"") -> str | None:
    """Find the vendor's id of an exchange in its headers, or in a body that may have been broken off."""
    found = _REQUEST_ID.search(body)
    said = headers.get("x-request-id", "")
    return said[:REQUEST_ID_LIMIT] or (found[1].decode("ascii", "replace") if found else None)


@dataclass(frozen=True)
class Pause:
    """Wait before the next call, in seconds."""

    seconds: float
