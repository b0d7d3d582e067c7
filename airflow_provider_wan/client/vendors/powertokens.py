"""PowerTokens: OpenAI-style video tasks.

Follows https://docs.powertokens.ai/en/zmodelVideo/ali/text-to-video, .../wan2.7-i2v-first-last-frame,
.../reference-to-video and .../wan3.0-video-generation; the query follows the gateway's sibling pages
(https://docs.powertokens.ai/en/minimax/query-video-status), since Wan has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation
from airflow_provider_wan.client.exchange import Call
from airflow_provider_wan.client.requests import (
    ImageToVideoRequest,
    ReferenceToVideoRequest,
    TextToVideoRequest,
    VideoEditRequest,
    VideoRequest,
    media_urls,
)
from airflow_provider_wan.client.rules.request import Family, family_of
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.vendors.base import cannot, check_schemes, merge, undocumented, without_none
from airflow_provider_wan.client.vendors.failures import Failure
from airflow_provider_wan.client.vendors.media_array import media
from airflow_provider_wan.client.vendors.videos_api import VideosApi

OLD_PROMPT_LIMIT = 800


class PowerTokens(VideosApi):
    """PowerTokens, a gateway whose creation takes tiers and media lists."""

    name = "powertokens"
    title = "PowerTokens"
    parameter_names = {
        "size": "resolution",
        "seconds": "duration",
        "media": {
            Mode.IMAGE_TO_VIDEO: "first_frame, last_frame, first_clip or driving_audio",
            Mode.REFERENCE_TO_VIDEO: "reference_images, reference_videos or first_frame",
            Mode.VIDEO_EDIT: "video or reference_images",
        },
    }
    default_host = "api.powertokens.ai"
    default_models = {
        Mode.TEXT_TO_VIDEO: "wan2.7-t2v",
        Mode.IMAGE_TO_VIDEO: "wan2.7-i2v",
        Mode.REFERENCE_TO_VIDEO: "wan2.7-r2v",
        Mode.VIDEO_EDIT: "wan2.7-videoedit",
    }
    cost_of_failure = " (failed tasks are refunded)"
    failure_codes = (
        # What stands behind the gateway speaks in its message: the code says only that it failed.
        ("~arrearage", Failure.BILLING),
        ("~overdue", Failure.BILLING),
        ("~free allocated quota exceeded", Failure.BILLING),
        ("~internalerror", Failure.SERVER),
        ("~request timeout", Failure.SERVER),
        ("~failed to find the requested media resource", Failure.REQUEST),
        ("~failed to download", Failure.SERVER),
        ("~throttling", Failure.THROTTLED),
        ("~invalidparameter", Failure.REQUEST),
        ("insufficient_", Failure.BILLING),
        ("~insufficient balance", Failure.BILLING),
        ("~insufficient credit", Failure.BILLING),
        ("~insufficient quota", Failure.BILLING),
        ("~insufficient user quota", Failure.BILLING),
        ("~quota is not enough", Failure.BILLING),
        ("~balance is not enough", Failure.BILLING),
        ("~balance is too low", Failure.BILLING),
        ("invalid_request", Failure.REQUEST),
        ("invalid_parameter", Failure.REQUEST),
        ("InvalidParameter", Failure.REQUEST),
        ("task_not_exist", Failure.NOT_FOUND),
        ("rate_limit", Failure.THROTTLED),
    )

    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what PowerTokens cannot express, or does not document."""
        is_3 = family_of(model) is Family.WAN_3_0
        if request.webhook_url:
            yield cannot(self.title, "webhook_url", request.webhook_url)
        schemes = ("http", "https", "asset", "data") if is_3 else ("http", "https")
        yield from check_schemes(self.title, media_urls(request), schemes)
        if is_3:
            if request.duration == -1:
                yield undocumented(self.title, "duration", request.duration)
            if request.ratio == "21:9":
                yield undocumented(self.title, "ratio", request.ratio)
            # Its page of Wan 3.0 has no such switches; at their defaults they are left out.
            if request.watermark:
                yield undocumented(self.title, "watermark", request.watermark)
            if not request.prompt_extend:
                yield undocumented(self.title, "prompt_extend", request.prompt_extend)
            return
        match request:
            case TextToVideoRequest():
                if request.ratio and request.ratio != "16:9":
                    yield undocumented(self.title, "ratio", request.ratio)
                if request.audio_url:
                    yield undocumented(self.title, "audio_url", request.audio_url)
            case ReferenceToVideoRequest():
                for name in ("reference_images", "reference_videos"):
                    for index, item in enumerate(getattr(request, name)):
                        if item.voice:
                            yield undocumented(self.title, f"{name}[{index}].voice", item.voice)
            case VideoEditRequest():
                yield undocumented(self.title, "mode", request.mode)

    def has_ratio(self, request: VideoRequest, model: str) -> bool:
        """Whether the model has a ratio in this mode."""
        return not (isinstance(request, ImageToVideoRequest) and family_of(model) is Family.WAN_2_7)

    def remarks(self, request: VideoRequest, model: str) -> Iterator[str]:
        """Yield where this vendor's page is narrower or a field has no effect."""
        yield from super().remarks(request, model)
        length = len(request.prompt or "")
        if isinstance(request, TextToVideoRequest) and length > OLD_PROMPT_LIMIT and family_of(model) is Family.WAN_2_7:
            yield (
                f"prompt has {length} characters: PowerTokens' page says {OLD_PROMPT_LIMIT}, the model takes 5000; "
                "the rest may be cut off"
            )

    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return ``POST /v1/videos``."""
        body = merge(_body(request, self.model_of(request)), request.extra_body)
        return Call("submit", "POST", "/v1/videos", json=body)


def _body(request: VideoRequest, model: str) -> dict[str, Any]:
    is_3 = family_of(model) is Family.WAN_3_0
    ratio = request.ratio
    if isinstance(request, ImageToVideoRequest) and family_of(model) is Family.WAN_2_7:
        ratio = None
    if isinstance(request, TextToVideoRequest) and not is_3 and ratio == "16:9":
        # The default, and the page of text-to-video has no such field.
        ratio = None
    # "size" is the resolution tier here, and seconds are a string.
    return without_none(
        model=model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        media=list(media(request, is_3)) or None,
        audio_url=getattr(request, "audio_url", None),
        size=request.resolution,
        seconds=str(request.duration),
        ratio=ratio,
        generate_audio=request.generate_audio,
        prompt_extend=None if is_3 and request.prompt_extend else request.prompt_extend,
        watermark=None if is_3 and not request.watermark else request.watermark,
        seed=request.seed,
        audio_setting=getattr(request, "audio_setting", None),
    )
