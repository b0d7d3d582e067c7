"""DashScope request bodies: which model takes what, and what it makes of it.

Wan 2.7 and 3.0 strictly as documented; older families, which no new work should use, only for what they
cannot do without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import RATIOS, SEED_MAX, Reader, common_rest
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.wan_rules import Media
from airflow_provider_wan.sandbox.video.picture import ratio_of, size_of
from airflow_provider_wan.sandbox.world.tasks import Order, shortened

TIERS_27 = ("720P", "1080P")
TIERS_30 = ("480P", "720P", "1080P")
RATIOS_30 = ("adaptive", "21:9", *RATIOS)
# Fields that the official SDK's older class adds to every body.
SDK_EXTRAS = ("extend_prompt", "function")
_SIZE = re.compile(r"(\d{2,4})\*(\d{2,4})")

IMAGE_PATH_MODELS = re.compile(r"kf2v|animate-(move|mix)|s2v")


class Bodies:
    """Turns a create body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong."""

    def __init__(self, uploads: UploadStore, body: dict[str, Any], *, resolve_oss: bool, strict: bool) -> None:
        self._uploads = uploads
        self._strict = strict
        self._raw = body
        self._top = Reader(body)
        self._model = self._top.text("model") or ""
        self._image = uploads.check(self._model, resolve_oss=resolve_oss, images=True)
        self._other = uploads.check(self._model, resolve_oss=resolve_oss, images=False)

    def order(self, path: str) -> Order:
        """Return the order of a body that came in on ``path`` (``video-generation`` or ``image2video``)."""
        model = self._model
        if not model:
            raise self._top.missing("model")
        if not model.startswith("wan"):
            raise Refusal(400, "InvalidParameter", "Model not exist.", field="model")
        if (path == "image2video") != bool(IMAGE_PATH_MODELS.search(model)):
            raise Refusal(400, "InvalidParameter", "url error, please check url！", field="model")  # noqa: RUF001 - theirs
        if not isinstance(self._raw.get("input"), dict):
            raise self._top.missing("input")
        self._input = self._top.object("input")
        self._parameters = self._top.object("parameters")
        self._input.allow(*SDK_EXTRAS)
        return self._maker()()

    def _maker(self) -> Callable[[], Order]:
        for prefix, maker in (
            ("wan3.0-video", self._wan30),
            ("wan2.7-t2v", self._t2v),
            ("wan2.7-i2v", self._i2v),
            ("wan2.7-r2v", self._r2v),
            ("wan2.7-videoedit", self._edit),
        ):
            if self._model.startswith(prefix):
                return maker
        return self._older

    # Wan 2.7 -----------------------------------------------------------------------------------------------

    def _prompts(self, *, required: bool) -> str:
        # Longer prompts are cut by the vendor without a word, so length is no reason to refuse.
        prompt = self._input.text("prompt", required=required) or ""
        self._input.text("negative_prompt")
        return prompt

    def _common(self) -> None:
        self._parameters.flag("prompt_extend")
        self._parameters.flag("watermark")
        self._parameters.integer("seed", 0, SEED_MAX)

    def _tier(self, tiers: tuple[str, ...] = TIERS_27) -> str:
        return self._parameters.choice("resolution", tiers, default="1080P") or "1080P"

    def _t2v(self) -> Order:
        prompt = self._prompts(required=True)
        self._input.url("audio_url", self._other)
        tier = self._tier()
        ratio = self._parameters.choice("ratio", RATIOS, default="16:9") or "16:9"
        seconds = self._parameters.integer("duration", 2, 15, default=5) or 5
        self._common()
        return self._made("text_to_video", prompt, tier, ratio, seconds, "t2v")

    def _i2v(self) -> Order:
        prompt = self._prompts(required=False)
        types = {"first_frame": 1, "last_frame": 1, "driving_audio": 1, "first_clip": 1}
        media = self._media(types)
        if not media:
            raise self._input.missing("media")
        wan_rules.check_i2v(media, self._input)
        tier = self._tier()
        seconds = self._parameters.integer("duration", 2, 15, default=5) or 5
        self._common()
        like = self._uploads.size(wan_rules.first(media, "first_frame", "first_clip"))
        return self._made("image_to_video", prompt, tier, None, seconds, "i2v", like=like)

    def _r2v(self) -> Order:
        prompt = self._prompts(required=True)
        media = self._media({"reference_image": 5, "reference_video": 5, "first_frame": 1}, voices=True)
        videos = wan_rules.count(media, "reference_video")
        wan_rules.check_references(
            wan_rules.count(media, "reference_image"), videos, lambda rule: self._input.wrong("media", rule)
        )
        tier = self._tier()
        ratio = self._parameters.choice("ratio", RATIOS, default="16:9")
        seconds = self._parameters.integer("duration", 2, 10 if videos else 15, default=5) or 5
        self._common()
        frame = wan_rules.first(media, "first_frame")
        read = sum(self._uploads.seconds(item.url) for item in media if item.type == "reference_video")
        return self._made(
            "reference_to_video",
            prompt,
            tier,
            None if frame else ratio,
            seconds,
            "r2v",
            like=self._uploads.size(frame),
            read=min(read, 5.0),
        )

    def _edit(self) -> Order:
        prompt = self._prompts(required=False)
        media = self._media({"video": 1, "reference_image": 4})
        source = wan_rules.first(media, "video")
        if source is None:
            raise self._input.wrong("media", "must have exactly one item of type video")
        tier = self._tier()
        ratio = self._parameters.choice("ratio", RATIOS)
        asked = self._parameters.integer("duration", 2, 10, default=0, also=(0,)) or 0
        self._parameters.choice("audio_setting", ("auto", "origin"))
        self._common()
        seconds = float(asked) or min(self._uploads.seconds(source), 10.0)
        like = self._uploads.size(source)
        return self._made("video_edit", prompt, tier, ratio, seconds, "edit", like=like, read=seconds)

    # Wan 3.0 -----------------------------------------------------------------------------------------------

    def _wan30(self) -> Order:
        prompt = self._input.text("prompt") or ""
        types = {
            "first_frame": 1, "last_frame": 1, "reference_image": 10, "reference_video": 5,
            "reference_audio": 5, "file": 1, "link": 1,
        }  # fmt: skip
        media = self._media(types)
        if not prompt and not media:
            raise self._input.missing("prompt")
        self._check_30(media)
        tier = self._tier(TIERS_30)
        ratio = self._parameters.choice("ratio", RATIOS_30, default="adaptive")
        asked = self._parameters.integer("duration", 2, 30, default=5, also=(-1,)) or 5
        self._parameters.flag("audio")
        extend = self._parameters.flag("prompt_extend")
        if extend is False and wan_rules.kinds(media) & {"file", "link"}:
            raise self._parameters.wrong("prompt_extend", "must be true when a file or link is given")
        self._parameters.flag("watermark")
        self._parameters.flag("enable_thinking")
        self._parameters.integer("seed", -1, SEED_MAX)
        frames = bool(wan_rules.kinds(media) & {"first_frame", "last_frame"})
        mode = "image_to_video" if frames else "reference_to_video" if media else "text_to_video"
        read = sum(self._uploads.seconds(item.url) for item in media if item.type == "reference_video")
        like = self._uploads.size(wan_rules.first(media, "first_frame", "reference_video"))
        seconds = 5 if asked == -1 else asked
        return self._made(mode, prompt, tier, ratio, seconds, "wan30", like=like, read=read)

    def _check_30(self, media: list[Media]) -> None:
        """Refuse the combinations of help.aliyun.com/zh/model-studio/wan3-video-generation-api-reference."""
        found = wan_rules.kinds(media)
        frames = found & {"first_frame", "last_frame"}
        if frames and found - frames:
            raise Refusal(
                400,
                "InvalidParameter",
                "The two modes are mutually exclusive. "
                "Do not pass reference_xx and first_frame/last_frame at the same time.",
                field="input.media",
            )
        if found == {"last_frame"}:
            raise self._input.wrong("media", "must have a first_frame beside the last_frame")
        if {"file", "link"} <= found:
            raise self._input.wrong("media", "may have a file or a link, not both")

    # Before Wan 2.7 ----------------------------------------------------------------------------------------

    def _older(self) -> Order:
        """Read what the older families need at least; the rest passes unread."""
        model = self._model
        pictures = ("img_url", "first_frame_url", "image_url", "media", "template")
        if "i2v" in model or IMAGE_PATH_MODELS.search(model):
            if not any(self._raw["input"].get(name) for name in pictures):
                raise self._input.missing("first_frame_url" if "kf2v" in model else "img_url")
            mode = "image_to_video"
        elif "r2v" in model:
            mode = "reference_to_video"
        elif "vace" in model or "edit" in model:
            mode = "video_edit"
        else:
            mode = "text_to_video"
        prompt = self._input.text("prompt", required="t2v" in model or "r2v" in model) or ""
        tier = self._parameters.choice("resolution", TIERS_30, default="720P") or "720P"
        seconds = self._parameters.integer("duration", 1, 30, default=5) or 5
        size = _SIZE.fullmatch(str(self._parameters.get("size") or ""))
        self._input.allow(*self._raw["input"])
        self._parameters.allow(*(self._raw.get("parameters") or {}))
        like = (int(size[1]), int(size[2])) if size else None
        return self._made(mode, prompt, tier, None, seconds, _older_family(model), like=like)

    # Shared ------------------------------------------------------------------------------------------------

    def _media(self, types: dict[str, int], *, voices: bool = False) -> list[Media]:
        return wan_rules.read_media(self._input, types, image=self._image, other=self._other, voices=voices)

    def _made(
        self,
        mode: str,
        prompt: str,
        tier: str,
        ratio: str | None,
        seconds: float,
        family: str,
        *,
        like: tuple[int, int] | None = None,
        read: float = 0.0,
    ) -> Order:
        exact = family.startswith("older") and like is not None
        size = _even(like) if exact and like else size_of(tier, ratio, like)
        unknown = common_rest([self._top, self._input, self._parameters], strict=self._strict)
        return Order(
            mode=mode,
            model=self._model,
            prompt=prompt,
            tier=tier,
            size=size,
            seconds=float(seconds),
            input_seconds=read,
            ratio=ratio if ratio not in (None, "adaptive") else ratio_of(size),
            family=family,
            body=shortened(self._raw),
            unknown_fields=unknown,
        )


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2 * 2, size[1] // 2 * 2


def _older_family(model: str) -> str:
    if re.search(r"animate|s2v", model):
        return "older-results"
    return "older-26" if model.startswith("wan2.6") else "older"


def usage(order: Order) -> dict[str, Any]:
    """Return the ``usage`` object that the model's page shows for a finished task."""
    lines = int(order.tier.rstrip("P"))
    total, made, read = order.billed_seconds, order.seconds, order.input_seconds
    match order.family:
        case "wan30":
            return {
                "video_count": 1, "duration": total, "input_video_duration": read, "output_video_duration": made,
                "fps": 30, "SR": lines, "ratio": order.ratio,
            }  # fmt: skip
        case "i2v":
            numbers = (_whole(total), _whole(read), _whole(made))
        case "t2v" | "r2v" | "edit" | "older-26":
            numbers = (total, read, made)
        case "older-results":
            return {"video_duration": made, "video_ratio": "standard"}
        case _:
            return {"video_duration": _whole(made), "video_ratio": f"{order.size[0]}*{order.size[1]}", "video_count": 1}
    shown: dict[str, Any] = dict(
        zip(("duration", "input_video_duration", "output_video_duration"), numbers, strict=True)
    )
    shown |= {"video_count": 1, "SR": lines}
    if order.family in ("t2v", "r2v"):
        shown["ratio"] = order.ratio
    if order.family == "older-26":
        shown["size"] = f"{order.size[0]}*{order.size[1]}"
    return shown


def _whole(seconds: float) -> float | int:
    return int(seconds) if math.isclose(seconds, round(seconds)) else seconds
