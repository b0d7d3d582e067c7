"""What DashScope's error codes mean for the caller, as HTTP errors and as the reason of a failed task.

Follows https://help.aliyun.com/zh/model-studio/error-code.
"""

from __future__ import annotations

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
    ("ModelServiceFailed", Failure.SERVER),
    ("RewriteFailed", Failure.SERVER),
    ("Invalid", Failure.REQUEST),
    ("BadRequest", Failure.REQUEST),
    ("UnsupportedOperation", Failure.REQUEST),
    ("ModelNotFound", Failure.REQUEST),
    ("Model.NotExist", Failure.REQUEST),
)
"""Most specific first: prefixes of codes, or words of messages (``~``), since one code has many causes."""
