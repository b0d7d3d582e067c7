"""The rows of a price table: what each column means, and how rows are read and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.urls import shorten

ANY = "*"
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")
_TIER = re.compile(r"\d{2,4}P|\d{1,2}K|\*")
MOST_EXPENSIVE = Decimal(1_000_000)
"""A price per second above this is a mistake in the table."""


class Unit(StrEnum):
    """What one price is for."""

    OUTPUT_SECOND = "output_second"
    """A second of the video that was made."""
    BILLED_SECOND = "billed_second"
    """A second as the vendor counts: output, and input video where it is billed."""


@dataclass(frozen=True, slots=True)
class PriceKey:
    """What a price is looked up by; ``sound`` is whether the video has any."""

    vendor: str
    model: str
    region: str | None
    resolution: str
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the table.

    :param vendor: its name, or ``*``.
    :param model: a pattern (``*`` for any characters); a plain name holds for its dated snapshots too.
    :param region: of the account, or ``*``.
    :param resolution: tier, or ``*``.
    :param amount: per second, in ``currency``.
    :param date: when the source was read, ``YYYY-MM`` or ``YYYY-MM-DD``.
    :param sound: whether the price is for videos with sound or for silent ones; ``None`` for both.
    """

    amount: Decimal
    currency: str
    vendor: str = ANY
    model: str = ANY
    region: str = ANY
    resolution: str = ANY
    sound: bool | None = None
    unit: Unit = Unit.BILLED_SECOND
    date: str | None = None
    source: str | None = None

    def fits(self, key: PriceKey) -> bool:
        """Whether the row is for ``key``."""
        return (
            fnmatchcase(key.vendor, self.vendor)
            and self.is_of_model(key.model)
            and fnmatchcase(key.region or "", self.region)
            and self.resolution in (ANY, key.resolution)
            and self.sound in (None, key.sound)
        )

    def is_of_model(self, model: str) -> bool:
        """Whether the row is for ``model`` in some region and tier."""
        return fnmatchcase(model, self.model) or fnmatchcase(_SNAPSHOT.sub("", model), self.model)

    @property
    def rank(self) -> tuple[Any, ...]:
        """How closely the row says what it is for: names before patterns, longer patterns before shorter ones."""
        named = [0 if ANY in text else 1 for text in (self.model, self.resolution, self.region, self.vendor)]
        return (named[0], len(self.model.replace(ANY, "")), *named[1:], self.sound is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values, in the shape that ``read_prices`` takes."""
        row: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        row |= {"amount": str(self.amount), "unit": str(self.unit)}
        return {name: row[name] for name in COLUMNS if row[name] is not None}


# -- reading ------------------------------------------------------------------------------------------------


def read_prices(
    rows: Any, name: str = "prices", *, vendors: Collection[str] = (), regions: Collection[str] = ()
) -> tuple[Price, ...]:
    """Read a list of rows, or the JSON text of one.

    :param name: what the rows are called in errors.
    :param vendors: names that exist; a row for another one is a typo.
    :param regions: names that exist.
    :raises WanRequestError: naming row (from 1) and column of every mistake.
    """
    if isinstance(rows, str | bytes):
        try:
            rows = json.loads(rows, parse_float=Decimal)
        except ValueError as error:
            raise _refused([Violation(name, f"is JSON ({error})", shorten(rows, 60), hard=True)]) from None
    if not isinstance(rows, list | tuple):
        raise _refused([Violation(name, "is a list of rows", shorten(rows), 'such as [{"amount": 0.08, …}]', True)])
    known = {"vendor": vendors, "region": regions}
    wrong: list[Violation] = []
    found: dict[tuple[Any, ...], tuple[int, Price]] = {}
    for number, row in enumerate(rows, 1):
        where = f"{name}, row {number}"
        problems, price = _read_row(row, where, known)
        wrong += problems
        if price is None:
            continue
        same = (price.vendor, price.model, price.region, price.resolution, price.sound)
        earlier = found.setdefault(same, (number, price))[0]
        if earlier != number:
            wrong.append(Violation(where, f"is for something else than row {earlier}", "the same", "keep one", True))
    if wrong:
        raise _refused(wrong)
    return tuple(price for _, price in found.values())


def _refused(wrong: list[Violation]) -> WanRequestError:
    return WanRequestError("\n  - ".join(["The price table is not usable:", *map(str, wrong)]), violations=wrong)


def _read_row(row: Any, where: str, known: Mapping[str, Collection[str]]) -> tuple[list[Violation], Price | None]:
    if not isinstance(row, Mapping):
        return [Violation(where, "is an object", shorten(row), hard=True)], None
    wrong = list(_strange_columns(row, where))
    values: dict[str, Any] = {}
    for column, read in COLUMNS.items():
        given = row.get(column)
        if given is None or given == "":
            if column in REQUIRED:
                wrong.append(Violation(f"{where}, {column}", "is required", "nothing", hard=True))
            continue
        try:
            values[column] = read(given)
            _check_known(values[column], known.get(column, ()))
        except ValueError as error:
            wrong.append(Violation(f"{where}, {column}", str(error), shorten(given), hard=True))
    return wrong, None if wrong else Price(**values)


def _strange_columns(row: Mapping[Any, Any], where: str) -> Iterator[Violation]:
    for column in row:
        if column not in COLUMNS:
            near = get_close_matches(str(column), COLUMNS, 1)
            fix = f"did you mean {near[0]}?" if near else f"columns are {', '.join(COLUMNS)}"
            yield Violation(f"{where}, {shorten(column, 40)}", "is not a column", shorten(row[column]), fix, True)


def _check_known(value: Any, names: Collection[str]) -> None:
    if names and not any(fnmatchcase(name, value) for name in names):
        near = get_close_matches(value, names, 1)
        raise ValueError(f"is one of {', '.join(names)}, or *" + (f" (did you mean {near[0]}?)" if near else ""))


def _amount(value: Any) -> Decimal:
    try:
        number = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= MOST_EXPENSIVE:
        raise ValueError("is a price per second, 0 or more")
    return number


def _sound(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true (with sound) or false (silent)")
    return value


def _pattern(rule: str, expression: str) -> Any:
    def read(value: Any) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if not re.fullmatch(expression, text):
            raise ValueError(rule)
        return text

    return read


def _unit(value: Any) -> Unit:
    if value not in list(Unit):
        raise ValueError(f"is {' or '.join(Unit)}")
    return Unit(value)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


COLUMNS: Mapping[str, Any] = {
    "vendor": _pattern("is a vendor's name, or *", r"\S+"),
    "model": _pattern("is a model's name, or a pattern with *", r"\S+"),
    "region": _pattern("is a region, or *", r"\S+"),
    "resolution": lambda value: _pattern("is a tier such as 720P, or *", _TIER.pattern)(_upper(value)),
    "sound": _sound,
    "unit": _unit,
    "amount": _amount,
    "currency": lambda value: _pattern("is a code of three letters, such as USD", r"[A-Z]{3}")(_upper(value)),
    "date": _pattern("is YYYY-MM or YYYY-MM-DD", _DATE.pattern),
    "source": _pattern("is a line of text", r".{1,500}"),
}
"""The columns of a row, and how each is read."""

REQUIRED = ("amount", "currency")
