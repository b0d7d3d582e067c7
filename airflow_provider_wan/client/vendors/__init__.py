"""The vendors by name; a new one is a file here and a row in the table."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from airflow_provider_wan.client.vendors.base import Vendor

_VENDORS = {
    "dashscope": ("dashscope.vendor", "DashScope"),
    "gccai": ("gccai", "Gccai"),
    "powertokens": ("powertokens", "PowerTokens"),
    "freepik": ("freepik", "Freepik"),
}
VENDOR_NAMES = tuple(_VENDORS)
DEFAULT_VENDOR = "dashscope"


@cache
def vendor_of(name: str) -> Vendor:
    """Return the vendor called ``name``.

    :raises ValueError: naming the known vendors.
    """
    if name not in _VENDORS:
        raise ValueError(f"vendor is one of {', '.join(VENDOR_NAMES)}; given: {name!r}")
    module, kind = _VENDORS[name]
    vendor: Vendor = getattr(import_module(f"{__name__}.{module}"), kind)()
    return vendor
