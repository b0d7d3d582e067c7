"""What DashScope's error codes mean for the caller, as HTTP errors and as the reason of a failed task.

Follows https://help.aliyun.com/zh/model-studio/error-code.
"""

from __future__ import annotations

import re

from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.vendors.failures import Failure

FAILURE_CODES: tuple[tuple[str, Failure], ...] = (
    ("~free allocated quota exceeded", Failure.BILLING),
    ("AllocationQuota.FreeTierOnly", Failure.BILLING),
    ("DataInspectionFailed", Failure.MODERATION),
    ("data_inspection_failed", Failure.MODERATION),
    ("IPInfringementSuspect", Failure.MODERATION),
    ("CustomRoleBlocked", Failure.MODERATION),
    ("FaqRuleBlocked", Failure.MODERATION),
    ("~green network verification", Failure.MODERATION),
    ("Arrearage", Failure.BILLING),
    ("CommodityNotPurchased", Failure.BILLING),
    ("PrepaidBillOverdue", Failure.BILLING),
    ("PostpaidBillOverdue", Failure.BILLING),
    ("Throttling", Failure.THROTTLED),
    ("LimitRequests", Failure.THROTTLED),
    ("ResourceExhausted", Failure.THROTTLED),
    ("limit_", Failure.THROTTLED),
    ("insufficient_quota", Failure.THROTTLED),
    ("ServiceOverloaded", Failure.THROTTLED),
    ("InvalidApiKey", Failure.AUTH),
    ("invalid_api_key", Failure.AUTH),
    ("NOT AUTHORIZED", Failure.AUTH),
    ("invalid access token", Failure.AUTH),
    ("AccessDenied", Failure.AUTH),
    ("access_denied", Failure.AUTH),
    ("Model.AccessDenied", Failure.AUTH),
    ("Workspace.AccessDenied", Failure.AUTH),
    ("App.AccessDenied", Failure.AUTH),
    ("Endpoint.AccessDenied", Failure.AUTH),
    # A dead link: the same request fails again, for all that its code says.
    ("~failed to find the requested media resource", Failure.REQUEST),
    ("~don't have authorization to access the media", Failure.REQUEST),
    # The vendor's servers could not fetch the media, or were slow: worth another try.
    ("InvalidParameter.DataInspection", Failure.SERVER),
    ("~failed to download", Failure.SERVER),
    ("~download the media resource timed out", Failure.SERVER),
    ("~oss download error", Failure.SERVER),
    ("~download image failed", Failure.SERVER),
    ("~request timeout after", Failure.SERVER),
    ("InvalidURL.ConnectionRefused", Failure.SERVER),
    ("InvalidURL.Timeout", Failure.SERVER),
    ("InvalidFile.DownloadFailed", Failure.SERVER),
    ("BadRequest.InputDownloadFailed", Failure.SERVER),
    ("APIConnectionError", Failure.SERVER),
    ("ClientDisconnect", Failure.SERVER),
    ("InternalError", Failure.SERVER),
    ("SystemError", Failure.SERVER),
    ("ServiceUnavailable", Failure.SERVER),
    ("ServiceFailed", Failure.SERVER),
    ("RequestTimeOut", Failure.SERVER),
    ("ResponseTimeout", Failure.SERVER),
    ("GatewayTimeout", Failure.SERVER),
    ("ModelUnavailable", Failure.SERVER),
    ("ModelServingError", Failure.SERVER),
    ("ModelServiceFailed", Failure.SERVER),
    ("RewriteFailed", Failure.SERVER),
    ("Invalid", Failure.REQUEST),
    ("BadRequest", Failure.REQUEST),
    ("UnsupportedOperation", Failure.REQUEST),
    ("ModelNotFound", Failure.REQUEST),
    ("Model.NotExist", Failure.REQUEST),
    ("model_not_found", Failure.REQUEST),
    ("model_not_supported", Failure.REQUEST),
    ("WorkSpaceNotFound", Failure.REQUEST),
    ("UnsupportedModel", Failure.REQUEST),
    ("FlowNotPublished", Failure.REQUEST),
)
"""Most specific first: prefixes of codes, or words of messages (``~``), since one code has many causes."""

_FIELD = re.compile(r"\b(?:input|parameters)\.([a-z_]+)|\b([Dd]uration|first_clip)\b")
_NAMES: dict[str, tuple[str, ...]] = {
    "audio": ("generate_audio",),
    # Older models.
    "size": ("resolution", "ratio"),
    "img_url": ("first_frame",),
    "first_frame_url": ("first_frame",),
    "last_frame_url": ("last_frame",),
    "reference_urls": ("reference_images", "reference_videos"),
}
"""Fields that have another name here."""
_MEDIA: dict[Mode, tuple[str, ...]] = {
    Mode.IMAGE_TO_VIDEO: ("first_frame", "last_frame", "first_clip", "driving_audio"),
    Mode.REFERENCE_TO_VIDEO: ("reference_images", "reference_videos", "first_frame"),
    Mode.VIDEO_EDIT: ("video", "reference_images"),
}
"""The parameters that ``input.media`` is made of."""


def parameters_in(message: str, mode: Mode | None = None) -> tuple[str, ...]:
    """Return the parameters whose fields a refusal names, of the mode where that decides."""
    names = {**_NAMES, "media": _MEDIA.get(mode, ("media",)) if mode else ("media",)}
    if mode is Mode.IMAGE_TO_VIDEO:
        names["audio_url"] = ("driving_audio",)
    found = (path or word.lower() for path, word in _FIELD.findall(message))
    return tuple(dict.fromkeys(own for field in found for own in names.get(field, (field,))))
