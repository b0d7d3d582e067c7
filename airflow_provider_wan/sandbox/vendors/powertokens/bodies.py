"""PowerTokens submit bodies; undocumented fields that its gateway hands on are read too."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import RATIOS, SEED_MAX, web_or_image, web_url
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.gateway_body import GatewayBody
from airflow_provider_wan.sandbox.vendors.wan_rules import Media
from airflow_provider_wan.sandbox.video.picture import tier_of
from airflow_provider_wan.sandbox.world.tasks import Order

TIERS = ("720P", "1080P")
_PIXELS = re.compile(r"(\d{3,4})[x*](\d{3,4})")


class PowerTokensBody(GatewayBody):
    """Turns a submit body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong."""

    def __init__(self, uploads: UploadStore, body: dict[str, Any], *, strict: bool) -> None:
        super().__init__(uploads, body, strict=strict, code="invalid_request")

    def order(self) -> Order:
        """Return the order, read by the rules of its model's page."""
        model = self._top.text("model", required=True) or ""
        for prefix, maker in (
            ("wan2.7-t2v", self._t2v),
            ("wan2.7-i2v", self._i2v),
            ("wan2.7-r2v", self._r2v),
            ("wan2.7-videoedit", self._edit),
            ("wan3.0-video", self._wan30),
        ):
            if model.startswith(prefix):
                return maker(model)
        if model.startswith("wan"):
            return self._other(model)
        raise Refusal(400, "model_not_found", f"No available channel for model {model}", field="model")

    def _prompts(self, *, required: bool) -> str:
        prompt = self._top.text("prompt", required=required, longest=5000) or ""
        self._top.text("negative_prompt", longest=500)
        self._switches()
        return prompt

    def _switches(self) -> None:
        self._top.flag("prompt_extend")
        self._top.flag("watermark")
        self._top.integer("seed", 0, SEED_MAX)

    def _seconds(self, least: int, most: int, *, also: tuple[int, ...] = (), default: int = 5) -> int:
        value = self._top.get("seconds")
        if value is None:
            return default
        if not isinstance(value, str) or not value.isdecimal():
            raise self._top.wrong("seconds", f'must be a string of digits such as "5", got {value!r:.40}')
        if not (least <= int(value) <= most or int(value) in also):
            raise self._top.wrong("seconds", f'must be from "{least}" to "{most}", got {value!r:.40}')
        return int(value)

    def _tier(self, tiers: tuple[str, ...] = TIERS) -> str:
        """Return the tier; the OpenAI SDKs name it by its pixels."""
        pixels = _PIXELS.fullmatch(str(self._top.get("size")))
        if pixels and (tier := tier_of((int(pixels[1]), int(pixels[2])))) in tiers:
            return tier
        return self._top.choice("size", tiers, default="1080P") or "1080P"

    def _t2v(self, model: str) -> Order:
        prompt = self._prompts(required=True)
        # Neither is on the page; the gateway hands both on.
        ratio = self._top.choice("ratio", RATIOS, default="16:9")
        self._top.url("audio_url", web_url)
        return self._made("text_to_video", model, prompt, self._tier(), ratio, self._seconds(2, 15))

    def _i2v(self, model: str) -> Order:
        prompt = self._prompts(required=False)
        media = self._media({"first_frame": 1, "last_frame": 1, "driving_audio": 1, "first_clip": 1})
        if not media:
            raise self._top.missing("media")
        wan_rules.check_i2v(media, self._top)
        like = self._uploads.size(wan_rules.first(media, "first_frame", "first_clip"))
        return self._made("image_to_video", model, prompt, self._tier(), None, self._seconds(2, 15), like=like)

    def _r2v(self, model: str) -> Order:
        prompt = self._prompts(required=True)
        media = self._media({"reference_image": 5, "reference_video": 5, "first_frame": 1}, voices=True)
        videos = [item.url for item in media if item.type == "reference_video"]
        wan_rules.check_references(
            wan_rules.count(media, "reference_image"), len(videos), lambda rule: self._top.wrong("media", rule)
        )
        ratio = self._top.choice("ratio", RATIOS, default="16:9")
        seconds = self._seconds(2, 10 if videos else 15)
        frame = wan_rules.first(media, "first_frame")
        read = min(5.0, sum(self._uploads.seconds(url) for url in videos))
        like = self._uploads.size(frame)
        shape = None if frame else ratio
        return self._made("reference_to_video", model, prompt, self._tier(), shape, seconds, like=like, read=read)

    def _edit(self, model: str) -> Order:
        """Read the edit body of sibling gateways; PowerTokens has no page for it."""
        prompt = self._prompts(required=False)
        media = self._media({"video": 1, "reference_image": 4})
        source = wan_rules.first(media, "video")
        if source is None:
            raise self._top.wrong("media", "must have exactly one item of type video")
        ratio = self._top.choice("ratio", RATIOS)
        self._top.choice("audio_setting", ("auto", "origin"))
        asked = self._seconds(2, 10, also=(0,), default=0)
        seconds = float(asked) or min(self._uploads.seconds(source), 10.0)
        like = self._uploads.size(source)
        return self._made("video_edit", model, prompt, self._tier(), ratio, seconds, like=like, read=seconds)

    def _wan30(self, model: str) -> Order:
        prompt = self._top.text("prompt", longest=20_000) or ""
        self._switches()
        self._top.flag("generate_audio")
        types = {
            "first_frame": 1, "last_frame": 1, "reference_image": 10, "reference_video": 5,
            "reference_audio": 5, "file": 1, "link": 1,
        }  # fmt: skip
        media = self._media(types)
        if not prompt and not media:
            raise self._top.missing("prompt")
        frames = wan_rules.kinds(media) & {"first_frame", "last_frame"}
        if frames and wan_rules.kinds(media) - frames:
            raise self._top.wrong("media", "may not have frames together with references, a file or a link")
        if {"file", "link"} <= wan_rules.kinds(media):
            raise self._top.wrong("media", "may have a file or a link, not both")
        ratio = self._top.choice("ratio", ("adaptive", *RATIOS), default="adaptive")
        mode = "image_to_video" if frames else "reference_to_video" if media else "text_to_video"
        like = self._uploads.size(wan_rules.first(media, "first_frame", "reference_video"))
        tier = self._tier(("480P", *TIERS))
        # All that is read of reference videos is billed.
        read = sum(self._uploads.seconds(item.url) for item in media if item.type == "reference_video")
        return self._made(mode, model, prompt, tier, ratio, self._seconds(2, 30), like=like, read=read)

    def _other(self, model: str) -> Order:
        prompt = self._top.text("prompt") or ""
        self._top.allow(*self._raw)
        mode = "image_to_video" if self._raw.get("media") else "text_to_video"
        return self._made(mode, model, prompt, self._tier(("480P", *TIERS)), None, self._seconds(1, 30))

    def _media(self, types: dict[str, int], *, voices: bool = False) -> list[Media]:
        # "asset://" stands for a file that was uploaded to the gateway.
        def image(url: str) -> str | None:
            return None if url.startswith("asset://") else web_or_image(url)

        def other(url: str) -> str | None:
            return None if url.startswith("asset://") else web_url(url)

        media = wan_rules.read_media(self._top, types, image=image, other=other, voices=voices)
        # The file part of the OpenAI SDKs is the frame that the video begins with.
        frame = self._top.url("input_reference", image) if "first_frame" in types else None
        return [*media, Media("first_frame", frame)] if frame else media
