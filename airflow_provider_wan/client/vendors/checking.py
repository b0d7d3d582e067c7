"""The check before anything is paid: the model's rules and the vendor's, in one report."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.rules.request import violations_of
from airflow_provider_wan.client.vendors.base import Vendor


@dataclass(frozen=True)
class Checked:
    """A request that may be sent, the model it goes to, and what its author should know."""

    request: VideoRequest
    model: str
    warnings: tuple[str, ...]


def check(request: VideoRequest, vendor: Vendor) -> Checked:
    """Check ``request`` against its model's family and the vendor.

    :raises WanRequestError: listing every violation at once; with ``strict=False`` only those that
        cannot be sent at all, the others become warnings.
    """
    model = vendor.model_of(request)
    of_model = list(dict.fromkeys(violations_of(request, model)))
    refused = {item.field for item in of_model if item.hard}
    found = [*of_model, *(item for item in vendor.limits(request, model) if item.field not in refused)]
    fatal = [item for item in found if item.hard or request.strict]
    if fatal:
        raise WanRequestError(violations=fatal)
    warnings = (*(str(item) for item in found), *vendor.remarks(request, model))
    return Checked(request, model, warnings)
