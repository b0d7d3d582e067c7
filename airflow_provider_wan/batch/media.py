"""The media of a batch's rows: checked for the batch's account, read once, known again by later workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from airflow_provider_wan.batch.accounts import BatchAccounts
from airflow_provider_wan.batch.settings import BatchSettings
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.inputs.inputs import Inputs
from airflow_provider_wan.worker.inputs import inputs_of


class BatchMedia:
    """What :func:`~airflow_provider_wan.batch.items.build_items` asks of media, and what a paid call does.

    :param store: of the batch's ledger.
    """

    def __init__(
        self, operator: Any, context: Any, settings: BatchSettings, store: Any, accounts: BatchAccounts
    ) -> None:
        self._operator = operator
        self._context = context
        self._settings = settings
        self._store = store
        self._accounts = accounts
        self.before: Mapping[str, str] = {}
        """Digests of media that this attempt has checked: they are not read again."""
        self.known: Mapping[str, str] = {}
        """Digests that an earlier attempt knew: they stand in for media that are gone."""

    def read(self, requests: Iterable[VideoRequest]) -> None:
        """Look at the media of all rows, several at a time."""
        if not self.before:
            self._inputs.read(requests)

    def checked(self, request: VideoRequest, names: tuple[str, ...]) -> Iterable[str]:
        """Check a request and its media at the accounts that it may go to; one that takes it is enough.

        :param names: the connections that its row names for itself.
        :raises WanRequestError: listing every violation.
        """
        wrong: dict[Violation, None] = {}
        for account in self._accounts.accounts(names):
            try:
                return self._inputs.checked(request.for_vendor(account.vendor), account).warnings
            except WanRequestError as error:
                wrong |= dict.fromkeys(error.violations)
        raise WanRequestError(violations=wrong)

    def identified(self, request: VideoRequest) -> VideoRequest:
        """Return the request, known by the contents of its media."""
        return self._inputs.identified(request, self.before)

    def reachable(self, request: VideoRequest, client: WanClient) -> VideoRequest:
        """Return the request with addresses that the vendor can fetch."""
        return self._inputs.reachable(request, client)

    @property
    def digests(self) -> Mapping[str, str]:
        """The contents of all media."""
        return {**self.before, **self._inputs.digests}

    @cached_property
    def _inputs(self) -> Inputs:
        settings = self._settings
        rows = settings.requests
        table = rows.strip() if isinstance(rows, str) and not rows.strip().startswith("[") else None
        return inputs_of(self._operator, self._context, settings.media, self._store, table, self.known)
