"""What a vendor cannot express is refused by name; what it does not document is sent on request only."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.client.tasks import Mode
from tests.client.support import CLIP, EDIT, I2V, IMAGE, INLINE, R2V, SOUND, T2V, VENDORS, checked, make, problems

HOOK = "https://hooks.example.com/wan"
VOICED_IMAGE = [{"url": IMAGE, "voice": SOUND}]
VOICED_VIDEO = [{"url": CLIP, "voice": SOUND}]
TO_LAST_FRAME = {"first_frame": None, "first_clip": CLIP, "last_frame": IMAGE}

CANNOT: list[tuple[str, Mode, dict[str, Any], str]] = [
    *((vendor, T2V, {"webhook_url": HOOK}, "webhook_url") for vendor in ("dashscope", "gccai", "powertokens")),
    ("gccai", R2V, {"reference_videos": VOICED_VIDEO}, "reference_videos[0].voice"),
    ("freepik", T2V, {"watermark": True}, "watermark"),
    ("freepik", EDIT, {"audio_setting": "origin"}, "audio_setting"),
    ("freepik", T2V, {"model": "wan3.0-video"}, "model"),
    ("freepik", T2V, {"model": "wan2.6-t2v"}, "model"),
    ("freepik", R2V, {"model": "wan2.7-t2v"}, "model"),
    ("dashscope", I2V, {"first_frame": "asset://a"}, "first_frame"),
    *((vendor, I2V, {"first_frame": url}, "first_frame")
      for vendor in ("gccai", "freepik", "powertokens") for url in ("oss://x/y", INLINE, "asset://a")),
    ("powertokens", I2V, {"model": "wan3.0-video", "first_frame": "oss://x/y"}, "first_frame"),
    ("gccai", R2V, {"model": "wan3.0-video", "reference_audios": [SOUND]}, "reference_audios"),
    ("gccai", R2V, {"model": "wan3.0-video", "link": "https://x.example/"}, "link"),
]  # fmt: skip


def _name(value: Any) -> str:
    return str(value)[:50]


@pytest.mark.parametrize(("vendor", "mode", "fields", "wrong"), CANNOT, ids=_name)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_what_cannot_be_expressed_is_refused_by_name(
    vendor: str, mode: Mode, fields: dict[str, Any], wrong: str, strict: bool
) -> None:
    found = [violation for violation in problems(vendor, make(mode, strict=strict, **fields)) if violation.hard]
    assert [violation.field for violation in found] == [wrong]
    assert found[0].fix


UNDOCUMENTED: list[tuple[str, Mode, dict[str, Any], str]] = [
    ("gccai", I2V, TO_LAST_FRAME, "first_clip, last_frame"),
    ("gccai", EDIT, {"audio_setting": "origin"}, "audio_setting"),
    ("gccai", T2V, {"model": "wan3.0-video", "generate_audio": False}, "generate_audio"),
    ("gccai", R2V, {"model": "wan2.7"}, "model"),
    ("powertokens", T2V, {"ratio": "9:16"}, "ratio"),
    ("powertokens", T2V, {"audio_url": SOUND}, "audio_url"),
    ("powertokens", R2V, {"reference_images": VOICED_IMAGE}, "reference_images[0].voice"),
    ("powertokens", R2V, {"reference_videos": VOICED_VIDEO}, "reference_videos[0].voice"),
    ("powertokens", EDIT, {}, "mode"),
    ("powertokens", T2V, {"model": "wan3.0-video", "duration": -1}, "duration"),
    ("powertokens", T2V, {"model": "wan3.0-video", "ratio": "21:9"}, "ratio"),
    ("powertokens", T2V, {"model": "wan3.0-video", "watermark": True}, "watermark"),
    ("powertokens", T2V, {"model": "wan3.0-video", "prompt_extend": False}, "prompt_extend"),
    ("freepik", R2V, {"duration": 11}, "duration"),
]


@pytest.mark.parametrize(("vendor", "mode", "fields", "wrong"), UNDOCUMENTED, ids=_name)
def test_what_is_not_documented_is_sent_on_request_only(
    vendor: str, mode: Mode, fields: dict[str, Any], wrong: str
) -> None:
    (violation,) = problems(vendor, make(mode, **fields))
    assert (violation.field, violation.hard) == (wrong, False)
    warnings = checked(vendor, make(mode, strict=False, **fields)).warnings
    assert any(warning.startswith(f"{wrong}:") for warning in warnings)


EXPRESSED: list[tuple[str, Mode, dict[str, Any]]] = [
    ("freepik", T2V, {"watermark": False, "webhook_url": HOOK}),
    ("freepik", R2V, {"reference_images": VOICED_IMAGE, "reference_videos": VOICED_VIDEO, "duration": 10}),
    ("freepik", I2V, TO_LAST_FRAME),
    ("freepik", EDIT, {"duration": 0, "reference_images": [IMAGE]}),
    # The default by its name: leaving it out means the same.
    *((vendor, EDIT, {"duration": 0, "audio_setting": "auto"}) for vendor in ("dashscope", "gccai", "freepik")),
    ("gccai", R2V, {"reference_images": VOICED_IMAGE, "duration": 15}),
    ("gccai", T2V, {"audio_url": SOUND, "ratio": "9:16"}),
    ("powertokens", T2V, {"ratio": "16:9"}),
    ("powertokens", I2V, TO_LAST_FRAME),
    ("powertokens", I2V, {"model": "wan3.0-video", "first_frame": INLINE}),
    ("powertokens", R2V, {"ratio": "9:16", "duration": 15}),
    ("dashscope", R2V, {"reference_videos": VOICED_VIDEO, "first_frame": "oss://x/y"}),
]


@pytest.mark.parametrize(("vendor", "mode", "fields"), EXPRESSED, ids=_name)
def test_what_can_be_expressed_passes(vendor: str, mode: Mode, fields: dict[str, Any]) -> None:
    assert problems(vendor, make(mode, **fields)) == ()


@pytest.mark.parametrize("vendor", VENDORS)
def test_ratio_of_an_image_request_is_told_to_be_without_effect(vendor: str) -> None:
    (warning,) = checked(vendor, make(I2V, ratio="1:1")).warnings
    assert "ratio 1:1 is not sent" in warning


def test_ratio_of_an_older_image_model_is_told_to_be_without_effect() -> None:
    (warning,) = checked("dashscope", make(I2V, ratio="1:1", model="wan2.6-i2v")).warnings
    assert "ratio 1:1 is not sent" in warning


@pytest.mark.parametrize("vendor", ["dashscope", "gccai", "powertokens", "freepik"])
def test_ratio_beside_a_first_frame_is_told_to_be_without_effect(vendor: str) -> None:
    (warning,) = checked(vendor, make(R2V, ratio="1:1", first_frame=IMAGE)).warnings
    assert "follows first_frame" in warning


def test_long_prompt_at_powertokens_is_a_remark() -> None:
    assert checked("powertokens", make(T2V, prompt="x" * 800)).warnings == ()
    (warning,) = checked("powertokens", make(T2V, prompt="x" * 801)).warnings
    assert "800" in warning
    assert checked("powertokens", make(I2V, prompt="x" * 801)).warnings == ()
