"""The vendors by name; a new one is a file here and a row in the table.

In: a request, or an answer; out: a call to send, or a task, a page, an error. Pure: nothing here sends, waits or logs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from airflow_provider_wan.client.vendors.base import Vendor

_VENDORS = {
    "dashscope": ("dashscope.vendor", "DashScope"),
    "gccai": ("gccai", "Gccai"),
    "powertokens": ("powertokens", "PowerTokens"),
    "freepik": ("freepik", "Freepik"),
    "openai": ("openai", "OpenAi"),
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
