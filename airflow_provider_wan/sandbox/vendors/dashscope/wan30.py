"""Wan 3.0: one model for all modes; the media decide.

help.aliyun.com/zh/model-studio/wan3-video-generation-api-reference
"""

from __future__ import annotations

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import RATIOS, SEED_MAX
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.dashscope.body import Body
from airflow_provider_wan.sandbox.vendors.wan_rules import Media
from airflow_provider_wan.sandbox.world.tasks import Order

TIERS = ("1080P", "720P", "480P")
RATIOS_30 = ("adaptive", "21:9", *RATIOS)
TYPES = {
    "first_frame": 1, "last_frame": 1, "reference_image": 10, "reference_video": 5,
    "reference_audio": 5, "file": 1, "link": 1,
}  # fmt: skip
EXCLUSIVE = (
    "The two modes are mutually exclusive. Do not pass reference_xx and first_frame/last_frame at the same time."
)


def order(body: Body) -> Order:
    """Read ``wan3.0-video`` and ``wan3.0-video-prime``."""
    prompt = body.input.text("prompt") or ""
    media = body.media(TYPES)
    if not prompt and not body.input.get("media"):
        body.input.complain(body.input.missing("prompt"))
    _check(body, media)
    tier = body.tier(TIERS)
    ratio = body.parameters.choice("ratio", RATIOS_30, default="adaptive")
    asked = body.parameters.integer("duration", 2, 30, default=5, also=(-1,)) or 5
    body.parameters.flag("audio")
    extend = body.parameters.flag("prompt_extend")
    if extend is False and wan_rules.kinds(media) & {"file", "link"}:
        rule = "must be true when a file or link is given"
        body.parameters.complain(body.parameters.wrong("prompt_extend", rule))
    body.parameters.flag("watermark")
    body.parameters.flag("enable_thinking")
    body.parameters.integer("seed", -1, SEED_MAX)
    frames = bool(wan_rules.kinds(media) & {"first_frame", "last_frame"})
    mode = "image_to_video" if frames else "reference_to_video" if media else "text_to_video"
    read = body.seconds_of(media, "reference_video")
    like = body.uploads.size(wan_rules.first(media, "first_frame", "reference_video"))
    seconds = 5 if asked == -1 else asked
    return body.made(mode, prompt, tier, ratio, seconds, like=like, read=read)


def _check(body: Body, media: list[Media]) -> None:
    """Refuse the combinations that the page excludes."""
    found = wan_rules.kinds(media)
    frames = found & {"first_frame", "last_frame"}
    if frames and found - frames:
        body.input.complain(Refusal(400, "InvalidParameter", EXCLUSIVE, field="input.media", late=EXCLUSIVE))
    if found == {"last_frame"}:
        body.input.complain(body.input.wrong("media", "must have a first_frame beside the last_frame"))
    if {"file", "link"} <= found:
        body.input.complain(body.input.wrong("media", "may have a file or a link, not both"))
