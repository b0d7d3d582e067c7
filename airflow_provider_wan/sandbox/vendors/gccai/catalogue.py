"""What GCCAI / APIMart says of its models: list, input schema, documentation, prices.

Follows what its own client asks for before each creation (github.com/apimart-ai/apimart-skills).
"""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import RATIOS
from airflow_provider_wan.sandbox.world.prices import price_of

MODELS = ("wan2.7", "wan2.7-r2v", "wan2.7-videoedit", "wan2.7-t2v", "wan2.7-i2v", "wan3.0-video")
DOCS = "https://docs.apimart.ai/en/api-reference/videos"
TIERS = ("480P", "720P", "1080P")
_URLS = {"type": "array", "items": {"type": "string"}}
_FIELDS: dict[str, dict[str, Any]] = {
    "prompt": {"type": "string", "maxLength": 5000},
    "negative_prompt": {"type": "string", "maxLength": 500},
    "resolution": {"type": "string", "enum": ["720P", "1080P"], "default": "1080P"},
    "duration": {"type": "integer", "default": 5},
    "size": {"type": "string", "enum": list(RATIOS), "default": "16:9"},
    "image_urls": _URLS,
    "video_urls": _URLS,
    "image_with_roles": {"type": "array", "items": {"type": "object"}},
    "prompt_extend": {"type": "boolean", "default": True},
    "watermark": {"type": "boolean", "default": False},
    "seed": {"type": "integer", "minimum": 0},
}


def models() -> dict[str, Any]:
    """Return the list of models."""
    rows = [{"id": name, "object": "model", "created": 1775174400, "owned_by": "alibaba"} for name in MODELS]
    return {"object": "list", "data": rows}


def schema(model: str | None, operation: str | None) -> dict[str, Any]:
    """Return the input schema of a model; raises ``Refusal`` for one that is not sold, or not for this."""
    name = known(model)
    if operation not in (None, "video_generation"):
        raise Refusal(400, "operation_mismatch", f"Model {name} is not available for {operation}", field="operation")
    return {
        "object": "model.schema",
        "model": name,
        "operation": "video_generation",
        "input_schema": {"type": "object", "properties": _FIELDS},
    }


def docs(model: str | None, now: float) -> dict[str, Any]:
    """Return a model's page; raises ``Refusal`` for one that is not sold."""
    url = f"{DOCS}/{known(model)}/generation"
    return {
        "object": "model.documentation",
        "model": model,
        "doc_url": url,
        "markdown_url": f"{url}.md",
        "markdown": f"# {model}\n\nThe sandbox keeps no copy of the page: see {url}.",
        "fetched_at": int(now),
        "cache_ttl_seconds": 3600,
        "stale": False,
    }


def prices(model: str | None) -> dict[str, Any]:
    """Return what a second of a model costs, by tier; raises ``Refusal`` for one that is not sold."""
    name = known(model)
    rows = [(tier, price_of("gccai", "", name, tier)) for tier in TIERS]
    per_second = {tier: float(price.amount) for tier, price in rows if price is not None}
    return {"success": True, "data": {"model": name, "unit": "second", "currency": "USD", "prices": per_second}}


def known(model: str | None) -> str:
    """Return the name of a model that is sold; raises ``Refusal`` (404)."""
    if model not in MODELS:
        raise Refusal(404, "model_not_found", f"Model {model} is not available", field="model")
    return model
