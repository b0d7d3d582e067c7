"""What videos cost on one account: its own prices first, then the shipped ones."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import (
    CostEstimate,
    NoPrice,
    Price,
    PriceTable,
    Terms,
    cost_of,
    estimate_terms,
    expected_cost,
    read_prices,
    terms_of,
)
from airflow_provider_wan.client.errors import Violation, WanError, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors import VENDOR_NAMES, vendor_of
from airflow_provider_wan.client.vendors.dashscope.vendor import REGIONS

log = logging.getLogger(__name__)


class AccountCosts:
    """Estimates and costs of one account; a price file that cannot be used makes prices unknown, never wrong."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._vendor = vendor_of(account.vendor)
        self.region = self._vendor.region_of(account)

    @cached_property
    def table(self) -> PriceTable:
        """The prices that hold for the account.

        :raises WanRequestError: when the file that the connection names cannot be read, or has mistakes.
        """
        given = self._account.prices
        return PriceTable(load_prices(given) if isinstance(given, str) else given)

    def estimate(self, request: VideoRequest, input_seconds: float | None = None) -> CostEstimate | NoPrice:
        """Estimate what ``request`` will cost.

        :param input_seconds: length of all its clips, where it is known.
        """
        terms = self._terms(request, input_seconds)
        if isinstance(terms, NoPrice):
            return terms
        table = self._table_or_reason
        return table if isinstance(table, NoPrice) else estimate_terms(terms, table)

    def cost_of(self, task: VideoTask, request: VideoRequest | None = None) -> dict[str, Any] | None:
        """Return what an ended ``task`` cost, as it stands in results; ``None`` where that is not known."""
        table, terms = self._table_or_reason, self._known_terms(request)
        if isinstance(table, NoPrice):
            table = PriceTable((), ())
        found = cost_of(task, table, region=self.region, terms=terms)
        return found.to_dict() if found else None

    def expected_cost(self, request: VideoRequest) -> dict[str, Any] | None:
        """Return the estimate as a cost: for a task that may be billed although nobody has seen its end."""
        table = self._table_or_reason
        found = None if isinstance(table, NoPrice) else expected_cost(table, self._known_terms(request))
        return found.to_dict() if found else None

    def _terms(self, request: VideoRequest, input_seconds: float | None = None) -> Terms | NoPrice:
        return terms_of(request, self._vendor.name, self._vendor.model_of(request), self.region, input_seconds)

    def _known_terms(self, request: VideoRequest | None) -> Terms | None:
        terms = self._terms(request) if request else None
        return terms if isinstance(terms, Terms) else None

    @cached_property
    def _table_or_reason(self) -> PriceTable | NoPrice:
        try:
            return self.table
        except WanError as error:
            log.warning("%s", error)
            return NoPrice(f"the connection's prices cannot be used: {error}")


def read_own_prices(given: Any) -> tuple[Price, ...] | str:
    """Read the connection extra ``prices``: a list of rows (or its JSON text) is checked, a URI is handed on.

    :raises WanRequestError: naming row and column of every mistake.
    """
    if isinstance(given, str) and not given.strip().startswith("["):
        return given.strip()
    return _checked(given, "extra.prices")


def load_prices(uri: str) -> tuple[Price, ...]:
    """Read a JSON file of rows from any object storage.

    :param uri: a path, or a URI with its connection id as usual.
    :raises WanRequestError: when it cannot be read, or naming row and column of every mistake.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        content = ObjectStoragePath(uri).read_bytes().decode("utf-8-sig")
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        rule = f"is the URI of a JSON file with prices ({reason})"
        raise WanRequestError(violations=[Violation("prices", rule, shorten(uri), hard=True)]) from error
    return _checked(content, shorten(uri).strip("'"))


def _checked(rows: Any, name: str) -> tuple[Price, ...]:
    return read_prices(rows, name, vendors=VENDOR_NAMES, regions=REGIONS)
