"""Wan 2.7: four models, one page each.

help.aliyun.com/zh/model-studio: text-to-video-api-reference, image-to-video-general-api-reference,
wan-video-to-video-api-reference, wan-video-editing-api-reference.
"""

from __future__ import annotations

from airflow_provider_wan.sandbox.front.bodies import RATIOS
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.dashscope.body import Body
from airflow_provider_wan.sandbox.world.tasks import Order

TIERS = ("1080P", "720P")


def text_to_video(body: Body) -> Order:
    """Read ``wan2.7-t2v``."""
    prompt = body.prompts(required=True)
    body.input.url("audio_url", body.web)
    tier = body.tier(TIERS)
    ratio = body.parameters.choice("ratio", RATIOS, default="16:9")
    seconds = body.parameters.integer("duration", 2, 15, default=5) or 5
    body.common()
    return body.made("text_to_video", prompt, tier, ratio, seconds)


def image_to_video(body: Body) -> Order:
    """Read ``wan2.7-i2v``; with a first clip, the length is that of clip and continuation together."""
    prompt = body.prompts(required=False)
    media = body.media({"first_frame": 1, "last_frame": 1, "driving_audio": 1, "first_clip": 1})
    if not body.input.get("media"):
        raise body.input.missing("media")
    wan_rules.check_i2v(media, body.input)
    tier = body.tier(TIERS)
    seconds = body.parameters.integer("duration", 2, 15, default=5) or 5
    body.common()
    clip = wan_rules.first(media, "first_clip")
    length = body.uploads.known_seconds(clip)
    if length is not None and length >= seconds:
        late = f"first_clip duration ({length:.2f}s after trim) must be less than the requested duration ({seconds}s)"
        body.input.complain(body.parameters.wrong("duration", f"must be more than the clip's {length:.2f} s", late))
    like = body.uploads.size(wan_rules.first(media, "first_frame", "first_clip"))
    return body.made("image_to_video", prompt, tier, None, seconds, like=like)


def reference_to_video(body: Body) -> Order:
    """Read ``wan2.7-r2v``; at most five seconds of the reference videos are billed."""
    prompt = body.prompts(required=True)
    media = body.media({"reference_image": 5, "reference_video": 5, "first_frame": 1}, voices=True)
    if not body.input.get("media"):
        body.input.complain(body.input.missing("media"))
    videos = wan_rules.count(media, "reference_video")
    if wan_rules.kinds(media) == {"first_frame"}:
        raise body.input.wrong(
            "media", "needs a reference beside the frame", "Only first frame provided is not allowed"
        )
    wan_rules.check_references(
        wan_rules.count(media, "reference_image"), videos, lambda rule: body.input.wrong("media", rule)
    )
    tier = body.tier(TIERS)
    ratio = body.parameters.choice("ratio", RATIOS, default="16:9")
    seconds = body.parameters.integer("duration", 2, 10 if videos else 15, default=5) or 5
    body.common()
    frame = wan_rules.first(media, "first_frame")
    read = min(body.seconds_of(media, "reference_video"), 5.0)
    like = body.uploads.size(frame)
    return body.made("reference_to_video", prompt, tier, None if frame else ratio, seconds, like=like, read=read)


def video_edit(body: Body, images: int = 4, least: int = 2, tiers: tuple[str, ...] = TIERS) -> Order:
    """Read ``wan2.7-videoedit``; what is read of the source is billed as what is made."""
    prompt = body.prompts(required=False)
    media = body.media({"video": 1, "reference_image": images})
    if not body.input.get("media"):
        raise body.input.missing("media")
    source = wan_rules.first(media, "video")
    if source is None:
        body.input.complain(body.input.wrong("media", "must have exactly one item of type video"))
    tier = body.tier(tiers)
    ratio = body.parameters.choice("ratio", RATIOS)
    asked = body.parameters.integer("duration", least, 10, default=0, also=(0,)) or 0
    body.parameters.choice("audio_setting", ("auto", "origin"))
    body.common()
    seconds = body.source_length(source, asked)
    like = body.uploads.size(source)
    return body.made("video_edit", prompt, tier, ratio, seconds, like=like, read=seconds)
