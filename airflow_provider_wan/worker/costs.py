"""The estimate before a paid call of one video, held to ``max_cost``."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.client.costs import MaxCost, Part, UnknownPrice, check_max_cost
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.hooks.wan import WanHook


def check_cost(
    hook: WanHook, request: VideoRequest, max_cost: MaxCost | None, on_unknown_price: UnknownPrice, log: Any
) -> None:
    """Log what ``request`` will cost, and refuse it above ``max_cost``; called right before a paid call.

    :raises WanRequestError: with the estimate; nothing was sent.
    """
    found = hook.costs.estimate(request)
    log.info("Estimated cost: %s", found)
    check_max_cost([Part("this video", found)], max_cost, on_unknown_price)
