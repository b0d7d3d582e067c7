"""The ledger's bill: seconds as each vendor's page counts them, times its own price."""

from __future__ import annotations

import io
from typing import Any

import av
import pytest

from airflow_provider_wan.sandbox.world.prices import BEIJING, ROWS, SINGAPORE, price_of

from .conftest import Wire
from .test_sandbox_dashscope import IMAGE, VIDEO, item, upload


def bill(wire: Wire) -> dict[str, Any]:
    (entry,) = wire.sandbox.ledger()["billed"]
    return dict(entry)


# Input videos that cannot be measured count as five seconds.
DASHSCOPE: list[tuple[dict[str, Any], float, float]] = [
    ({"model": "wan2.7-t2v", "duration": 10}, 10, 1.5),
    ({"model": "wan2.7-t2v", "duration": 10, "resolution": "720P"}, 10, 1.0),
    ({"model": "wan2.7-i2v", "media": [item("first_frame")], "duration": 3}, 3, 0.45),
    # The length of a continuation is the total.
    ({"model": "wan2.7-i2v", "media": [item("first_clip", VIDEO)], "duration": 15}, 15, 2.25),
    # At most five seconds of the references, however many.
    ({"model": "wan2.7-r2v", "media": [item("reference_video")] * 3, "duration": 10}, 15, 2.25),
    ({"model": "wan2.7-r2v", "media": [item("reference_image")], "duration": 10}, 10, 1.5),
    ({"model": "wan2.7-videoedit", "media": [item("video")], "duration": 0}, 10, 1.5),
    ({"model": "wan3.0-video", "duration": 30, "resolution": "480P"}, 30, 1.5),
    ({"model": "wan3.0-video", "media": [item("reference_video")] * 2, "duration": 5, "resolution": "720P"}, 15, 1.5),
    ({"model": "wan3.0-video-prime", "resolution": "480P"}, 5, 0.34),
    ({"model": "happyhorse-1.1-t2v", "duration": 3, "resolution": "480P"}, 3, 0.21),
]


@pytest.mark.parametrize(("request_", "seconds", "amount"), DASHSCOPE)
def test_dashscope_bills_seconds_as_its_pages_count_them(
    wire: Wire, request_: dict[str, Any], seconds: float, amount: float
) -> None:
    assert wire.finished(**request_)["output"]["task_status"] == "SUCCEEDED"
    entry = bill(wire)
    assert (entry["seconds"], entry["amount"], entry["currency"]) == (seconds, amount, "USD")
    assert wire.sandbox.ledger()["amounts"] == {"USD": amount}


def test_uploaded_clip_is_billed_by_its_own_length(wire: Wire) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(35):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    sent, url = upload(wire, "a.mp4", buffer.getvalue(), model="wan2.7-videoedit")
    assert sent.status_code == 200
    headers = {"X-DashScope-OssResourceResolve": "enable"}
    wire.finished(model="wan2.7-videoedit", media=[item("video", url)], headers=headers, resolution="720P")
    assert (bill(wire)["seconds"], bill(wire)["amount"]) == (7.0, 0.7)


def test_region_decides_price_and_currency(wire: Wire) -> None:
    wire.sandbox.configure(billing_region="cn-beijing")
    wire.finished(resolution="720P")
    assert (bill(wire)["amount"], bill(wire)["currency"]) == (3.0, "CNY")


def test_silent_video_is_cheaper_where_the_page_says_so(wire: Wire) -> None:
    wire.sandbox.configure(billing_region="cn-beijing")
    for audio in (True, False):
        wire.finished(model="wan2.6-i2v-flash", input={"img_url": IMAGE}, resolution="1080P", audio=audio)
    assert [entry["amount"] for entry in wire.sandbox.ledger()["billed"]] == [2.5, 1.25]


@pytest.mark.parametrize("order", ["[sandbox fail]", "[sandbox hold]"])
def test_nothing_is_billed_for_what_did_not_succeed(wire: Wire, order: str) -> None:
    task_id = wire.made(f"x {order}")
    if "hold" in order:
        wire.sandbox.change(task_id, "cancel")
    wire.wait(task_id)
    ledger = wire.sandbox.ledger()
    assert (ledger["billed"], ledger["amounts"]) == ([], {})


def test_what_no_source_prices_is_billed_in_seconds_only(wire: Wire) -> None:
    answer = wire.freepik.post("/v1/ai/text-to-video/wan-2-7", json={"prompt": "x"})
    wire.wait(answer.json()["data"]["task_id"])
    entry = bill(wire)
    assert (entry["seconds"], entry["amount"], entry["currency"]) == (5, None, None)
    assert wire.sandbox.ledger()["amounts"] == {}


def test_prices_rise_with_the_tier_and_are_positive() -> None:
    for row in ROWS:
        prices = [float(price) for price in row.tiers.values()]
        assert prices == sorted(prices), row
        assert prices[0] > 0, row
    assert price_of("dashscope", BEIJING, "wan2.7-t2v", "480P") is None
    assert price_of("dashscope", SINGAPORE, "wan9.9-t2v", "720P") is None
