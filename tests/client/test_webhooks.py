"""The check of Freepik's webhook signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanResponseError
from airflow_provider_wan.client.tasks import TaskStatus
from airflow_provider_wan.client.webhooks import read_webhook, verify_webhook

SECRET = "demo-webhook-secret"
SENT_AT = 1790000000
BODY = (
    b'{"task_id":"046b6c7f-0b8a-43b9-b35d-6489e6daee91","status":"COMPLETED",'
    b'"generated":["https://cdn.example.com/v.mp4"]}'
)
SIGNATURE = "v1,UMHnzR+2U1FP5s2QEwJD4xuRQdAGQ4yP6Ra1hj+yStU="
HEADERS = {"webhook-id": "msg_0001", "webhook-timestamp": str(SENT_AT), "webhook-signature": SIGNATURE}


def _verify(
    headers: dict[str, str] | None = None, body: bytes = BODY, secret: str = SECRET, now: float = SENT_AT
) -> bool:
    return verify_webhook(HEADERS | (headers or {}), body, secret, now=now)


def _signature(key: bytes) -> str:
    signed = f"msg_0001.{SENT_AT}.".encode() + BODY
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def test_the_vendors_rule_makes_this_signature() -> None:
    assert _verify()
    assert _signature(SECRET.encode()) == SIGNATURE


def test_header_names_come_in_any_case() -> None:
    assert verify_webhook({name.title(): value for name, value in HEADERS.items()}, BODY, SECRET, now=SENT_AT)


def test_any_of_several_signatures_will_do() -> None:
    assert _verify({"webhook-signature": f"v2,AAAA {SIGNATURE}"})
    assert _verify({"webhook-signature": f"{SIGNATURE} v2,AAAA"})


def test_a_prefixed_secret_may_be_meant_raw_or_as_base64() -> None:
    key = b"0123456789abcdef"
    secret = "whsec_" + base64.b64encode(key).decode()
    assert _verify({"webhook-signature": _signature(secret.encode())}, secret=secret)
    assert _verify({"webhook-signature": _signature(key)}, secret=secret)
    assert not _verify({"webhook-signature": _signature(key)}, secret=secret.removeprefix("whsec_"))
    assert not _verify({"webhook-signature": _signature(key)}, secret="whsec_not base64!")


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"webhook-id": "msg_0002"}},
        {"headers": {"webhook-timestamp": str(SENT_AT + 1)}},
        {"headers": {"webhook-timestamp": "soon"}},
        {"headers": {"webhook-timestamp": "9" * 400}},
        {"headers": {"webhook-timestamp": ""}},
        {"headers": {"webhook-signature": ""}},
        {"headers": {"webhook-signature": "v1"}},
        {"headers": {"webhook-signature": SIGNATURE.removeprefix("v1,")}},
        {"headers": {"webhook-signature": "v1,ÄÖÜ"}},
        {"body": BODY + b" "},
        {"body": b""},
        {"secret": "another"},
        {"secret": ""},
    ],
    ids=str,
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    assert not _verify(**change)


@pytest.mark.parametrize(("now", "is_good"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_a_call_is_good_for_five_minutes(now: int, is_good: bool) -> None:
    assert _verify(now=SENT_AT + now) is is_good


def test_tolerance_can_be_told() -> None:
    assert verify_webhook(HEADERS, BODY, SECRET, tolerance_seconds=1e9)
    assert not verify_webhook(HEADERS, BODY, SECRET, tolerance_seconds=0, now=SENT_AT + 1)


def test_body_is_a_task() -> None:
    task = read_webhook(BODY)
    assert (task.task_id, task.vendor) == ("046b6c7f-0b8a-43b9-b35d-6489e6daee91", "freepik")
    assert (task.status, task.video_url) == (TaskStatus.SUCCEEDED, "https://cdn.example.com/v.mp4")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"task_id": "u1"}', b'{"status": "FAILED"}', b"\xff\xfe"]
)
def test_body_that_is_no_task(body: bytes) -> None:
    with pytest.raises(WanResponseError):
        read_webhook(body)
