"""The estimate before a paid call of one video, held to ``max_cost``."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.client.costs import Part, check_max_cost, parse_max_cost, parse_unknown_price
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.hooks.wan import WanHook


def check_cost(hook: WanHook, request: VideoRequest, max_cost: Any, on_unknown_price: Any, log: Any) -> None:
    """Log what ``request`` will cost, and refuse it above ``max_cost``; called right before a paid call.

    :param max_cost: a number, a text such as ``"12.50 USD"``, or nothing for no limit.
    :raises WanRequestError: with the estimate; nothing was sent.
    """
    found = hook.costs.estimate(request)
    log.info("Estimated cost: %s", found)
    check_max_cost([Part("this video", found)], parse_max_cost(max_cost), parse_unknown_price(on_unknown_price))
