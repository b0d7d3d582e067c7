"""Create bodies of the OpenAI dialect: ``size`` in pixels, ``seconds`` as text, one picture at most."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_wan.sandbox.front.bodies import SEED_MAX, Reader, common_rest, web_or_image
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.video.picture import ratio_of, tier_of
from airflow_provider_wan.sandbox.world.tasks import Order, shortened

_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
_SECONDS = re.compile(r"\d{1,3}(\.\d+)?")
LONGEST = 60
# What self-hosted servers take beside OpenAI's own fields (docs.vllm.ai/projects/vllm-omni, docs.sglang.ai).
SAMPLING = (
    "n", "fps", "num_frames", "num_inference_steps", "guidance_scale", "guidance_scale_2", "flow_shift",
    "boundary_ratio", "width", "height", "enable_cache", "response_format", "user", "extra_body",
)  # fmt: skip


class Bodies:
    """Turns a create body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong."""

    def __init__(self, uploads: UploadStore, body: dict[str, Any], *, strict: bool) -> None:
        self._uploads = uploads
        self._raw = body
        self._strict = strict
        self._top = Reader(body, code="invalid_value")

    def order(self) -> Order:
        """Return the order; without a model the server's only one is meant."""
        model = self._top.text("model") or "wan"
        prompt = self._top.text("prompt", required=True) or ""
        self._top.text("negative_prompt")
        self._top.integer("seed", 0, SEED_MAX)
        self._top.flag("generate_sound")
        self._top.allow(*SAMPLING, "remixed_from")
        picture = self._picture()
        size, seconds = self._size(), self._seconds()
        return Order(
            mode="image_to_video" if picture else "text_to_video",
            model=model,
            prompt=prompt,
            tier=tier_of(size),
            size=size,
            seconds=seconds,
            ratio=ratio_of(size),
            body=shortened(self._raw),
            unknown_fields=common_rest([self._top], strict=self._strict, misplaced=False),
        )

    def _picture(self) -> str | None:
        given = self._top.get("input_reference")
        if isinstance(given, dict):
            # The JSON form of OpenAI's page.
            return self._top.object("input_reference").url("image_url", web_or_image, required=True)
        # Two servers' own names for a picture that they fetch.
        other = self._top.url("reference_url", web_or_image)
        if isinstance(self._top.get("image_reference"), dict):
            other = self._top.object("image_reference").url("image_url", web_or_image, required=True)
        return self._top.url("input_reference", web_or_image) or other

    def _size(self) -> tuple[int, int]:
        text = self._top.text("size") or "1280x720"
        match = _SIZE.fullmatch(text)
        if match is None:
            raise self._top.wrong("size", f"must be WIDTHxHEIGHT in pixels, got {text!r:.40}")
        return int(match[1]) // 2 * 2, int(match[2]) // 2 * 2

    def _seconds(self) -> float:
        text = self._top.text("seconds") or "4"
        if not _SECONDS.fullmatch(text) or not 0 < float(text) <= LONGEST:
            raise self._top.wrong("seconds", f"must be a number up to {LONGEST} as a string, got {text!r:.40}")
        return float(text)
