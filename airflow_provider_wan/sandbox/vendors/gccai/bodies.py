"""GCCAI / APIMart submit bodies; what each field may hold is on the page of its model."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import RATIOS, SEED_MAX, web_or_image, web_url
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.gateway_body import GatewayBody
from airflow_provider_wan.sandbox.world.tasks import Order, TaskFailure

TIERS = ("720P", "1080P")


class GccaiBody(GatewayBody):
    """Turns a submit body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong."""

    def __init__(self, uploads: UploadStore, body: dict[str, Any], *, strict: bool) -> None:
        super().__init__(uploads, body, strict=strict, code="invalid_parameter")

    def order(self) -> Order:
        """Return the order, read by the rules of its model's page."""
        model = self._top.text("model", required=True)
        match model:
            case "wan2.7":
                return self._wan27(model)
            case "wan2.7-r2v":
                return self._r2v(model)
            case "wan2.7-videoedit":
                return self._edit(model)
            case str() if model.startswith("wan"):
                return self._other(model)
        raise Refusal(400, "model_not_found", f"Model {model} is not available", field="model")

    def _common(self, *, prompt_required: bool) -> str:
        prompt = self._top.text("prompt", required=prompt_required, longest=5000) or ""
        self._top.text("negative_prompt", longest=500)
        self._top.flag("prompt_extend")
        self._top.flag("watermark")
        self._top.integer("seed", 0, SEED_MAX)
        return prompt

    def _wan27(self, model: str) -> Order:
        """Text to video, or image to video as soon as any image or video is given."""
        images = [self._top.judge("image_urls", url, web_or_image) for url in self._top.items("image_urls")]
        framed = self._roles(("first_frame", "last_frame"), "first_frame")
        clips = [self._top.judge("video_urls", url, web_url) for url in self._top.items("video_urls")]
        if images and framed:
            raise self._top.wrong("image_with_roles", "is an alternative to image_urls, not an addition")
        if len(images) > 2:
            raise self._top.wrong("image_urls", f"may have 2 images, first and last frame, got {len(images)}")
        roles = [role for role, _ in framed] or ["first_frame", "last_frame"][: len(images)]
        if len(set(roles)) < len(roles):
            raise self._top.wrong("image_with_roles", "may have each role once")
        if roles == ["last_frame"] and not clips:
            raise self._top.wrong("image_with_roles", "must have a first_frame beside the last_frame")
        moving = bool(images or framed or clips)
        prompt = self._common(prompt_required=not moving)
        self._top.url("audio_url", web_url)
        tier = self._top.choice("resolution", TIERS, default="1080P") or "1080P"
        seconds = self._top.integer("duration", 2, 15, default=5) or 5
        ratio = self._top.choice("size", RATIOS, default="16:9")
        first = next((url for role, url in framed if role == "first_frame"), None) or next(iter(images + clips), None)
        mode = "image_to_video" if moving else "text_to_video"
        return self._made(mode, model, prompt, tier, None if moving else ratio, seconds, like=self._uploads.size(first))

    def _r2v(self, model: str) -> Order:
        items = self._roles(("reference_image", "first_frame"), "reference_image", voices=True)
        videos = [self._top.judge("video_urls", url, web_url) for url in self._top.items("video_urls")]
        frames = [url for role, url in items if role == "first_frame"]
        if len(frames) > 1:
            raise self._top.wrong("image_with_roles", "may have one first_frame")
        wan_rules.check_references(
            len(items) - len(frames), len(videos), lambda rule: self._top.wrong("image_with_roles", rule)
        )
        prompt = self._common(prompt_required=True)
        tier = self._top.choice("resolution", TIERS, default="1080P") or "1080P"
        seconds = self._top.integer("duration", 2, 15, default=5) or 5
        ratio = self._top.choice("size", RATIOS, default="16:9")
        # The page allows 15 s in all cases; the model behind it does not.
        failure = None
        if videos and seconds > 10:
            failure = TaskFailure("InvalidParameter", "duration must be from 2 to 10 with a reference video")
        frame = next(iter(frames), None)
        return self._made(
            "reference_to_video",
            model,
            prompt,
            tier,
            None if frame else ratio,
            seconds,
            like=self._uploads.size(frame),
            failure=failure,
            read=min(5.0, sum(self._uploads.seconds(url) for url in videos)),
        )

    def _edit(self, model: str) -> Order:
        videos = [self._top.judge("video_urls", url, web_url) for url in self._top.items("video_urls")]
        if not videos:
            raise self._top.missing("video_urls")
        images = [self._top.judge("image_urls", url, web_or_image) for url in self._top.items("image_urls")]
        if len(images) > 4:
            raise self._top.wrong("image_urls", f"may have at most 4 images, got {len(images)}")
        prompt = self._common(prompt_required=False)
        tier = self._top.choice("resolution", TIERS, default="1080P") or "1080P"
        asked = self._top.integer("duration", 2, 10, default=0, also=(0,)) or 0
        ratio = self._top.choice("size", RATIOS)
        # Not in the stored part of the page, but the model behind it has it.
        self._top.choice("audio_setting", ("auto", "origin"))
        seconds = float(asked) or min(self._uploads.seconds(videos[0]), 10.0)
        like = self._uploads.size(videos[0])
        return self._made("video_edit", model, prompt, tier, ratio, seconds, like=like, read=seconds)

    def _other(self, model: str) -> Order:
        """Read a model that has no page here for what it cannot do without."""
        prompt = self._top.text("prompt") or ""
        tier = str(self._top.get("resolution") or "720P").upper()
        seconds = self._top.integer("duration", 1, 30, default=5) or 5
        ratio = str(self._top.get("aspect_ratio") or self._top.get("size") or "16:9")
        self._top.allow(*self._raw)
        if tier not in ("480P", *TIERS):
            raise self._top.wrong("resolution", "must be one of 480p, 720p, 1080p")
        if ratio not in ("adaptive", "21:9", *RATIOS):
            raise self._top.wrong("size", "is not a known ratio")
        moving = any(self._raw.get(name) for name in ("image_urls", "image_with_roles", "video_urls"))
        mode = "image_to_video" if moving else "text_to_video"
        clips = self._top.items("video_urls") if model.startswith("wan3.0") else []
        read = sum(self._uploads.seconds(str(url)) for url in clips)
        return self._made(mode, model, prompt, tier, ratio, seconds, read=read)

    def _roles(self, roles: tuple[str, ...], default: str, *, voices: bool = False) -> list[tuple[str, str]]:
        found = []
        for item in self._top.objects("image_with_roles"):
            role = item.choice("role", roles, default=default) or default
            url = item.url("url", web_or_image, required=True) or ""
            if voices and role == "reference_image":
                item.url("reference_voice", web_url)
            item.rest(strict=True)
            found.append((role, url))
        return found
