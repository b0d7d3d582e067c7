"""The estimate: billed seconds as each vendor counts them, an upper bound where the length is not known."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.client.costs import CostEstimate, NoPrice, PriceTable, estimate, read_prices
from airflow_provider_wan.client.requests import build_request
from airflow_provider_wan.client.tasks import Mode

T2V, I2V, R2V, EDIT = Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO, Mode.REFERENCE_TO_VIDEO, Mode.VIDEO_EDIT
IMAGE, CLIP = "https://media.example.com/a.png", "https://media.example.com/b.mp4"
MODELS = {T2V: "wan2.7-t2v", I2V: "wan2.7-i2v", R2V: "wan2.7-r2v", EDIT: "wan2.7-videoedit"}
SMALLEST: dict[Mode, dict[str, Any]] = {
    T2V: {"prompt": "A boat"},
    I2V: {"first_frame": IMAGE},
    R2V: {"prompt": "Image 1", "reference_images": [IMAGE]},
    EDIT: {"video": CLIP},
}
ONE_A_SECOND = PriceTable(read_prices([{"amount": 1, "currency": "USD"}]))
ONE_AN_OUTPUT_SECOND = PriceTable(read_prices([{"amount": 1, "currency": "USD", "unit": "output_second"}]))


def priced(
    mode: Mode, table: PriceTable, *, vendor: str = "dashscope", model: str | None = None, **fields: Any
) -> CostEstimate | NoPrice:
    known = fields.pop("input_seconds", None)
    request = build_request(mode, SMALLEST[mode] | fields)
    where = {"vendor": vendor, "model": model or MODELS[mode], "region": "ap-southeast-1"}
    return estimate(request, table, input_seconds=known, **where)


THREE = "wan3.0-video"
SECONDS: list[tuple[Mode, dict[str, Any], float, bool]] = [
    (T2V, {"duration": 5}, 5, False),
    (I2V, {"duration": 15}, 15, False),
    (I2V, {"first_frame": None, "first_clip": CLIP, "duration": 15}, 15, False),
    (R2V, {"duration": 15}, 15, False),
    (R2V, {"reference_videos": [CLIP], "duration": 10}, 15, True),
    (R2V, {"reference_videos": [CLIP, CLIP], "duration": 10}, 15, True),
    (R2V, {"reference_videos": [CLIP], "duration": 10, "input_seconds": 30}, 15, False),
    (R2V, {"reference_videos": [CLIP], "duration": 10, "input_seconds": 2.5}, 12.5, False),
    (EDIT, {"duration": 0}, 20, True),
    (EDIT, {"duration": 4}, 14, True),
    (EDIT, {"duration": 0, "input_seconds": 5.02}, 10.04, False),
    (EDIT, {"duration": 8, "input_seconds": 6}, 12, False),
    (EDIT, {"duration": 4, "input_seconds": 6}, 10, False),
    (T2V, {"model": THREE, "duration": 30}, 30, False),
    (T2V, {"model": THREE, "duration": -1}, 30, True),
    (R2V, {"model": THREE, "reference_videos": [CLIP], "duration": 5}, 20, True),
    (R2V, {"model": THREE, "reference_videos": [CLIP], "duration": 25}, 30, True),
    (R2V, {"model": THREE, "reference_videos": [CLIP], "duration": -1}, 30, True),
    (R2V, {"model": THREE, "reference_videos": [CLIP], "duration": 5, "input_seconds": 7}, 12, False),
    (R2V, {"model": THREE, "reference_videos": [CLIP], "duration": -1, "input_seconds": 7}, 30, True),
    (EDIT, {"model": THREE, "duration": 6}, 21, True),
    (R2V, {"model": "wan2.6-r2v", "reference_videos": [CLIP], "duration": 5}, 10, True),
    (R2V, {"model": "wan2.6-r2v-flash", "reference_videos": [CLIP], "duration": 5, "input_seconds": 3}, 8, False),
]


@pytest.mark.parametrize(("mode", "fields", "seconds", "is_upper_bound"), SECONDS)
def test_billed_seconds(mode: Mode, fields: dict[str, Any], seconds: float, is_upper_bound: bool) -> None:
    found = priced(mode, ONE_A_SECOND, **fields)
    assert isinstance(found, CostEstimate)
    assert (found.seconds, found.amount, found.is_upper_bound) == (seconds, seconds, is_upper_bound)
    assert ("at most" in str(found)) is is_upper_bound


def test_a_price_per_output_second_leaves_the_input_out() -> None:
    found = priced(R2V, ONE_AN_OUTPUT_SECOND, reference_videos=[CLIP], duration=10)
    assert isinstance(found, CostEstimate)
    assert (found.seconds, found.is_upper_bound) == (10, False)


@pytest.mark.parametrize(
    ("mode", "fields", "reason"),
    [
        (R2V, {"model": "vace", "reference_videos": [CLIP]}, "how vace bills the clips that go in is not known"),
        (T2V, {"model": "any", "duration": -1}, "how long a video any makes for duration -1 is not known"),
        (T2V, {"extra_body": {"parameters": {"size": "1920*1080"}}}, "extra_body replaces parameters.size"),
        (T2V, {"extra_body": {"parameters": {"duration": "long"}}}, "is no number"),
        (T2V, {"extra_body": {"input": {"media": [{"type": "reference_video"}]}}}, "extra_body replaces input.media"),
    ],
)
def test_what_cannot_be_known_is_not_guessed(mode: Mode, fields: dict[str, Any], reason: str) -> None:
    found = priced(mode, ONE_A_SECOND, **fields)
    assert isinstance(found, NoPrice)
    assert reason in found.reason


EXTRA = [
    ("dashscope", {"parameters": {"duration": 12, "resolution": "720p"}}, 12, "720P"),
    ("gccai", {"duration": 12, "resolution": "720p"}, 12, "720P"),
    ("powertokens", {"seconds": "12", "size": "720P"}, 12, "720P"),
    ("freepik", {"duration": 12, "resolution": "720P", "model": "ignored"}, 12, "720P"),
    ("dashscope", {"parameters": {"seed": 1}, "input": {"prompt": "x"}}, 5, "1080P"),
]


@pytest.mark.parametrize(("vendor", "extra", "seconds", "tier"), EXTRA)
def test_extra_body_changes_the_bill(vendor: str, extra: dict[str, Any], seconds: float, tier: str) -> None:
    found = priced(T2V, ONE_A_SECOND, vendor=vendor, extra_body=extra)
    assert isinstance(found, CostEstimate)
    assert (found.seconds, found.resolution, found.model) == (seconds, tier, "wan2.7-t2v")


def test_a_model_in_extra_body_has_its_own_price() -> None:
    found = priced(T2V, PriceTable(), extra_body={"model": "wan3.0-video"})
    assert isinstance(found, CostEstimate)
    assert found.unit_price == 0.2


def test_a_silent_video_has_the_silent_price() -> None:
    amounts = [
        priced(I2V, PriceTable(), model="wan2.6-i2v-flash", duration=10, generate_audio=sound)
        for sound in (None, True, False)
    ]
    assert [found.amount for found in amounts if isinstance(found, CostEstimate)] == [5.50443, 5.50443, 2.75221]


def test_the_estimate_says_what_it_is_made_of() -> None:
    found = priced(T2V, PriceTable(), duration=5)
    assert str(found) == "0.75 USD (5 s of wan2.7-t2v 1080P at 0.15 USD, as of 2026-06)"
    assert isinstance(found, CostEstimate)
    assert found.source is not None
    assert found.to_dict()["unit_price"] == 0.15


def test_an_amount_is_rounded_up_to_the_millionth() -> None:
    table = PriceTable(read_prices([{"amount": "0.00000011", "currency": "USD"}]))
    found = priced(T2V, table, duration=10)
    assert isinstance(found, CostEstimate)
    assert found.amount == 0.000002
