"""Orders for one task, written into its prompt: ``[sandbox fail=DataInspectionFailed seconds=4]``.

They let many cases run side by side in one sandbox. The picture does not show them; ``orig_prompt`` keeps them.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_MARK = re.compile(r"\[sandbox\s+([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the submission with this status and code, ``times`` times (``None``: always)."""

    status: int
    code: str | None
    times: int | None


@dataclass(frozen=True, slots=True)
class Directives:
    """What one prompt asks of the sandbox; the default asks for nothing."""

    seconds: float | None = None
    fail: str | None = None
    message: str | None = None
    reject: Reject | None = None
    drop_answer: bool = False
    drop_before: bool = False
    error_after_create: int | None = None
    hold: bool = False
    run_forever: bool = False
    truncate_download: int = 0
    html_download: int = 0
    endless_download: int = 0
    cancel_delay: float | None = None
    expire_url: bool = False


_NOTHING = Directives()
NAMES = frozenset(
    (
        "seconds",
        "fail",
        "message",
        "reject",
        "times",
        "drop-answer",
        "drop-before",
        "error-after-create",
        "hold",
        "run-forever",
        "truncate-download",
        "html-download",
        "endless-download",
        "cancel-delay",
        "expire-url",
    )
)


class BadDirective(ValueError):
    """A ``[sandbox …]`` mark that cannot be read."""


def strip(prompt: str) -> str:
    """Return the prompt without its directives, as the picture shows it."""
    return " ".join(_MARK.sub(" ", prompt).split()) if "[sandbox" in prompt else prompt


def parse(prompt: str) -> Directives:
    """Read the directives of ``prompt``; raises ``BadDirective`` for a name or value that is not known."""
    if "[sandbox" not in prompt:
        return _NOTHING
    words: dict[str, str] = {}
    for mark in _MARK.findall(prompt):
        try:
            tokens = shlex.split(mark)
        except ValueError as error:
            raise BadDirective(f"[sandbox {mark}]: {error}") from None
        for token in tokens:
            name, _, value = token.partition("=")
            if name not in NAMES:
                raise BadDirective(f"[sandbox {mark}]: {name!r} is not one of {', '.join(sorted(NAMES))}")
            words[name] = value
    try:
        return _read(words)
    except ValueError as error:
        raise BadDirective(f"{words}: {error}") from None


def _read(words: dict[str, str]) -> Directives:
    def count(name: str) -> int:
        return int(words[name] or 1) if name in words else 0

    def number(name: str) -> float | None:
        return float(words[name]) if name in words else None

    reject = None
    if "reject" in words:
        status, _, code = words["reject"].partition(":")
        reject = Reject(int(status), code or None, int(words["times"]) if "times" in words else None)
    return Directives(
        seconds=number("seconds"),
        fail=(words["fail"] or "InternalError") if "fail" in words else None,
        message=words.get("message"),
        reject=reject,
        drop_answer="drop-answer" in words,
        drop_before="drop-before" in words,
        error_after_create=int(words["error-after-create"] or 500) if "error-after-create" in words else None,
        hold="hold" in words,
        run_forever="run-forever" in words,
        truncate_download=count("truncate-download"),
        html_download=count("html-download"),
        endless_download=count("endless-download"),
        cancel_delay=number("cancel-delay"),
        expire_url="expire-url" in words,
    )
