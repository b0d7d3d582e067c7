"""The connections that one run may use: their hooks, and what each could be given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.costs import CostEstimate, MaxCost, Part, UnknownPrice, check_max_cost
from airflow_provider_wan.client.errors import WanError, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.routing import Candidate
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.worker.known import KnownAccounts


class Accounts:
    """The hooks of one run by connection id; each is made when it is first asked for.

    :param given: the parameter ``wan_conn_id``, read: one id, or several to choose from.
    """

    def __init__(self, given: str | Sequence[str], known: KnownAccounts | None = None) -> None:
        self.names = (given,) if isinstance(given, str) else tuple(given)
        self.is_choice = not isinstance(given, str)
        self.known = known or KnownAccounts()
        self._hooks: dict[str, WanHook] = {}
        self._unusable: dict[str, WanRequestError] = {}

    def hook(self, name: str) -> WanHook:
        """Return the hook of a connection, listed or not."""
        if name not in self._hooks:
            self._hooks[name] = WanHook(name)
        return self._hooks[name]

    def usable(self, name: str) -> WanHook:
        """Return the hook of a connection whose account could be read.

        :raises WanRequestError: when there is no such connection, or it is not usable.
        """
        hook = self.hook(name)
        self.account(name)
        return hook

    def account(self, name: str) -> Account:
        """Return the account of a connection.

        :raises WanRequestError: as :meth:`usable`.
        """
        if name in self._unusable:
            raise self._unusable[name]
        try:
            return self.hook(name).account
        except WanRequestError as error:
            self._unusable[name] = error
        except Exception as error:
            # Its place has moved between versions of Airflow; all else may pass.
            if type(error).__name__ != "AirflowNotFoundException":
                raise
            self._unusable[name] = WanRequestError(f"there is no connection {name!r} ({str(error)[:200]})")
        raise self._unusable[name]

    def request_for(self, name: str, request: VideoRequest) -> VideoRequest:
        """Return the request as it goes to an account: with the model of its vendor."""
        return request.for_vendor(self.account(name).vendor)

    def candidate(
        self,
        name: str,
        request: VideoRequest,
        max_cost: MaxCost | None = None,
        on_unknown_price: UnknownPrice = "fail",
        *,
        counts_others: bool = True,
        check: Callable[[VideoRequest, Account], object] | None = None,
    ) -> Candidate:
        """Return what is known of a listed account, for one request.

        :param counts_others: ask for the tasks that other workers have under way there.
        :param check: refuses what the account cannot be given; the vendor's own rules when not given.
        """
        try:
            hook = self.usable(name)
            own = self.request_for(name, request)
            if check is None:
                hook.vendor.check(own)
            else:
                check(own, hook.account)
            estimate = hook.costs.estimate(own)
            check_max_cost([Part("this video", estimate)], max_cost, on_unknown_price)
        except WanRequestError as error:
            return Candidate(name, refusal=_short(error))
        account = hook.account
        return Candidate(
            name,
            self.known.state_of(account),
            under_way=self.known.under_way(account) if counts_others else 0,
            at_once=account.running_limit,
            cost=Decimal(str(estimate.amount)) if isinstance(estimate, CostEstimate) else None,
            currency=estimate.currency if isinstance(estimate, CostEstimate) else None,
        )

    def note(self, name: str, error: WanError | None) -> None:
        """Take what an account answered to a submission."""
        self.known.note(self.account(name), error)

    def close(self) -> None:
        """Close the connections of all hooks."""
        for hook in self._hooks.values():
            hook.close()


def _short(error: WanRequestError) -> str:
    """Return an error's violations on one line."""
    if not error.violations:
        return " ".join(error.message.split())[:300]
    return "; ".join(" ".join(str(item).split()) for item in error.violations)[:600]
