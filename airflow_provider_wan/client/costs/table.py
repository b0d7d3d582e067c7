"""The table that holds for an account, and which of its rows fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

from airflow_provider_wan.client.costs.prices import Price, PriceKey, read_prices


@cache
def shipped_prices() -> tuple[Price, ...]:
    """Return the rows that come with the package; each has a date and a source."""
    text = resources.files(__package__).joinpath("prices.json").read_text("utf-8")
    return read_prices(text, "prices.json")


@dataclass(frozen=True)
class PriceTable:
    """The rows that hold for an account: its own first, then the shipped ones."""

    own: tuple[Price, ...] = ()
    shipped: tuple[Price, ...] = field(default_factory=shipped_prices)
    _found: dict[PriceKey, Price | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    def find(self, key: PriceKey) -> Price | None:
        """Return the row that fits ``key`` most closely; of equally close ones the first, own ones before shipped."""
        # A batch asks ten thousand times for the same few.
        if key not in self._found:
            groups = ([row for row in rows if row.fits(key)] for rows in (self.own, self.shipped))
            fitting = next(filter(None, groups), [])
            self._found[key] = max(fitting, key=lambda row: row.rank, default=None)
        return self._found[key]

    def why_none(self, key: PriceKey) -> str:
        """Say what is missing where ``find`` returns nothing."""
        of_model = [row for row in self.rows if row.is_of_model(key.model) and fnmatchcase(key.vendor, row.vendor)]
        here = [row for row in of_model if fnmatchcase(key.region or "", row.region)]
        where = f"{key.model} at {key.vendor}"
        if here:
            return f"no price of {where} is known for {key.resolution} (known: {_named(here, 'resolution')})"
        if of_model:
            return f"no price of {where} is known in region {key.region} (known: {_named(of_model, 'region')})"
        return f"no price of {where} is known"

    def currency_of(self, vendor: str, region: str | None) -> str | None:
        """Return the currency that all prices of an account are in, ``None`` where there are several or none."""
        found = {
            row.currency
            for row in self.rows
            if fnmatchcase(vendor, row.vendor) and fnmatchcase(region or "", row.region)
        }
        return found.pop() if len(found) == 1 else None

    @property
    def rows(self) -> tuple[Price, ...]:
        """All rows, in the order in which they are looked at."""
        return self.own + self.shipped


def _named(rows: list[Price], column: str) -> str:
    return ", ".join(dict.fromkeys(getattr(row, column) for row in rows))
