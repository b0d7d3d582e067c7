"""What the client's tests share: accounts, handles, answers, and a way to drive a flow by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.exchange import Answer, Broken, Call, Pause
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.tasks import Mode, TaskHandle
from airflow_provider_wan.client.transport.flows import Flow, Flows, Patience
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.client.vendors.base import Checked

KEY = "sk-test-5f1d0c77e1f94c0a"
T2V, I2V, R2V, EDIT = Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO, Mode.REFERENCE_TO_VIDEO, Mode.VIDEO_EDIT
VENDORS = ("dashscope", "gccai", "powertokens", "freepik")
"""Those that sell all modes."""
EVERY_VENDOR = (*VENDORS, "openai")
SUBMITTED_AT = datetime(2026, 10, 20, 2, 0, 1, tzinfo=UTC)

IMAGE = "https://media.example.com/a.png"
CLIP = "https://media.example.com/b.mp4"
SOUND = "https://media.example.com/c.mp3"
INLINE = "data:image/png;base64,iVBORw0KGgo="

# The smallest good request of each mode.
SMALLEST: dict[Mode, dict[str, Any]] = {
    T2V: {"prompt": "A paper boat"},
    I2V: {"first_frame": IMAGE},
    R2V: {"prompt": "Image 1 waves", "reference_images": [IMAGE]},
    EDIT: {"video": CLIP},
}

SUBMITTED: dict[str, dict[str, Any]] = {
    "dashscope": {"output": {"task_status": "PENDING", "task_id": "t1"}, "request_id": "r1"},
    "gccai": {"code": 200, "data": [{"status": "submitted", "task_id": "t1"}]},
    "powertokens": {"id": "t1", "task_id": "t1", "object": "video", "status": "queued", "progress": 0},
    "freepik": {"data": {"task_id": "t1", "status": "CREATED", "generated": []}},
    "openai": {"id": "t1", "object": "video", "status": "queued", "progress": 0},
}


def account(vendor: str = "dashscope", base_url: str | None = None, **details: Any) -> Account:
    return Account(
        vendor=vendor,
        base_url=base_url or vendor_of(vendor).base_url(None, None),
        api_key=SecretStr(details.pop("key", KEY)),
        **details,
    )


def handle(vendor: str = "dashscope", mode: Mode = T2V, task_id: str = "t1", model: str = "m") -> TaskHandle:
    return TaskHandle(vendor=vendor, task_id=task_id, mode=mode, model=model, submitted_at=SUBMITTED_AT)


def make(mode: Mode, **fields: Any) -> VideoRequest:
    """Build a request from the smallest good one; ``None`` takes a field away."""
    return build_request(mode, SMALLEST[mode] | fields)


def submit_call(vendor: str, request: VideoRequest, key: str | None = None, **details: Any) -> Call:
    vendor_of(vendor).check(request)
    return vendor_of(vendor).submit_call(request, account(vendor, **details), key)


def answer(status: int = 200, body: Any = b"", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()})


def read(vendor: str, body: Any, mode: Mode = T2V, status: int = 200) -> Any:
    return vendor_of(vendor).read_task(answer(status, body), handle(vendor, mode))


def problems(vendor: str, request: VideoRequest) -> tuple[Violation, ...]:
    try:
        vendor_of(vendor).check(request)
    except WanRequestError as error:
        return error.violations
    return ()


def checked(vendor: str, request: VideoRequest) -> Checked:
    return vendor_of(vendor).check(request)


def error_of(vendor: str, given: Answer, call: str = "submit") -> Any:
    """Return the error that an answer means, ``None`` for a good one."""
    try:
        vendor_of(vendor).raise_for(given, call)
    except Exception as error:
        return error
    return None


@dataclass
class Drive:
    """What a flow did when it was fed these outcomes; ``result`` or ``error`` is its end."""

    calls: list[Call] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    result: Any = None
    submitted: Any = None
    error: Any = None


def drive(flow: Flow[Any], outcomes: Iterable[Answer | Broken]) -> Drive:
    seen, feed = Drive(), iter(outcomes)
    reply: Answer | Broken | None = None
    try:
        while True:
            step = flow.send(reply)
            reply = None
            if isinstance(step, Pause):
                seen.pauses.append(step.seconds)
            else:
                seen.calls.append(step)
                reply = next(feed, None)
                assert reply is not None, f"one call too many: {step}"
    except StopIteration as end:
        seen.result = end.value
    except Exception as error:
        seen.error = error
    return seen


def drive_submit(
    vendor: str,
    *outcomes: Answer | Broken,
    key: str | None = None,
    patience: Patience | None = None,
    request: VideoRequest | None = None,
) -> Drive:
    """Feed a submission these outcomes; ``result`` is the handle, ``submitted`` all that the answer said."""
    flows = Flows(vendor_of(vendor), account(vendor))
    seen = drive(flows.submit(request or make(T2V), key, patience or Patience(throttled=600.0)), outcomes)
    seen.submitted, seen.result = seen.result, seen.result and seen.result.handle
    return seen


def drive_flow(vendor: str, start: Callable[[Flows], Flow[Any]], *outcomes: Answer | Broken) -> Drive:
    return drive(start(Flows(vendor_of(vendor), account(vendor))), outcomes)
