"""The families before Wan 2.7, which no new work should use: only what they cannot do without is read."""

from __future__ import annotations

import re

from airflow_provider_wan.sandbox.vendors.dashscope.body import Body
from airflow_provider_wan.sandbox.world.tasks import Order

TIERS = ("1080P", "720P", "480P")
PICTURES = ("img_url", "first_frame_url", "image_url", "media", "template")
_SIZE = re.compile(r"(\d{2,4})\*(\d{2,4})")
# The first pattern that a model's name holds decides; the speech models are called s2v, which holds no i2v.
MODES = (
    (re.compile(r"i2v|kf2v|animate-(move|mix)|s2v"), "image_to_video"),
    (re.compile(r"r2v"), "reference_to_video"),
    (re.compile(r"vace|edit"), "video_edit"),
)


def order(body: Body) -> Order:
    """Read what an older model needs at least; the rest passes unread."""
    model, given = body.model, body.raw.get("input")
    mode = next((mode for pattern, mode in MODES if pattern.search(model)), "text_to_video")
    fields = given if isinstance(given, dict) else {}
    if mode == "image_to_video" and not any(fields.get(name) for name in PICTURES):
        body.input.complain(body.input.missing("first_frame_url" if "kf2v" in model else "img_url"))
    prompt = body.input.text("prompt", required="t2v" in model or "r2v" in model) or ""
    tier = body.parameters.choice("resolution", TIERS, default="720P") or "720P"
    seconds = body.parameters.integer("duration", 1, 30, default=5) or 5
    size = _SIZE.fullmatch(str(body.parameters.get("size") or ""))
    body.input.allow(*fields)
    parameters = body.raw.get("parameters")
    body.parameters.allow(*(parameters if isinstance(parameters, dict) else {}))
    exact = (int(size[1]) // 2 * 2, int(size[2]) // 2 * 2) if size else None
    return body.made(mode, prompt, tier, None, seconds, exact=exact)
