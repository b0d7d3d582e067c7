"""HappyHorse 1.0 and 1.1, which DashScope sells on the same path: 3 to 15 seconds, up to nine reference images."""

from __future__ import annotations

from airflow_provider_wan.sandbox.front.bodies import RATIOS
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.dashscope.body import Body, unknown_model
from airflow_provider_wan.sandbox.vendors.dashscope.wan27 import video_edit
from airflow_provider_wan.sandbox.world.tasks import Order

ALL_RATIOS = (*RATIOS, "4:5", "5:4", "21:9", "9:21")


def order(body: Body) -> Order:
    """Read a HappyHorse body by what its model's name says it makes; raises ``Refusal`` for a model not sold."""
    # Only the newer generation has the smallest size.
    tiers = ("1080P", "720P", "480P") if body.model.startswith("happyhorse-1.1") else ("1080P", "720P")
    if "t2v" in body.model:
        prompt, like = body.prompts(required=True), None
        mode, ratio = "text_to_video", body.parameters.choice("ratio", ALL_RATIOS, default="16:9")
    elif "i2v" in body.model:
        prompt = body.prompts(required=False)
        media = body.media({"first_frame": 1})
        if not media:
            body.input.complain(body.input.missing("media"))
        like, mode, ratio = body.uploads.size(wan_rules.first(media, "first_frame")), "image_to_video", None
    elif "r2v" in body.model:
        prompt, like = body.prompts(required=True), None
        if not body.media({"reference_image": 9}):
            body.input.complain(body.input.missing("media"))
        mode, ratio = "reference_to_video", body.parameters.choice("ratio", ALL_RATIOS, default="16:9")
    elif "edit" in body.model:
        return video_edit(body, images=5, least=3, tiers=tiers)
    else:
        raise unknown_model()
    tier = body.tier(tiers)
    seconds = body.parameters.integer("duration", 3, 15, default=5) or 5
    body.common()
    return body.made(mode, prompt, tier, ratio, seconds, like=like)
