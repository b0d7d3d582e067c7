"""The rules of the Wan models, at their borders; one report for all that is broken."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import build_request
from airflow_provider_wan.client.rules.families import Family, family_of
from airflow_provider_wan.client.rules.media import MEDIA_SETS
from airflow_provider_wan.client.tasks import Mode
from tests.client.support import (
    CLIP,
    EDIT,
    I2V,
    IMAGE,
    INLINE,
    R2V,
    SMALLEST,
    SOUND,
    T2V,
    VENDORS,
    checked,
    make,
    problems,
)

V3 = {"model": "wan3.0-video"}


def fields_of(mode: Mode, vendor: str = "dashscope", **fields: Any) -> list[str]:
    return [violation.field for violation in problems(vendor, make(mode, **fields))]


# -- types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "fields", "wrong"),
    [
        (T2V, {"prompt": "x", "duration": "five"}, ["duration"]),
        (T2V, {"prompt": "x", "duration": 5.5}, ["duration"]),
        (T2V, {"prompt": "x", "duration": True}, ["duration"]),
        (T2V, {"prompt": "x", "seed": False, "watermark": "perhaps"}, ["seed", "watermark"]),
        (T2V, {"prompt": "x", "first_frame": IMAGE, "size": "720P"}, ["first_frame", "size"]),
        (T2V, {"prompt": "a\ud800"}, ["prompt"]),
        (EDIT, {"video": CLIP, "audio_setting": "loud"}, ["audio_setting"]),
        (R2V, {"prompt": "x", "reference_images": [{"voice": SOUND}]}, ["reference_images.0.url"]),
        (R2V, {"prompt": "x", "reference_images": [{"url": IMAGE, "name": "Bo"}]}, ["reference_images.0.name"]),
        (R2V, {"prompt": "x", "reference_images": 5, "link": [1]}, ["reference_images", "link"]),
        ("film", {}, ["mode"]),
    ],
)  # fmt: skip
def test_wrong_types_and_names_are_told_together(mode: Any, fields: dict[str, Any], wrong: list[str]) -> None:
    with pytest.raises(WanRequestError) as caught:
        build_request(mode, fields)
    assert sorted(violation.field for violation in caught.value.violations) == sorted(wrong)
    assert all(violation.hard for violation in caught.value.violations)


def test_a_foreign_parameter_is_told_with_those_of_the_mode() -> None:
    with pytest.raises(WanRequestError, match="audio_url"):
        build_request(T2V, {"prompt": "x", "first_frame": IMAGE})


def test_values_of_templates_are_understood() -> None:
    request = make(T2V, duration="7", seed="0", watermark="false", resolution=" 720p ", ratio="", negative_prompt="  ")
    assert (request.duration, request.seed, request.watermark) == (7, 0, False)
    assert (request.resolution, request.ratio, request.negative_prompt) == ("720P", None, None)
    request = make(R2V, reference_images=f'["{IMAGE}", {{"url": "{IMAGE}", "voice": " "}}]')
    assert [(item.url, item.voice) for item in request.reference_images] == [(IMAGE, None), (IMAGE, None)]  # type: ignore[attr-defined]


# -- lengths, numbers and choices -----------------------------------------------------------------------------

BORDERS: list[tuple[Mode, dict[str, Any], str | None]] = [
    (T2V, {"prompt": "x" * 5000}, None),
    (T2V, {"prompt": "x" * 5001}, "prompt"),
    (T2V, {"prompt": "图" * 5000}, None),
    (T2V, {"prompt": None}, "prompt"),
    (T2V, {"prompt": "   "}, "prompt"),
    (R2V, {"prompt": None}, "prompt"),
    (I2V, {"prompt": None}, None),
    (EDIT, {"prompt": None}, None),
    (I2V, {"prompt": "x" * 5001}, "prompt"),
    (T2V, {"negative_prompt": "x" * 500}, None),
    (T2V, {"negative_prompt": "x" * 501}, "negative_prompt"),
    (T2V, {"seed": 0}, None),
    (T2V, {"seed": 2147483647}, None),
    (T2V, {"seed": 2147483648}, "seed"),
    (T2V, {"seed": -1}, "seed"),
    (T2V, {"resolution": "720P"}, None),
    (T2V, {"resolution": "480P"}, "resolution"),
    (T2V, {"resolution": "4K"}, "resolution"),
    *((T2V, {"ratio": ratio}, None) for ratio in ("16:9", "9:16", "1:1", "4:3", "3:4")),
    (T2V, {"ratio": "21:9"}, "ratio"),
    (T2V, {"ratio": "adaptive"}, "ratio"),
    (T2V, {"ratio": "16x9"}, "ratio"),
    *((T2V, {"duration": seconds}, None) for seconds in (2, 15)),
    *((T2V, {"duration": seconds}, "duration") for seconds in (-1, 0, 1, 16)),
    *((I2V, {"duration": seconds}, None) for seconds in (2, 15)),
    *((I2V, {"duration": seconds}, "duration") for seconds in (0, 1, 16)),
    *((R2V, {"duration": seconds}, None) for seconds in (2, 11, 15)),
    *((R2V, {"duration": seconds}, "duration") for seconds in (0, 1, 16)),
    *((R2V, {"reference_videos": [CLIP], "duration": seconds}, None) for seconds in (2, 10)),
    *((R2V, {"reference_videos": [CLIP], "duration": seconds}, "duration") for seconds in (1, 11, 15)),
    *((EDIT, {"duration": seconds}, None) for seconds in (0, 2, 10)),
    *((EDIT, {"duration": seconds}, "duration") for seconds in (-1, 1, 11)),
    (T2V, {"generate_audio": False}, "generate_audio"),
    (R2V, {"reference_audios": [SOUND]}, "reference_audios"),
    (R2V, {"document": "https://x.example/a.pdf"}, "document"),
    (R2V, {"link": "https://x.example/"}, "link"),
    (EDIT, {"video": None}, "video"),
    (EDIT, {"reference_images": [IMAGE] * 4}, None),
    (EDIT, {"reference_images": [IMAGE] * 5}, "reference_images"),
    (EDIT, {"reference_images": [{"url": IMAGE, "voice": SOUND}]}, "reference_images[0].voice"),
    (T2V, {"model": "wan2.7-i2v"}, "model"),
    (I2V, {"model": "wan2.7-r2v-2026-06-12"}, "model"),
    (I2V, {"model": "wan2.7-i2v-2026-04-25"}, None),
    # Wan 3.0
    (T2V, V3 | {"prompt": "x" * 20_000}, None),
    (T2V, V3 | {"prompt": "x" * 20_001}, "prompt"),
    (T2V, V3 | {"negative_prompt": "x"}, "negative_prompt"),
    (T2V, V3 | {"seed": -1}, None),
    (T2V, V3 | {"seed": -2}, "seed"),
    (T2V, V3 | {"resolution": "480P"}, None),
    (T2V, V3 | {"ratio": "21:9"}, None),
    (T2V, V3 | {"ratio": "adaptive"}, None),
    (T2V, V3 | {"ratio": "5:4"}, "ratio"),
    *((T2V, V3 | {"duration": seconds}, None) for seconds in (-1, 2, 30)),
    *((T2V, V3 | {"duration": seconds}, "duration") for seconds in (-2, 0, 1, 31)),
    (T2V, V3 | {"audio_url": SOUND}, "audio_url"),
    (T2V, V3 | {"generate_audio": False}, None),
    (I2V, V3, None),
    (I2V, V3 | {"last_frame": IMAGE}, None),
    (I2V, V3 | {"driving_audio": SOUND}, "driving_audio"),
    (I2V, V3 | {"first_frame": None, "first_clip": CLIP}, "first_clip"),
    (I2V, V3 | {"first_frame": None, "last_frame": IMAGE}, "last_frame"),
    (R2V, V3 | {"reference_images": [IMAGE] * 10, "reference_videos": [CLIP] * 5}, None),
    (R2V, V3 | {"reference_audios": [SOUND] * 5}, None),
    (R2V, V3 | {"reference_images": [IMAGE] * 11}, "reference_images"),
    (R2V, V3 | {"reference_videos": [CLIP] * 6}, "reference_videos"),
    (R2V, V3 | {"reference_audios": [SOUND] * 6}, "reference_audios"),
    (R2V, V3 | {"prompt": "hum", "reference_images": None, "reference_audios": [SOUND]}, None),
    (R2V, V3 | {"prompt": "sum up", "reference_images": None, "document": "https://x.example/a.pdf"}, None),
    (R2V, V3 | {"document": "https://x.example/a.pdf", "link": "https://x.example/"}, "document, link"),
    (R2V, V3 | {"link": "https://x.example/", "prompt_extend": False}, "prompt_extend"),
    (R2V, V3 | {"link": "oss://x/y"}, "link"),
    (R2V, V3 | {"first_frame": IMAGE}, "first_frame"),
    (R2V, V3 | {"reference_images": [{"url": IMAGE, "voice": SOUND}]}, "reference_images[0].voice"),
    (R2V, V3 | {"reference_videos": [CLIP], "duration": 30}, None),
    (EDIT, V3 | {"prompt": "redder", "reference_images": [IMAGE] * 10}, None),
    (EDIT, V3 | {"prompt": "redder", "reference_images": [IMAGE] * 11}, "reference_images"),
    (EDIT, V3 | {"prompt": None}, "prompt"),
    (EDIT, V3 | {"prompt": "redder", "audio_setting": "auto"}, "audio_setting"),
    (EDIT, V3 | {"prompt": "redder", "duration": 0}, "duration"),
]  # fmt: skip


def _name(value: Any) -> str:
    return str(value)[:60]


@pytest.mark.parametrize(("mode", "fields", "wrong"), BORDERS, ids=_name)
def test_border(mode: Mode, fields: dict[str, Any], wrong: str | None) -> None:
    assert fields_of(mode, **fields) == ([wrong] if wrong else [])


# -- media of image to video ----------------------------------------------------------------------------------

MEDIA = {"first_frame": IMAGE, "last_frame": IMAGE, "first_clip": CLIP, "driving_audio": SOUND}
SUBSETS = [frozenset(names) for names in chain.from_iterable(combinations(MEDIA, n) for n in range(5))]


@pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
def test_six_media_sets_are_legal_and_no_others(names: frozenset[str]) -> None:
    found = problems("dashscope", build_request(I2V, {name: MEDIA[name] for name in names}))
    if names in MEDIA_SETS:
        assert found == ()
        return
    (violation,) = found
    assert set(violation.field.split(", ")) == (names or {"first_frame", "first_clip"})
    assert all(name in violation.rule for name in MEDIA)
    assert violation.hard is (not names)


def test_there_are_six() -> None:
    assert len(MEDIA_SETS) == 6
    assert sum(names in MEDIA_SETS for names in SUBSETS) == 6


# -- references -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "videos", "is_good"),
    [(1, 0, True), (0, 1, True), (5, 0, True), (0, 5, True), (3, 2, True), (0, 0, False), (6, 0, False), (3, 3, False)],
)
def test_one_to_five_references(images: int, videos: int, is_good: bool) -> None:
    found = fields_of(R2V, prompt="x", reference_images=[IMAGE] * images, reference_videos=[CLIP] * videos)
    assert found == ([] if is_good else ["reference_images, reference_videos"])


def test_first_frame_does_not_count_as_a_reference() -> None:
    assert fields_of(R2V, reference_images=[IMAGE] * 5, first_frame=IMAGE) == []
    assert fields_of(R2V, prompt="x", reference_images=[], first_frame=IMAGE) == ["reference_images, reference_videos"]


NAMES: list[tuple[str, str | None]] = [
    ("Image 1 and Image 2 dance with Video 1", None),
    ("image1, image2, video1", None),
    ("图1和图片2跟着视频1跳舞", None),
    ("Image 3 waves", "Image 3"),
    ("Video 2 sings", "Video 2"),
    ("VIDEO2 sings", "VIDEO2"),
    ("图3在唱歌", "图3"),
    ("视频 2 里的人", "视频 2"),
    ("Audio 1 plays", "Audio 1"),
    ("Use Image 1.", None),
    ("Use Image 3.", "Image 3"),
    ("Image 3's hat", "Image 3"),
    ("an image 16:9 wide", None),
    ("a video 4K sharp", None),
    ("image 3D look", None),
    ("a video 10 seconds long", None),
    ("video 30 fps, video 5s", None),
    ("视频5秒", None),
    ("地图3上的城市", None),
    ("a 3 image collage", None),
    ("Image 0", None),
    ("preimage 7", None),
    ("Image 3 and again Image 3", "Image 3"),
]


@pytest.mark.parametrize(("prompt", "name"), NAMES)
def test_prompt_names_only_references_that_exist(prompt: str, name: str | None) -> None:
    found = problems("dashscope", make(R2V, prompt=prompt, reference_images=[IMAGE] * 2, reference_videos=[CLIP]))
    assert [violation.field for violation in found] == (["prompt"] if name else [])
    assert not name or repr(name) in found[0].rule


def test_an_edit_has_one_video_and_its_images() -> None:
    assert fields_of(EDIT, prompt="Video 1 in the dress of Image 1", reference_images=[IMAGE]) == []
    assert fields_of(EDIT, prompt="Video 2 in the dress of Image 2", reference_images=[IMAGE]) == ["prompt", "prompt"]


def test_other_modes_may_say_image_3() -> None:
    assert fields_of(T2V, prompt="a poster that says Image 3") == []


# -- URLs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["clip.mp4", "/tmp/a.png", "file:///tmp/a.png", "ftp://x.example/a.png", "http://", "https:///a.png", "s3://b/a.png",
     "https://x.example/a b.png", "https://[bad/a.png", "data:image/png,abc", "data:image/png;base64,",
     "data:text/plain;base64,AAAA"],
)  # fmt: skip
def test_what_is_no_media_url_is_refused_once(url: str) -> None:
    for vendor in ("dashscope", "gccai", "powertokens", "freepik"):
        found = problems(vendor, make(I2V, first_frame=url, strict=False))
        assert [(violation.field, violation.hard) for violation in found] == [("first_frame", True)], vendor
        assert found[0].fix


def test_signature_of_a_url_stands_in_no_message() -> None:
    with pytest.raises(WanRequestError) as caught:
        checked("freepik", make(I2V, first_frame="oss://x/a.png?sig=s3cret", last_frame="ftp://x/a.png?sig=s3cret"))
    assert len(caught.value.violations) == 2
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "fields", "wrong"),
    [
        (I2V, {"first_frame": INLINE, "last_frame": INLINE}, None),
        (R2V, {"reference_images": [INLINE]}, None),
        (I2V, {"driving_audio": "data:audio/mpeg;base64,AAAA"}, "driving_audio"),
        (I2V, {"first_frame": None, "first_clip": "data:video/mp4;base64,AAAA"}, "first_clip"),
        (R2V, {"reference_videos": [INLINE]}, "reference_videos[0].url"),
        (R2V, {"reference_images": [{"url": IMAGE, "voice": INLINE}]}, "reference_images[0].voice"),
        (T2V, {"audio_url": INLINE}, "audio_url"),
        (EDIT, {"video": INLINE}, "video"),
        (I2V, {"first_frame": "data:image/gif;base64,AAAA"}, "first_frame"),
        (I2V, {"first_frame": "data:image/webp;base64,AAAA"}, None),
        (I2V, {"first_frame": "data:image/JPEG;base64,AAAA"}, None),
        (I2V, {"first_frame": "data:image/png;base64," + "A" * (20 * 1024 * 1024 - 22)}, None),
        (I2V, {"first_frame": "data:image/png;base64," + "A" * (20 * 1024 * 1024 - 21)}, "first_frame"),
        (I2V, dict.fromkeys(("first_frame", "last_frame"), "data:image/png;base64," + "A" * 12000000),
         "first_frame, last_frame"),
    ],
    ids=_name,
)  # fmt: skip
def test_inline_data_is_for_images_of_bearable_size(mode: Mode, fields: dict[str, Any], wrong: str | None) -> None:
    found = problems("dashscope", make(mode, **fields))
    assert [violation.field for violation in found] == ([wrong] if wrong else [])
    assert all(len(str(violation)) < 400 for violation in found)


# -- the report -----------------------------------------------------------------------------------------------


def test_all_violations_are_told_together() -> None:
    request = make(
        R2V,
        prompt="Image 9",
        negative_prompt="x" * 600,
        reference_videos=["clip.mp4"],
        duration=12,
        seed=-5,
        resolution="8K",
        ratio="5:4",
        link="https://x.example/",
        webhook_url="https://x.example/hook",
    )
    with pytest.raises(WanRequestError) as caught:
        checked("dashscope", request)
    found = {violation.field: violation for violation in caught.value.violations}
    assert set(found) == {
        "prompt", "negative_prompt", "reference_videos[0].url", "duration", "seed", "resolution", "ratio", "link",
        "webhook_url",
    }  # fmt: skip
    for violation in found.values():
        assert violation.rule
        assert violation.given
        assert violation.fix
        assert str(violation) in str(caught.value)
    assert "2 and 10 seconds" in found["duration"].rule
    assert found["duration"].given == "12"
    assert "9 rules are broken" in str(caught.value)
    assert not caught.value.retryable


def test_limits_become_warnings_when_asked_to() -> None:
    request = make(T2V, duration=99, seed=-5, ratio="5:4", strict=False)
    done = checked("dashscope", request)
    assert (done.request, done.model) == (request, "wan2.7-t2v")
    assert {warning.split(":")[0] for warning in done.warnings} == {"duration", "seed", "ratio"}


def test_what_cannot_be_sent_at_all_stays_an_error() -> None:
    with pytest.raises(WanRequestError) as caught:
        checked("dashscope", make(T2V, prompt=None, duration=99, strict=False))
    assert [violation.field for violation in caught.value.violations] == ["prompt"]


def test_a_good_request_has_no_warnings() -> None:
    for mode in Mode:
        assert checked("dashscope", make(mode)).warnings == ()


# -- models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("wan2.7", Family.WAN_2_7),
        ("wan2.7-t2v", Family.WAN_2_7),
        ("wan2.7-t2v-2026-06-12", Family.WAN_2_7),
        ("wan-2-7", Family.WAN_2_7),
        ("wan3.0-video", Family.WAN_3_0),
        ("wan3.0-video-prime", Family.WAN_3_0),
        ("wan2.70", Family.OTHER),
        ("wan3.01-video", Family.OTHER),
        ("wan2.6-t2v", Family.OTHER),
        ("happyhorse-1.1-t2v", Family.HAPPYHORSE),
        ("happyhorses", Family.OTHER),
        ("my-wan2.7-t2v", Family.OTHER),
    ],
)
def test_family_of_a_model(model: str, family: Family) -> None:
    assert family_of(model) is family


@pytest.mark.parametrize(
    ("mode", "fields", "wrong"),
    [
        (T2V, {"duration": 3, "resolution": "480P", "ratio": "4:5"}, []),
        (T2V, {"duration": 15, "prompt": "x" * 6000, "negative_prompt": "x" * 600}, []),
        (T2V, {"duration": 2}, ["duration"]),
        (T2V, {"duration": 16}, ["duration"]),
        (T2V, {"duration": -1}, ["duration"]),
        (T2V, {"resolution": "4K"}, ["resolution"]),
        (T2V, {"generate_audio": True}, ["generate_audio"]),
        (T2V, {"seed": -1}, ["seed"]),
        (I2V, {"first_frame": None}, ["first_frame, first_clip"]),
        (R2V, {"reference_images": [IMAGE] * 9}, []),
        (R2V, {"reference_images": [IMAGE] * 10}, ["reference_images"]),
        (R2V, {"reference_images": [], "prompt": "x"},
         ["reference_images, reference_videos, reference_audios, document, link"]),
        (EDIT, {"duration": 0}, []),
        (EDIT, {"duration": 2}, ["duration"]),
    ],
    ids=_name,
)  # fmt: skip
def test_limits_of_happyhorse(mode: Mode, fields: dict[str, Any], wrong: list[str]) -> None:
    kind = {T2V: "t2v", I2V: "i2v", R2V: "r2v", EDIT: "video-edit"}[mode]
    found = problems("dashscope", make(mode, model=f"happyhorse-1.1-{kind}", **fields))
    assert [violation.field for violation in found] == wrong


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        (T2V, {"prompt": "x" * 50_000, "duration": 600, "ratio": "5:4", "resolution": "8K", "generate_audio": True}),
        (I2V, {"first_clip": CLIP, "driving_audio": SOUND}),
        (I2V, {"first_frame": None, "extra_body": {"input": {"image_url": IMAGE}}}),
        (R2V, {"reference_images": [IMAGE] * 20, "first_frame": IMAGE, "link": "https://x.example/"}),
        (R2V, {"reference_images": [], "prompt": "x", "document": "https://x.example/a.pdf"}),
        (EDIT, {"reference_images": [IMAGE] * 20, "duration": 0}),
    ],
    ids=_name,
)
def test_unknown_model_is_checked_by_the_general_rules_only(mode: Mode, fields: dict[str, Any]) -> None:
    assert fields_of(mode, model="wan9-anything", **fields) == []


@pytest.mark.parametrize(
    ("mode", "fields", "wrong"),
    [
        (T2V, {"prompt": None}, "prompt"),
        (T2V, {"seed": -1}, "seed"),
        (T2V, {"duration": -2}, "duration"),
        (I2V, {"first_frame": "a.png"}, "first_frame"),
        (I2V, {"first_frame": None}, "first_frame, first_clip"),
        (R2V, {"prompt": "x", "reference_images": []},
         "reference_images, reference_videos, reference_audios, document, link"),
        (R2V, {"prompt": "Image 2"}, "prompt"),
        (EDIT, {"video": None}, "video"),
    ],
)  # fmt: skip
def test_general_rules_hold_for_every_model(mode: Mode, fields: dict[str, Any], wrong: str) -> None:
    assert fields_of(mode, model="wan9-anything", **fields) == [wrong]


LEGACY: list[tuple[Mode, dict[str, Any], str | None]] = [
    (T2V, {"model": "wan2.6-t2v", "prompt": "x" * 1500, "duration": 15}, None),
    (T2V, {"model": "wan2.6-t2v", "prompt": "x" * 1501}, "prompt"),
    (T2V, {"model": "wan2.6-t2v", "duration": 16}, "duration"),
    (T2V, {"model": "wan2.6-t2v", "resolution": "480P"}, "resolution"),
    (T2V, {"model": "wan2.6-t2v-us", "duration": 10}, None),
    (T2V, {"model": "wan2.2-t2v-plus", "prompt": "x" * 801}, "prompt"),
    (T2V, {"model": "wan2.2-t2v-plus", "duration": 6}, "duration"),
    (T2V, {"model": "wan2.2-t2v-plus", "audio_url": SOUND}, "audio_url"),
    (T2V, {"model": "wan2.5-t2v-preview", "duration": 7}, "duration"),
    (T2V, {"model": "wanx2.1-t2v-turbo", "resolution": "480P", "ratio": "4:3"}, "resolution, ratio"),
    (T2V, {"model": "wan2.6-t2v", "negative_prompt": "x" * 501}, "negative_prompt"),
    (T2V, {"model": "wan2.6-t2v", "generate_audio": True}, "generate_audio"),
    (I2V, {"model": "wan2.6-i2v-flash", "generate_audio": False}, None),
    (I2V, {"model": "wan2.6-i2v", "last_frame": IMAGE}, "last_frame"),
    (I2V, {"model": "wan2.2-i2v-plus", "driving_audio": SOUND}, "driving_audio"),
    (I2V, {"model": "wan2.2-kf2v-flash", "last_frame": IMAGE}, None),
    (I2V, {"model": "wan2.2-kf2v-flash", "driving_audio": SOUND}, "driving_audio"),
    (I2V, {"model": "wan2.2-kf2v-flash", "first_frame": None, "last_frame": IMAGE}, "first_frame"),
    (R2V, {"model": "wan2.6-r2v", "prompt": "character1", "reference_videos": [CLIP] * 3}, None),
    (R2V, {"model": "wan2.6-r2v", "reference_videos": [CLIP] * 4}, "reference_images, reference_videos"),
    (R2V, {"model": "wan2.6-r2v", "reference_images": [INLINE]}, "reference_images[0].url"),
    (R2V, {"model": "wan2.6-r2v", "reference_images": [{"url": IMAGE, "voice": SOUND}]}, "reference_images[0].voice"),
    (R2V, {"model": "wan2.6-r2v", "first_frame": IMAGE}, "first_frame"),
    (R2V, {"model": "wan2.6-r2v", "prompt_extend": False}, "prompt_extend"),
    (R2V, {"model": "wan2.6-r2v", "duration": 11}, "duration"),
    (EDIT, {"model": "wan2.6-t2v"}, "model"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "fields", "wrong"), LEGACY, ids=_name)
def test_older_models_of_dashscope(mode: Mode, fields: dict[str, Any], wrong: str | None) -> None:
    assert fields_of(mode, **fields) == ([wrong] if wrong else [])


def test_smallest_requests_are_good_everywhere_they_exist() -> None:
    for vendor in ("dashscope", "gccai", "freepik"):
        for mode in SMALLEST:
            assert problems(vendor, make(mode)) == (), (vendor, mode)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("url", ["ftp://media.example.com/fox.png", "https:/fox.png", "asset://fox.png"])
def test_an_address_that_is_refused_names_only_what_this_vendor_takes(vendor: str, url: str) -> None:
    taken = {"dashscope": {"oss:", "data:"}, "powertokens": {"asset:", "data:"}}.get(vendor, set())
    for violation in problems(vendor, make(I2V, first_frame=url)):
        told = f"{violation.rule} {violation.fix}"
        assert not {name for name in ("oss:", "asset:", "data:") if name in told} - taken, told
