"""One create body under reading: its three objects, and what all models make of them."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import SEED_MAX, Complaints, Reader, common_rest
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors import wan_rules
from airflow_provider_wan.sandbox.vendors.wan_rules import Media
from airflow_provider_wan.sandbox.video.picture import ratio_of, size_of
from airflow_provider_wan.sandbox.world.tasks import Order, shortened

# Fields that the official SDK's older class adds to every body.
SDK_EXTRAS = ("extend_prompt", "function")


class Body:
    """``model``, ``input`` and ``parameters`` of a request, with the readings that models share."""

    def __init__(
        self, uploads: UploadStore, raw: dict[str, Any], *, resolve_oss: bool, strict: bool, complaints: Complaints
    ) -> None:
        self.uploads = uploads
        self.raw = raw
        self._strict = strict
        self._top = Reader(raw, complaints=complaints)
        self.model = self._top.get("model") if isinstance(raw.get("model"), str) else ""
        if raw.get("input") is None:
            self._top.complain(self._top.missing("input"))
        self.input = self._top.object("input")
        self.parameters = self._top.object("parameters")
        self.input.allow(*SDK_EXTRAS)
        self._image = uploads.check(self.model, resolve_oss=resolve_oss, images=True)
        self.web = uploads.check(self.model, resolve_oss=resolve_oss, images=False)

    def prompts(self, *, required: bool) -> str:
        """Return the prompt; a longer one is cut by the vendor without a word, so length is no reason to refuse."""
        prompt = self.input.text("prompt", required=required) or ""
        self.input.text("negative_prompt")
        return prompt

    def common(self) -> None:
        """Read the parameters that every model has."""
        self.parameters.flag("prompt_extend")
        self.parameters.flag("watermark")
        self.parameters.integer("seed", 0, SEED_MAX)

    def tier(self, tiers: tuple[str, ...]) -> str:
        """Return the resolution."""
        return self.parameters.choice("resolution", tiers, default="1080P") or "1080P"

    def media(self, types: dict[str, int], *, voices: bool = False) -> list[Media]:
        """Return ``input.media``, with at most so many items of each type."""
        return wan_rules.read_media(
            self.input, types, image=self._image, other=self.web, voices=voices, strict=self._strict
        )

    def seconds_of(self, media: list[Media], kind: str) -> float:
        """Return how long the videos of a type are together."""
        return sum(self.uploads.seconds(item.url) for item in media if item.type == kind)

    def source_length(self, source: str | None, asked: int, longest: float = 10.0) -> float:
        """Return how many seconds an edit makes: what is asked, else as long as the source."""
        if asked:
            return float(asked)
        return min(self.uploads.seconds(source), longest) if source else longest

    def made(
        self,
        mode: str,
        prompt: str,
        tier: str,
        ratio: str | None,
        seconds: float,
        *,
        like: tuple[int, int] | None = None,
        exact: tuple[int, int] | None = None,
        read: float = 0.0,
    ) -> Order:
        """Return the order; ``like`` lends its shape, ``exact`` is the size itself."""
        size = exact or size_of(tier, ratio, like)
        # A field in the wrong place is ignored, as the real API does, unless somebody looks for typos.
        unknown = common_rest([self._top, self.input, self.parameters], strict=self._strict, misplaced=False)
        return Order(
            mode=mode,
            model=self.model,
            prompt=prompt,
            tier=tier,
            size=size,
            seconds=float(seconds),
            input_seconds=read,
            ratio=ratio if ratio not in (None, "adaptive") else ratio_of(size),
            body=shortened(self.raw),
            unknown_fields=unknown,
        )

    def doomed(self, reason: str) -> Order:
        """Return the order of a body that is taken now and found wrong right after."""
        prompt = self.input.get("prompt")
        return Order(
            mode="text_to_video",
            model=self.model,
            prompt=prompt if isinstance(prompt, str) else "",
            tier="720P",
            size=(1280, 720),
            seconds=5.0,
            rejected=reason,
            body=shortened(self.raw),
        )


def unknown_model() -> Refusal:
    """Return the no that comes at once, whatever else is wrong."""
    return Refusal(400, "InvalidParameter", "Model not exist.", field="model")
