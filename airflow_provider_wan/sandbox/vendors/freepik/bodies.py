"""Freepik / Magnific submit bodies; there is one page per mode, and no model field."""

from __future__ import annotations

from airflow_provider_wan.sandbox.front.bodies import RATIOS, SEED_MAX, web_url
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.gateway_body import GatewayBody
from airflow_provider_wan.sandbox.world.tasks import Order

TIERS = ("720P", "1080P")


class FreepikBody(GatewayBody):
    """Turns a submit body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong."""

    def order(self, mode: str, model: str) -> Order:
        """Return the order, read by the rules of its path's page."""
        if model != "wan-2-7":
            return self._other(mode, model)
        makers = {
            "text_to_video": self._t2v,
            "image_to_video": self._i2v,
            "reference_to_video": self._r2v,
            "video_edit": self._edit,
        }
        return makers[mode](model)

    def _common(self, *, prompt_required: bool) -> str:
        prompt = self._top.text("prompt", required=prompt_required, longest=5000) or ""
        self._top.text("negative_prompt", longest=500)
        self._top.integer("seed", 0, SEED_MAX)
        extra = self._top.object("additional_settings")
        extra.flag("prompt_extend")
        extra.rest(strict=self._strict)
        self._top.url("webhook_url", web_url)
        return prompt

    def _tier(self) -> str:
        return self._top.choice("resolution", TIERS, default="1080P") or "1080P"

    def _t2v(self, model: str) -> Order:
        prompt = self._common(prompt_required=True)
        self._top.url("audio_url", web_url)
        ratio = self._top.choice("aspect_ratio", RATIOS, default="16:9")
        seconds = self._top.integer("duration", 2, 15, default=5) or 5
        return self._made("text_to_video", model, prompt, self._tier(), ratio, seconds)

    def _i2v(self, model: str) -> Order:
        prompt = self._common(prompt_required=False)
        audio = self._top.url("audio_url", web_url)
        start = self._top.url("start_image_url", web_url)
        clip = self._top.url("video_url", web_url)
        self._top.url("end_image_url", web_url)
        if (start is None) == (clip is None):
            raise self._top.wrong("start_image_url", "or video_url is needed, one of the two")
        if clip and audio:
            raise self._top.wrong("audio_url", "does not go with video_url")
        seconds = self._top.integer("duration", 2, 15, default=5) or 5
        return self._made(
            "image_to_video", model, prompt, self._tier(), None, seconds, like=self._uploads.size(start or clip)
        )

    def _r2v(self, model: str) -> Order:
        prompt = self._common(prompt_required=True)
        images, videos = self._references("image_urls"), self._references("video_urls")
        frame = self._top.url("start_image_url", web_url)
        wan_rules.check_references(len(images), len(videos), lambda rule: self._top.wrong("image_urls", rule))
        ratio = self._top.choice("aspect_ratio", RATIOS, default="16:9")
        seconds = self._top.integer("duration", 2, 10, default=5) or 5
        read = min(5.0, sum(self._uploads.seconds(url) for url in videos))
        shape = None if frame else ratio
        like = self._uploads.size(frame)
        return self._made("reference_to_video", model, prompt, self._tier(), shape, seconds, like=like, read=read)

    def _edit(self, model: str) -> Order:
        prompt = self._common(prompt_required=False)
        source = self._top.url("video_url", web_url, required=True) or ""
        # The catalogue shows a plain list, the sibling path objects: both pass.
        for item in self._top.items("image_urls"):
            self._top.judge("image_urls", item.get("url") if isinstance(item, dict) else item, web_url)
        ratio = self._top.choice("aspect_ratio", RATIOS)
        asked = self._top.integer("duration", 2, 10, default=0, also=(0,)) or 0
        seconds = float(asked) or min(self._uploads.seconds(source), 10.0)
        like = self._uploads.size(source)
        return self._made("video_edit", model, prompt, self._tier(), ratio, seconds, like=like, read=seconds)

    def _other(self, mode: str, model: str) -> Order:
        """Read an older model's body for what it cannot do without; its path may name the tier."""
        prompt = self._common(prompt_required=mode == "text_to_video")
        seconds = self._top.integer("duration", 1, 15, default=5) or 5
        self._top.allow(*self._raw)
        tier = next((tier for tier in ("480P", *TIERS) if model.endswith(tier.lower())), None)
        return self._made(mode, model, prompt, tier or self._tier(), None, seconds)

    def _references(self, name: str) -> list[str]:
        urls = []
        for item in self._top.objects(name):
            urls.append(item.url("url", web_url, required=True) or "")
            item.url("reference_voice", web_url)
            item.rest(strict=True)
        return urls
