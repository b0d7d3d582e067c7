from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from .conftest import Wire, probe

IMAGE, VIDEO, AUDIO = (
    "https://media.example.com/a.png",
    "https://media.example.com/b.mp4",
    "https://m.example.com/a.mp3",
)


def item(kind: str, url: str | None = None, **more: str) -> dict[str, str]:
    return {"type": kind, "url": url or (AUDIO if "audio" in kind else VIDEO if "video" in kind else IMAGE), **more}


T2V, I2V, R2V, EDIT = "text_to_video", "image_to_video", "reference_to_video", "video_edit"
HD = (1920, 1080)

GOOD: list[tuple[dict[str, Any], str, tuple[int, int], float]] = [
    ({"model": "wan2.7-t2v"}, T2V, HD, 5),
    ({"model": "wan2.7-t2v-2026-04-25", "resolution": "720P", "ratio": "3:4", "duration": 15}, T2V, (832, 1104), 15),
    ({"model": "wan2.7-t2v", "input": {"audio_url": AUDIO, "negative_prompt": "fog"}, "seed": 0}, T2V, HD, 5),
    ({"model": "wan2.7-i2v", "prompt": None, "media": [item("first_frame")], "resolution": "720P"},
     I2V, (1280, 720), 5),
    ({"model": "wan2.7-i2v", "media": [item("first_frame"), item("driving_audio")]}, I2V, HD, 5),
    ({"model": "wan2.7-i2v", "media": [item("first_frame"), item("last_frame")]}, I2V, HD, 5),
    ({"model": "wan2.7-i2v", "media": [item("first_frame"), item("last_frame"), item("driving_audio")]},
     I2V, HD, 5),
    ({"model": "wan2.7-i2v", "media": [item("first_clip", VIDEO)], "duration": 15}, I2V, HD, 15),
    ({"model": "wan2.7-i2v", "media": [item("first_clip", VIDEO), item("last_frame")]}, I2V, HD, 5),
    ({"model": "wan2.7-r2v", "media": [item("reference_image", reference_voice=AUDIO)] * 5, "duration": 15},
     R2V, HD, 15),

    ({"model": "wan2.7-r2v", "media": [item("reference_video"), item("first_frame")], "ratio": "9:16", "duration": 10},
     R2V, HD, 10),
    ({"model": "wan2.7-videoedit", "prompt": None, "media": [item("video"), item("reference_image")], "duration": 0,
      "audio_setting": "origin"}, EDIT, HD, 5),
    ({"model": "wan2.7-videoedit", "media": [item("video")], "ratio": "1:1", "duration": 2}, EDIT, (1440, 1440), 2),
    ({"model": "wan3.0-video", "ratio": "21:9", "resolution": "480P", "duration": 30}, T2V, (960, 400), 30),
    ({"model": "wan3.0-video-prime", "duration": -1, "audio": False, "seed": -1}, T2V, HD, 5),
    ({"model": "wan3.0-video", "media": [item("first_frame"), item("last_frame")]}, I2V, HD, 5),
    ({"model": "wan3.0-video", "prompt": None, "media": [item("reference_audio")]}, R2V, HD, 5),
    ({"model": "wan3.0-video", "media": [item("link", "https://example.com"), item("reference_image")]},
     R2V, HD, 5),
    ({"model": "wan2.6-t2v", "size": "1088*832", "duration": 10, "shot_type": "multi"}, T2V, (1088, 832), 10),
    ({"model": "happyhorse-1.1-t2v", "resolution": "480P", "ratio": "4:5", "duration": 3}, T2V, (560, 704), 3),
    ({"model": "happyhorse-1.1-i2v", "prompt": None, "media": [item("first_frame")]}, I2V, HD, 5),
    ({"model": "happyhorse-1.0-r2v", "media": [item("reference_image")] * 9, "duration": 15}, R2V, HD, 15),
    ({"model": "happyhorse-1.0-video-edit", "media": [item("video")]}, EDIT, HD, 5),
    ({"model": "wan2.2-kf2v-flash", "path": "image2video", "input": {"first_frame_url": IMAGE}}, I2V, (1280, 720), 5),
    ({"model": "wan2.5-i2v-preview-ft-1", "input": {"img_url": IMAGE}, "resolution": "480P"}, I2V, (832, 480), 5),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "mode", "size", "seconds"), GOOD)
def test_documented_bodies_are_taken(
    wire: Wire, request_: dict[str, Any], mode: str, size: tuple[int, int], seconds: float
) -> None:
    answer = wire.create(**request_)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"output", "request_id"}
    assert body["output"]["task_status"] == "PENDING"
    (task,) = wire.sandbox.tasks()
    assert (task["mode"], (task["width"], task["height"]), task["seconds"]) == (mode, size, seconds)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "input.prompt"),
    ({"prompt": "x", "duration": "5"}, "parameters.duration"),
    ({"prompt": "x", "duration": 1}, "parameters.duration"),
    ({"prompt": "x", "duration": True}, "parameters.duration"),
    ({"prompt": "x", "seed": -1}, "parameters.seed"),
    ({"prompt": "x", "watermark": "false"}, "parameters.watermark"),
    ({"prompt": "x", "resolution": "720p"}, "parameters.resolution"),
    ({"prompt": "x", "resolution": "480P"}, "parameters.resolution"),
    ({"prompt": "x", "ratio": "21:9"}, "parameters.ratio"),
    ({"prompt": "x", "input": {"audio_url": "ftp://x/a.mp3"}}, "input.audio_url"),
    ({"model": "wan2.7-i2v"}, "input.media"),
    ({"model": "wan2.7-i2v", "media": [item("last_frame")]}, "input.media"),
    ({"model": "wan2.7-i2v", "media": [item("first_clip", VIDEO), item("driving_audio")]}, "input.media"),
    ({"model": "wan2.7-i2v", "media": [item("first_frame")] * 2}, "input.media"),
    ({"model": "wan2.7-i2v", "media": [item("reference_image")]}, "input.media[0].type"),
    ({"model": "wan2.7-i2v", "media": [item("first_frame", "a.png")]}, "input.media[0].url"),
    ({"model": "wan2.7-i2v", "media": [item("first_clip", "data:video/mp4;base64,AAAA")]}, "input.media[0].url"),
    ({"model": "wan2.7-r2v", "media": [item("first_frame")]}, "input.media"),
    ({"model": "wan2.7-r2v", "media": [item("reference_image")] * 6}, "input.media"),
    ({"model": "wan2.7-r2v", "media": [item("reference_video")], "duration": 11}, "parameters.duration"),
    ({"model": "wan2.7-videoedit", "media": [item("reference_image")]}, "input.media"),
    ({"model": "wan2.7-videoedit", "media": [item("video")], "duration": 1}, "parameters.duration"),
    ({"model": "wan2.7-videoedit", "media": [item("video")], "audio_setting": "mute"}, "parameters.audio_setting"),
    ({"model": "wan3.0-video", "prompt": None}, "input.prompt"),
    ({"model": "wan3.0-video", "media": [item("first_frame"), item("reference_image")]}, "mutually exclusive"),
    ({"model": "wan3.0-video", "media": [item("file"), item("link")]}, "input.media"),
    ({"model": "wan3.0-video", "media": [item("link")], "prompt_extend": False}, "parameters.prompt_extend"),
    ({"model": "wan3.0-video", "duration": 31}, "parameters.duration"),
    ({"model": "wan2.6-i2v-flash"}, "input.img_url"),
    ({"model": "happyhorse-1.1-t2v", "duration": 2}, "parameters.duration"),
    ({"model": "happyhorse-1.0-t2v", "resolution": "480P"}, "parameters.resolution"),
    ({"model": "happyhorse-1.1-i2v"}, "input.media"),
    ({"model": "happyhorse-1.1-r2v", "media": [item("reference_image")] * 10}, "input.media"),
]  # fmt: skip
UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"model": "qwen-plus"}, "Model not exist."),
    ({"model": "wan2.8-t2v"}, "Model not exist."),
    ({"model": "wan2.7-v2v"}, "Model not exist."),
    ({"model": "happyhorse-1.1-v2v"}, "Model not exist."),
    ({"model": "wan2.2-kf2v-flash", "input": {"first_frame_url": IMAGE}}, "url error"),
    ({"model": "wan2.7-t2v", "path": "image2video"}, "url error"),
]
MISPLACED: list[tuple[dict[str, Any], str]] = [
    ({"size": "1280*720"}, "parameters.size"),
    ({"media": [item("first_frame")]}, "input.media"),
    ({"input": {"img_url": IMAGE}}, "input.img_url"),
    ({"brand_new": 1}, "parameters.brand_new"),
    ({"model": "wan2.7-i2v", "media": [item("first_frame")], "ratio": "16:9"}, "parameters.ratio"),
    ({"model": "wan2.7-r2v", "media": [item("reference_image"), item("first_frame", reference_voice=AUDIO)]},
     "input.media[1].reference_voice"),
    ({"model": "wan3.0-video", "input": {"negative_prompt": "x"}}, "input.negative_prompt"),
]  # fmt: skip
LATE: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "Field required: input.prompt"),
    ({"duration": 1}, "Duration should be between 2 and 15"),
    ({"duration": "5"}, "Input should be a valid integer: parameters.duration"),
    ({"resolution": "720p", "duration": 16},
     "Input should be '1080P' or '720P': parameters.resolution & Duration should be between 2 and 15"),
    ({"seed": -1, "watermark": "no"},
     "Input should be a valid boolean: parameters.watermark & "
     "Input should be greater than or equal to 0: parameters.seed"),
    ({"model": "wan2.7-i2v", "prompt": None}, "Field required: input.media"),
    ({"model": "wan2.7-r2v", "media": [{}, item("reference_image")]},
     "Field required: input.media.0.url & Field required: input.media.0.type"),
    ({"model": "wan2.7-r2v", "media": [item("last_frame"), item("reference_image")]},
     "Input should be 'reference_image', 'reference_video' or 'first_frame': input.media.0.type"),
    ({"model": "wan2.7-r2v", "media": [item("first_frame")]}, "Only first frame provided is not allowed"),
    ({"model": "wan2.7-i2v", "media": [item("first_frame", "a.png")]},
     "The provided URL does not appear to be valid. Ensure it is correctly formatted."),
    ({"model": "wan3.0-video", "media": [item("first_frame"), item("reference_image")]},
     "The two modes are mutually exclusive. "
     "Do not pass reference_xx and first_frame/last_frame at the same time."),
    ({"model": "happyhorse-1.1-t2v", "duration": 16}, "Duration should be between 3 and 15"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "named"), BAD)
def test_immediate_checks_refuse_undocumented_bodies_by_name(wire: Wire, request_: dict[str, Any], named: str) -> None:
    wire.sandbox.configure(late_validation=False)
    answer = wire.create(**request_)
    assert answer.status_code == 400
    body = answer.json()
    assert body["code"] == "InvalidParameter"
    assert named in body["message"]
    assert body["request_id"]
    assert wire.sandbox.ledger()["created"] == []


@pytest.mark.parametrize(("request_", "named"), UNKNOWN)
@pytest.mark.parametrize("late", [True, False])
def test_unknown_model_or_path_is_refused_at_once(wire: Wire, request_: dict[str, Any], named: str, late: bool) -> None:
    wire.sandbox.configure(late_validation=late)
    answer = wire.create(**request_)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
    assert named in answer.json()["message"]
    assert wire.sandbox.ledger()["created"] == []


@pytest.mark.parametrize(("request_", "reason"), LATE)
def test_wrong_body_is_taken_and_fails_soon_with_all_its_reasons(
    wire: Wire, request_: dict[str, Any], reason: str
) -> None:
    body = wire.finished(**request_)
    assert body["output"]["task_status"] == "FAILED"
    assert (body["output"]["code"], body["output"]["message"]) == ("InvalidParameter", reason)
    assert "usage" not in body
    assert wire.sandbox.ledger()["billed"] == []


@pytest.mark.parametrize("raw", [{}, {"input": []}, {"input": {"prompt": 1, "media": "x"}, "parameters": "fast"}])
def test_bodies_of_wrong_types_fail_late_too(wire: Wire, raw: dict[str, Any]) -> None:
    path, headers = "/api/v1/services/aigc/video-generation/video-synthesis", {"X-DashScope-Async": "enable"}
    for model in ("wan2.7-t2v", "wan2.7-i2v", "wan2.7-r2v", "wan2.7-videoedit", "wan3.0-video", "wan2.6-i2v"):
        answer = wire.http.post(path, json={"model": model, **raw}, headers=headers)
        assert answer.status_code == 200, answer.text
        wire.wait(answer.json()["output"]["task_id"])
    assert {task["status"] for task in wire.sandbox.tasks()} == {"FAILED"}


def test_wrong_body_takes_no_slot_and_cannot_be_cancelled(wire: Wire) -> None:
    wire.sandbox.configure(running_limit=1, queue_limit=1, generation_seconds=600, late_validation_seconds=600)
    running, waiting = wire.made("one"), wire.made("two")
    wrong = wire.made("three", duration=1)
    assert [wire.status(task_id) for task_id in (running, waiting, wrong)] == ["RUNNING", "PENDING", "RUNNING"]
    assert wire.http.post(f"/api/v1/tasks/{wrong}/cancel").json()["code"] == "UnsupportedOperation"


@pytest.mark.parametrize(("request_", "named"), MISPLACED)
def test_a_field_in_the_wrong_place_is_ignored_unless_fields_are_strict(
    wire: Wire, request_: dict[str, Any], named: str
) -> None:
    assert wire.finished(**request_)["output"]["task_status"] == "SUCCEEDED"
    wire.sandbox.configure(strict_fields=True)
    answer = wire.create(**request_)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_clip_must_be_shorter_than_the_video(wire: Wire) -> None:
    url = wire.finished("x", resolution="720P", duration=3)["output"]["video_url"]
    body = wire.finished(model="wan2.7-i2v", media=[item("first_clip", url)], duration=3)
    reason = "first_clip duration (3.00s after trim) must be less than the requested duration (3s)"
    assert body["output"]["message"] == reason
    body = wire.finished(model="wan2.7-i2v", media=[item("first_clip", url)], duration=4)
    assert body["output"]["task_status"] == "SUCCEEDED"


def test_a_call_without_the_async_header_is_refused(wire: Wire) -> None:
    answer = wire.create("x", headers={"X-DashScope-Async": "disable"})
    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")


def test_keys(wire: Wire) -> None:
    for key in ("sk-invalid", "sk-sp-123"):
        answer = wire.create("x", headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "InvalidApiKey")
    assert wire.plain.get("/api/v1/tasks").json()["message"] == "No API-key provided."
    answer = wire.create("x", headers={"Authorization": "Bearer sk-arrears-1"})
    assert (answer.status_code, answer.json()["code"]) == (400, "Arrearage")
    wire.sandbox.configure(api_keys=["sk-only"])
    assert wire.create("x").status_code == 401
    assert wire.create("x", headers={"Authorization": "Bearer sk-only"}).status_code == 200


LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


def test_a_task_through_its_states(wire: Wire) -> None:
    wire.sandbox.configure(running_limit=0)
    before = datetime.now(UTC).replace(microsecond=0)
    task_id = wire.made("A boat", resolution="720P", duration=2)
    pending = wire.fetch(task_id)["output"]
    assert set(pending) == {"task_id", "task_status", "submit_time"}
    wire.sandbox.configure(running_limit=1, generation_seconds=600)
    running = wire.fetch(task_id)["output"]
    assert running["task_status"] == "RUNNING"
    assert "orig_prompt" not in running
    wire.sandbox.change(task_id, "finish")
    done = wire.fetch(task_id)
    output = done["output"]
    assert output["task_status"] == "SUCCEEDED"
    assert output["orig_prompt"] == "A boat"
    for name in ("submit_time", "scheduled_time", "end_time"):
        assert LOCAL_TIME.fullmatch(output[name])
    beijing = timezone(timedelta(hours=8))
    submitted = datetime.strptime(output["submit_time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=beijing)
    assert before <= submitted <= datetime.now(UTC)
    expected = {"duration": 2, "input_video_duration": 0, "output_video_duration": 2, "video_count": 1, "SR": 720}
    assert done["usage"] == {**expected, "ratio": "16:9"}
    assert probe(wire.plain.get(output["video_url"]).content) == (1280, 720, 2.0, "h264", "yuv420p")


def test_failed_task_shows_code_and_message_and_is_not_billed(wire: Wire) -> None:
    body = wire.finished('A [sandbox fail=DataInspectionFailed message="not nice"] boat')
    assert body["output"]["task_status"] == "FAILED"
    assert (body["output"]["code"], body["output"]["message"]) == ("DataInspectionFailed", "not nice")
    assert "usage" not in body
    assert "video_url" not in body["output"]
    assert wire.sandbox.ledger()["billed"] == []


@pytest.mark.parametrize(
    ("request_", "usage"),
    [
        ({"model": "wan2.7-i2v", "media": [item("first_frame")], "duration": 8},
         {"duration": 8, "input_video_duration": 0, "output_video_duration": 8, "video_count": 1, "SR": 1080}),
        ({"model": "wan2.7-r2v", "media": [item("reference_video")], "resolution": "720P", "duration": 10},
         {"duration": 15, "input_video_duration": 5, "output_video_duration": 10, "video_count": 1, "SR": 720,
          "ratio": "16:9"}),
        ({"model": "wan2.7-videoedit", "media": [item("video")], "duration": 0},
         {"duration": 10, "input_video_duration": 5, "output_video_duration": 5, "video_count": 1, "SR": 1080}),
        ({"model": "wan3.0-video", "duration": 4, "ratio": "1:1"},
         {"video_count": 1, "duration": 4.0, "input_video_duration": 0.0, "output_video_duration": 4.0, "fps": 30,
          "SR": 1080, "ratio": "1:1"}),
        ({"model": "wan2.6-t2v", "size": "1280*720"},
         {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "video_count": 1, "SR": 720,
          "size": "1280*720"}),
        ({"model": "wan2.6-i2v-flash", "input": {"img_url": IMAGE}, "audio": False},
         {"duration": 5, "input_video_duration": 0, "output_video_duration": 5, "video_count": 1, "SR": 720,
          "audio": False}),
        ({"model": "wan2.5-i2v-preview", "input": {"img_url": IMAGE}, "resolution": "480P"},
         {"duration": 5, "SR": 480, "video_count": 1}),
        ({"model": "wan2.2-kf2v-flash", "path": "image2video", "input": {"first_frame_url": IMAGE}},
         {"video_duration": 5, "video_count": 1, "SR": 720}),
        ({"model": "wanx2.1-i2v-turbo", "input": {"img_url": IMAGE}},
         {"video_duration": 5, "video_ratio": "standard", "video_count": 1}),
        ({"model": "happyhorse-1.1-t2v", "duration": 3},
         {"duration": 3, "input_video_duration": 0, "output_video_duration": 3, "video_count": 1, "SR": 1080,
          "ratio": "16:9"}),
        ({"model": "wanx2.1-t2v-turbo", "size": "832*480"},
         {"video_duration": 5, "video_ratio": "832*480", "video_count": 1}),
    ],
)  # fmt: skip
def test_usage_has_the_fields_of_its_family(wire: Wire, request_: dict[str, Any], usage: dict[str, Any]) -> None:
    assert wire.finished("x", **request_)["usage"] == usage
    seconds = usage.get("duration", usage.get("video_duration"))
    assert [entry["seconds"] for entry in wire.sandbox.ledger()["billed"]] == [seconds]


def test_speech_models_have_their_url_elsewhere(wire: Wire) -> None:
    body = wire.finished(None, model="wan2.2-s2v", path="image2video", input={"image_url": IMAGE, "audio_url": AUDIO})
    assert body["output"]["results"]["video_url"].startswith(wire.sandbox.url)


def test_first_frame_gives_the_shape(wire: Wire, png: bytes) -> None:
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    wire.made(model="wan2.7-i2v", media=[item("first_frame", url)], resolution="720P")
    (task,) = wire.sandbox.tasks()
    assert (task["width"], task["height"]) == (672, 1344)
    assert len(str(task["body"])) < 1000, "the inline image is not kept"


def test_own_video_as_input_is_known_by_length_and_shape(wire: Wire) -> None:
    url = wire.finished("x", ratio="1:1", resolution="720P", duration=3)["output"]["video_url"]
    body = wire.finished(model="wan2.7-videoedit", media=[item("video", url)], resolution="720P", duration=0)
    assert body["usage"]["duration"] == 6
    assert wire.sandbox.tasks()[1]["width"] == wire.sandbox.tasks()[1]["height"] == 960


def test_unknown_foreign_and_expired_tasks_are_unknown(wire: Wire) -> None:
    task_id = wire.made("x")
    foreign = wire.http.get(f"/api/v1/tasks/{task_id}", headers={"Authorization": "Bearer sk-other"})
    assert foreign.json()["output"] == {"task_id": task_id, "task_status": "UNKNOWN"}
    assert wire.status("00000000-0000-0000-0000-000000000000") == "UNKNOWN"
    wire.sandbox.change(task_id, "expire")
    assert wire.status(task_id) == "UNKNOWN"
    assert wire.http.get("/api/v1/tasks").json()["total"] == 0


def test_only_a_pending_task_can_be_cancelled(wire: Wire) -> None:
    wire.sandbox.configure(running_limit=1, generation_seconds=600)
    running, waiting = wire.made("one"), wire.made("two")
    answer = wire.http.post(f"/api/v1/tasks/{waiting}/cancel")
    assert answer.status_code == 200
    assert set(answer.json()) == {"request_id"}
    assert wire.status(waiting) == "CANCELED"
    answer = wire.http.post(f"/api/v1/tasks/{running}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (400, "UnsupportedOperation")
    assert [(c["task_id"], c["accepted"]) for c in wire.sandbox.ledger()["cancels"]] == [
        (waiting, True),
        (running, False),
    ]


def test_list_pages_newest_first_without_prompt_or_url(wire: Wire) -> None:
    ids = [wire.made(f"boat {n}") for n in range(12)]
    wire.wait(ids[-1])
    first = wire.http.get("/api/v1/tasks/").json()
    assert (first["total"], first["total_page"], first["page_no"], first["page_size"]) == (12, 2, 1, 10)
    second = wire.http.get("/api/v1/tasks", params={"page_no": 2}).json()
    assert [row["task_id"] for row in first["data"] + second["data"]] == ids[::-1]
    row = first["data"][0]
    assert row["gmt_create"] > 1_700_000_000_000
    assert {"start_time", "end_time", "request_id", "user_api_unique_key", "model_name"} <= set(row)
    assert not {"video_url", "orig_prompt", "prompt", "output"} & set(row)
    assert "boat" not in str(first)


def test_list_filters(wire: Wire) -> None:
    one, two = wire.made("x"), wire.made("y [sandbox hold]", model="wan2.7-t2v-2026-06-12")

    def ids(**query: Any) -> list[str]:
        return [row["task_id"] for row in wire.http.get("/api/v1/tasks", params=query).json()["data"]]

    wire.wait(one)
    assert ids(status="SUCCEEDED") == [one]
    assert ids(status="PENDING") == [two]
    assert ids(model_name="wan2.7-t2v") == [one]
    assert ids(task_id=two) == [two]
    now = datetime.now(timezone(timedelta(hours=8)))
    past, soon = now - timedelta(hours=1), now + timedelta(seconds=5)
    assert ids(start_time=f"{past:%Y%m%d%H%M%S}", end_time=f"{soon:%Y%m%d%H%M%S}") == [two, one]
    assert ids(end_time=f"{past:%Y%m%d%H%M%S}") == []
    bad = wire.http.get("/api/v1/tasks", params={"start_time": "20260101000000", "end_time": "20260103000000"})
    assert bad.status_code == 400
    assert wire.http.get("/api/v1/tasks", params={"page_no": 0}).status_code == 400
    assert wire.http.get("/api/v1/tasks", params={"page_size": 5000}).json()["page_size"] == 100


def upload(wire: Wire, name: str, content: bytes, model: str = "wan2.7-i2v") -> tuple[httpx.Response, str]:
    answer = wire.http.get("/api/v1/uploads", params={"action": "getPolicy", "model": model})
    policy = answer.json()["data"]
    key = f"{policy['upload_dir']}/{name}"
    fields = {
        "OSSAccessKeyId": policy["oss_access_key_id"],
        "Signature": policy["signature"],
        "policy": policy["policy"],
        "key": key,
        "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    }
    sent = wire.plain.post(policy["upload_host"], data=fields, files={"file": (name, content)})
    return sent, f"oss://{key}"


def test_uploaded_file_is_taken_for_its_model_with_the_resolve_header(wire: Wire, png: bytes) -> None:
    wire.sandbox.configure(late_validation=False)
    sent, url = upload(wire, "a.png", png)
    assert (sent.status_code, sent.content) == (200, b"")
    resolve = {"X-DashScope-OssResourceResolve": "enable"}
    media = [item("first_frame", url)]
    assert wire.create(model="wan2.7-i2v", media=media).status_code == 400
    assert wire.create(model="wan2.7-i2v", media=media, headers=resolve, resolution="720P").status_code == 200
    assert wire.sandbox.tasks()[0]["height"] == 2 * wire.sandbox.tasks()[0]["width"]
    other = wire.create(model="wan2.7-i2v-2026-04-25", media=media, headers=resolve)
    assert "uploaded for model wan2.7-i2v" in other.json()["message"]
    lost = [item("first_frame", url + ".gone")]
    assert wire.create(model="wan2.7-i2v", media=lost, headers=resolve).status_code == 400


def test_quotas_show_the_settings(wire: Wire) -> None:
    wire.sandbox.configure(running_limit=3)
    body = wire.http.get("/api/v1/models/limits", params={"model": "wan2.7-t2v"}).json()
    assert body["output"]["quotas"][0]["model_limit"]["async_user_concurrency_limit"] == 3
