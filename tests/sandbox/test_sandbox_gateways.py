from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from airflow_provider_wan.sandbox.front.webhooks import is_loopback, signature

from .conftest import Wire, probe

IMAGE, VIDEO, AUDIO = (
    "https://media.example.com/a.png",
    "https://media.example.com/b.mp4",
    "https://m.example.com/a.mp3",
)


def gccai(wire: Wire, body: dict[str, Any], **headers: str) -> httpx.Response:
    return wire.http.post("/v1/videos/generations", json={"model": "wan2.7", **body}, headers=headers)


def powertokens(wire: Wire, body: dict[str, Any]) -> httpx.Response:
    return wire.http.post("/v1/videos", json={"model": "wan2.7-t2v", **body})


def freepik(wire: Wire, mode: str, body: dict[str, Any]) -> httpx.Response:
    return wire.freepik.post(f"/v1/ai/{mode}/wan-2-7", json=body)


GCCAI_BODIES = [
    ({"prompt": "a boat", "size": "9:16", "resolution": "720P", "duration": 2}, "text_to_video", (720, 1280)),
    ({"image_with_roles": [{"url": IMAGE}], "resolution": "720P"}, "image_to_video", (1280, 720)),
    ({"image_urls": [IMAGE, IMAGE]}, "image_to_video", (1920, 1080)),
    ({"video_urls": [VIDEO], "prompt": "go on"}, "image_to_video", (1920, 1080)),
    (
        {"model": "wan2.7-r2v", "prompt": "Image 1", "size": "1:1",
         "image_with_roles": [{"url": IMAGE, "reference_voice": AUDIO}]},
        "reference_to_video", (1440, 1440),
    ),
    ({"model": "wan2.7-videoedit", "video_urls": [VIDEO], "duration": 0}, "video_edit", (1920, 1080)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "mode", "size"), GCCAI_BODIES)
def test_gccai_takes_the_bodies_of_its_pages(
    wire: Wire, body: dict[str, Any], mode: str, size: tuple[int, int]
) -> None:
    answer = gccai(wire, body)
    assert answer.status_code == 200, answer.text
    (made,) = answer.json()["data"]
    assert made["status"] == "submitted"
    (task,) = wire.sandbox.tasks()
    assert (task["task_id"], task["mode"], (task["width"], task["height"])) == (made["task_id"], mode, size)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "duration": "5"}, "duration"),
        ({"prompt": "x", "duration": 16}, "duration"),
        ({"prompt": "x", "size": "720P"}, "size"),
        ({"prompt": "x", "ratio": "16:9"}, "ratio"),
        ({"prompt": "x" * 5001}, "prompt"),
        ({"image_urls": [IMAGE], "image_with_roles": [{"url": IMAGE}]}, "image_with_roles"),
        ({"image_with_roles": [{"url": IMAGE, "role": "last_frame"}]}, "image_with_roles"),
        ({"model": "wan2.7-r2v", "prompt": "x"}, "image_with_roles"),
        ({"model": "wan2.7-videoedit"}, "video_urls"),
        ({"model": "veo"}, "model"),
    ],
)
def test_gccai_names_the_wrong_field(wire: Wire, body: dict[str, Any], field: str) -> None:
    answer = gccai(wire, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
    assert wire.sandbox.ledger()["created"] == []


def test_gccai_task_from_submit_to_file(wire: Wire) -> None:
    task_id = gccai(wire, {"prompt": "a boat [sandbox hold]", "resolution": "720P", "duration": 2}).json()["data"][0][
        "task_id"
    ]
    path = f"/v1/tasks/{task_id}?language=en"
    pending = wire.http.get(path).json()
    assert pending["code"] == 200
    assert (pending["data"]["status"], pending["data"]["progress"]) == ("pending", 0)
    wire.sandbox.change(task_id, "finish")
    data = wire.http.get(path).json()["data"]
    assert (data["status"], data["progress"]) == ("completed", 100)
    (video,) = data["result"]["videos"]
    assert video["expires_at"] == pytest.approx(data["completed"] + 86_400, abs=1)
    assert probe(wire.plain.get(video["url"][0]).content)[:3] == (1280, 720, 2.0)


def test_gccai_repeated_idempotency_key_makes_one_task(wire: Wire) -> None:
    key = {"Idempotency-Key": "run-1"}
    first, again = gccai(wire, {"prompt": "x"}, **key), gccai(wire, {"prompt": "x"}, **key)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert gccai(wire, {"prompt": "other"}, **key).status_code == 409
    assert gccai(wire, {"prompt": "x"}, **{"Idempotency-Key": "has space"}).status_code == 400
    assert len(wire.sandbox.ledger()["created"]) == 1


def test_gccai_replays_a_submission_whose_answer_was_lost(wire: Wire) -> None:
    key = {"Idempotency-Key": "run-2"}
    with pytest.raises(httpx.RemoteProtocolError):
        gccai(wire, {"prompt": "x [sandbox drop-answer]"}, **key)
    assert gccai(wire, {"prompt": "x [sandbox drop-answer]"}, **key).headers["Idempotency-Replayed"] == "true"
    assert len(wire.sandbox.ledger()["created"]) == 1


def test_gccai_newer_answer_shape_on_request(wire: Wire) -> None:
    answer = gccai(wire, {"prompt": "x"}, **{"X-APIMart-Response-Version": "2026-07-27"})
    assert answer.headers["X-APIMart-Response-Version"] == "2026-07-27"
    assert answer.json()["data"]["object"] == "generation.task"


def test_gccai_shows_moderation_as_its_own_error(wire: Wire) -> None:
    task_id = gccai(wire, {"prompt": "x [sandbox fail=DataInspectionFailed]"}).json()["data"][0]["task_id"]
    wire.wait(task_id)
    data = wire.http.get(f"/v1/tasks/{task_id}").json()["data"]
    assert data["status"] == "failed"
    assert data["error"]["type"] == "content_policy_violation"
    assert "DataInspectionFailed" in data["error"]["message"]


def test_gccai_reference_video_over_ten_seconds_fails_late(wire: Wire) -> None:
    body = {"model": "wan2.7-r2v", "prompt": "Video 1", "video_urls": [VIDEO], "duration": 12}
    task_id = gccai(wire, body).json()["data"][0]["task_id"]
    wire.wait(task_id)
    assert wire.http.get(f"/v1/tasks/{task_id}").json()["data"]["error"]["type"] == "invalid_request_error"


def test_gccai_image_upload_gives_a_url_whose_shape_is_known(wire: Wire, png: bytes) -> None:
    answer = wire.http.post("/v1/uploads/images", files={"file": ("a.png", png, "image/png")}).json()
    assert answer["bytes"] == len(png)
    assert httpx.get(answer["url"]).content == png
    gccai(wire, {"image_urls": [answer["url"]], "resolution": "720P"})
    assert (wire.sandbox.tasks()[0]["width"], wire.sandbox.tasks()[0]["height"]) == (672, 1344)
    assert wire.http.post("/v1/uploads/images", files={"file": ("a.bmp", png, "image/bmp")}).status_code == 400


PT_MEDIA = [{"type": "reference_image", "url": IMAGE}, {"type": "first_frame", "url": IMAGE}]


@pytest.mark.parametrize(
    ("body", "mode", "seconds"),
    [
        ({"prompt": "a boat", "seconds": "2", "size": "720P"}, "text_to_video", 2),
        ({"model": "wan2.7-i2v", "media": [{"type": "first_frame", "url": IMAGE}]}, "image_to_video", 5),
        ({"model": "wan2.7-r2v", "prompt": "Image 1", "media": PT_MEDIA, "seconds": "15"}, "reference_to_video", 15),
        (
            {"model": "wan3.0-video", "prompt": "x", "seconds": "30", "ratio": "3:4"},
            "text_to_video",
            30,
        ),
    ],
)
def test_powertokens_takes_the_bodies_of_its_pages(wire: Wire, body: dict[str, Any], mode: str, seconds: int) -> None:
    answer = powertokens(wire, body)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["id"] == made["task_id"]
    assert (made["object"], made["status"], made["progress"]) == ("video", "queued", 0)
    (task,) = wire.sandbox.tasks()
    assert (task["mode"], task["seconds"]) == (mode, seconds)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "x", "seconds": 5},
        {"prompt": "x", "seconds": "16"},
        {"prompt": "x", "size": "16:9"},
        {"prompt": "x", "resolution": "720P"},
        {"model": "wan2.7-i2v", "prompt": "x"},
        {"model": "wan2.7-i2v", "media": [{"type": "last_frame", "url": IMAGE}]},
        {"model": "wan2.7-r2v", "prompt": "x", "seconds": "11", "media": [{"type": "reference_video", "url": VIDEO}]},
        {"model": "sora-2", "prompt": "x"},
    ],
)
def test_powertokens_refuses_what_its_pages_do_not_allow(wire: Wire, body: dict[str, Any]) -> None:
    answer = powertokens(wire, body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message", "data"}


def test_powertokens_content_needs_the_key_and_sends_to_a_host_that_refuses_it(wire: Wire) -> None:
    task_id = powertokens(wire, {"prompt": "x [sandbox hold]", "seconds": "2", "size": "720P"}).json()["id"]
    content = f"/v1/videos/{task_id}/content"
    assert wire.http.get(content).status_code == 400
    wire.sandbox.change(task_id, "finish")
    task = wire.http.get(f"/v1/videos/{task_id}").json()
    assert (task["status"], task["progress"]) == ("completed", 100)
    assert task["metadata"]["url"].endswith(content)
    assert wire.plain.get(content).status_code == 401
    redirect = wire.http.get(content)
    assert redirect.status_code == 302
    assert httpx.URL(redirect.headers["location"]).host != httpx.URL(wire.sandbox.url).host
    # httpx drops the key on its way to another host; sent there by hand, it is refused.
    followed = wire.http.get(content, follow_redirects=True)
    assert probe(followed.content)[:3] == (1280, 720, 2.0)
    own = {"Authorization": wire.http.headers["Authorization"]}
    assert wire.plain.get(redirect.headers["location"], headers=own).status_code == 403


def test_powertokens_can_stream_content_or_give_the_file_url(wire: Wire) -> None:
    wire.sandbox.configure(powertokens_content="stream", render="small")
    task_id = powertokens(wire, {"prompt": "x", "seconds": "2"}).json()["id"]
    wire.wait(task_id)
    assert wire.http.get(f"/v1/videos/{task_id}/content").headers["content-type"] == "video/mp4"
    wire.sandbox.configure(powertokens_url="file")
    url = wire.http.get(f"/v1/videos/{task_id}").json()["metadata"]["url"]
    assert wire.plain.get(url).content[4:8] == b"ftyp"


FREEPIK_BODIES = [
    ("text-to-video", {"prompt": "x", "aspect_ratio": "4:3", "resolution": "720P", "duration": 2}, (1104, 832)),
    ("image-to-video", {"start_image_url": IMAGE, "end_image_url": IMAGE, "audio_url": AUDIO}, (1920, 1080)),
    ("image-to-video", {"video_url": VIDEO}, (1920, 1080)),
    (
        "reference-to-video",
        {"prompt": "Image 1", "image_urls": [{"url": IMAGE, "reference_voice": AUDIO}], "video_urls": [{"url": VIDEO}]},
        (1920, 1080),
    ),
    ("video-edit", {"video_url": VIDEO, "additional_settings": {"prompt_extend": False}}, (1920, 1080)),
]


@pytest.mark.parametrize(("mode", "body", "size"), FREEPIK_BODIES)
def test_freepik_takes_the_bodies_of_its_pages(
    wire: Wire, mode: str, body: dict[str, Any], size: tuple[int, int]
) -> None:
    answer = freepik(wire, mode, body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["status"], data["generated"]) == ("CREATED", [])
    (task,) = wire.sandbox.tasks()
    assert (task["width"], task["height"]) == size


@pytest.mark.parametrize(
    ("mode", "body", "field"),
    [
        ("text-to-video", {"prompt": "x", "watermark": True}, "watermark"),
        ("text-to-video", {"prompt": "x", "ratio": "16:9"}, "ratio"),
        ("image-to-video", {"start_image_url": IMAGE, "aspect_ratio": "16:9"}, "aspect_ratio"),
        ("image-to-video", {"prompt": "x"}, "start_image_url"),
        ("reference-to-video", {"prompt": "x", "image_urls": [{"url": IMAGE}], "duration": 11}, "duration"),
        ("reference-to-video", {"prompt": "x", "image_urls": [IMAGE]}, "image_urls[0]"),
        ("video-edit", {"prompt": "x"}, "video_url"),
    ],
)
def test_freepik_names_the_wrong_field(wire: Wire, mode: str, body: dict[str, Any], field: str) -> None:
    answer = freepik(wire, mode, body)
    assert answer.status_code == 400
    assert [item["name"] for item in answer.json()["problem"]["invalid_params"]] == [field]


def test_freepik_task_is_found_only_under_its_own_mode(wire: Wire) -> None:
    task_id = freepik(wire, "text-to-video", {"prompt": "x"}).json()["data"]["task_id"]
    wire.wait(task_id)
    data = wire.freepik.get(f"/v1/ai/text-to-video/wan-2-7/{task_id}").json()["data"]
    assert data["status"] == "COMPLETED"
    assert len(data["generated"]) == 1
    assert wire.freepik.get(f"/v1/ai/image-to-video/wan-2-7/{task_id}").status_code == 404
    assert wire.freepik.get("/v1/ai/image-to-video/wan-2-7").json() == {"data": []}
    rows = wire.freepik.get("/v1/ai/text-to-video/wan-2-7").json()["data"]
    assert rows == [{"task_id": task_id, "status": "COMPLETED"}]


def test_freepik_wants_its_own_header_of_either_generation(wire: Wire) -> None:
    path = "/v1/ai/text-to-video/wan-2-7"
    assert wire.http.get(path).status_code == 401
    assert wire.plain.get(path, headers={"x-freepik-api-key": "k"}).status_code == 200
    assert wire.plain.get(path, headers={"x-magnific-api-key": "sk-invalid"}).status_code == 401


def test_freepik_upload_wants_the_exact_headers_and_no_key(wire: Wire, png: bytes) -> None:
    answer = wire.freepik.post("/v1/ai/uploads/request-url", json={"files": [{"content_type": "image/png"}]})
    (ticket,) = answer.json()["files"]
    assert wire.plain.put(ticket["upload_url"], content=png).status_code == 403
    assert wire.freepik.put(ticket["upload_url"], content=png, headers=ticket["headers"]).status_code == 400
    assert wire.plain.put(ticket["upload_url"], content=png, headers=ticket["headers"]).status_code == 200
    assert wire.plain.get(ticket["asset_url"]).content == png


def test_freepik_calls_webhooks_back_at_each_change_with_a_good_signature(wire: Wire) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []
    done = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()
            if b"COMPLETED" in body:
                done.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        wire.sandbox.configure(webhook_secret="demo", pending_seconds=0.05)
        url = f"http://127.0.0.1:{server.server_port}/hook"
        assert freepik(wire, "text-to-video", {"prompt": "x", "webhook_url": url}).status_code == 200
        assert done.wait(10)
    finally:
        server.shutdown()
        server.server_close()
    assert [json.loads(body)["status"] for _, body in seen] == ["CREATED", "IN_PROGRESS", "COMPLETED"]
    for headers, body in seen:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(b"demo", signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


def test_webhook_signature_matches_the_known_vector() -> None:
    body = (
        b'{"task_id":"046b6c7f-0b8a-43b9-b35d-6489e6daee91","status":"COMPLETED",'
        b'"generated":["https://cdn.example.com/v.mp4"]}'
    )
    known = "v1,UMHnzR+2U1FP5s2QEwJD4xuRQdAGQ4yP6Ra1hj+yStU="
    assert signature("demo-webhook-secret", "msg_0001", "1790000000", body) == known


@pytest.mark.parametrize(
    ("url", "stays"),
    [("http://127.0.0.1:1/x", True), ("http://localhost/x", True), ("http://[::1]/", True),
     ("https://example.com/x", False), ("http://10.0.0.1/", False)],
)  # fmt: skip
def test_webhooks_stay_on_this_machine(url: str, stays: bool) -> None:
    assert is_loopback(url) is stays


def test_a_key_in_arrears_and_a_wrong_key(wire: Wire) -> None:
    poor, wrong = {"Authorization": "Bearer sk-arrears"}, {"Authorization": "Bearer sk-invalid-1"}
    assert gccai(wire, {"prompt": "x"}, **poor).status_code == 402
    assert wire.http.post("/v1/videos", json={"model": "wan2.7-t2v", "prompt": "x"}, headers=poor).status_code == 402
    answer = wire.plain.post(
        "/v1/ai/text-to-video/wan-2-7", json={"prompt": "x"}, headers={"x-freepik-api-key": "sk-arrears"}
    )
    assert answer.status_code == 402
    assert gccai(wire, {"prompt": "x"}, **wrong).status_code == 401
    assert wire.http.get("/v1/models", headers=wrong).status_code == 401
    assert wire.http.get("/v1/models").json()["object"] == "list"


def test_a_task_belongs_to_the_key_that_made_it(wire: Wire) -> None:
    other = {"Authorization": "Bearer sk-somebody-else"}
    one = gccai(wire, {"prompt": "x"}).json()["data"][0]["task_id"]
    two = powertokens(wire, {"prompt": "x"}).json()["id"]
    assert wire.http.get(f"/v1/tasks/{one}", headers=other).status_code == 404
    assert wire.http.get(f"/v1/videos/{two}", headers=other).json()["code"] == "task_not_exist"
    assert wire.http.get(f"/v1/tasks/{two}").status_code == 404
