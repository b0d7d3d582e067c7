"""The events of asset outlets: what was made, for those who are triggered by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

ASSET_KEYS = (
    "task_id",
    "vendor",
    "model",
    "mode",
    "resolution",
    "ratio",
    "duration",
    "seed",
    "cost",
    "uri",
    "bytes",
    "sha256",
)
"""The small fields of a result; prompts are user data and stay out."""


def add_to_events(outlets: Iterable[Any] | None, context: Context, result: Mapping[str, Any]) -> None:
    """Put the result's small fields into the events of an operator's asset outlets.

    An alias becomes the asset that was stored: its URI is known only now.
    """
    from airflow.sdk import Asset, AssetAlias

    small = {name: result[name] for name in ASSET_KEYS if result.get(name) is not None}
    for outlet in outlets or []:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(small)
        elif "uri" in small:
            context["outlet_events"][outlet].add(Asset(small["uri"]), extra=small)


def add_batch_to_events(
    outlets: Iterable[Any] | None, context: Context, summary: Mapping[str, Any], results: Iterable[Mapping[str, Any]]
) -> None:
    """Put what a batch made into its asset events: an alias becomes each stored video, an asset gets the counts."""
    from airflow.sdk import AssetAlias

    shown = ("total", "succeeded", "failed", "manifest", "cost", "costs")
    made, counts = list(results), {name: summary[name] for name in shown if name in summary}
    for outlet in outlets or []:
        if isinstance(outlet, AssetAlias):
            for result in made:
                add_to_events([outlet], context, result)
        else:
            context["outlet_events"][outlet].extra.update(counts)
