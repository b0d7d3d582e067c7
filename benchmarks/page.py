"""Pieces of the results page: numbers, tables, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

NOTHING = "-"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def ratio(part: float, whole: float, digits: int = 2) -> str:
    return number(part / whole, digits) if whole else NOTHING


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, is_text: bool = False) -> str:
    """A Markdown table; the first column is left-aligned, the others right unless they hold text."""
    lines = [f"| {' | '.join(head)} |", f"| :--- |{(' :--- |' if is_text else ' ---: |') * (len(head) - 1)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def verdict(measured: float | None, target: float, *, is_lower_better: bool = True) -> str:
    """Whether a target is met, by the figure and not by its rounding."""
    if measured is None:
        return "not measured"
    is_met = measured <= target if is_lower_better else measured >= target
    return "met" if is_met else "**missed**"
