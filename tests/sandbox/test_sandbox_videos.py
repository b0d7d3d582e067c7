"""The OpenAI-style ``/v1/videos``: what PowerTokens and servers of one's own share, and where they differ."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import Wire, probe

OWN, GATEWAY = "/openai/v1/videos", "/v1/videos"
WAN = "wan2.7-t2v"


def made(wire: Wire, path: str, prompt: str = "x", **body: Any) -> str:
    answer = wire.http.post(path, json={"model": WAN, "prompt": prompt, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("path", [OWN, GATEWAY])
def test_form_and_json_make_the_same_task(wire: Wire, path: str) -> None:
    fields = {"model": WAN, "prompt": "A paper boat", "seconds": "4", "size": "1280x720"}
    form = wire.http.post(path, files={name: (None, value) for name, value in fields.items()})
    assert form.status_code == 200, form.text
    assert wire.http.post(path, json=fields).status_code == 200
    one, two = wire.sandbox.tasks()
    for task in (one, two):
        assert (task["mode"], task["prompt"], task["seconds"]) == ("text_to_video", "A paper boat", 4)
        assert (task["tier"], task["width"], task["height"]) == ("720P", 1280, 720)


@pytest.mark.parametrize(("path", "model"), [(OWN, "Wan-AI/Wan2.2-I2V"), (GATEWAY, "wan2.7-i2v")])
def test_file_part_is_the_first_frame(wire: Wire, png: bytes, path: str, model: str) -> None:
    data = {"model": model, "prompt": "x"}
    answer = wire.http.post(path, data=data, files={"input_reference": ("a.png", png, "image/png")})
    assert answer.status_code == 200, answer.text
    assert wire.sandbox.tasks()[0]["mode"] == "image_to_video"


@pytest.mark.parametrize("path", [OWN, GATEWAY])
def test_list_pages_by_id_and_delete_forgets(wire: Wire, path: str) -> None:
    ids = [made(wire, path, f"number {number}") for number in range(3)]
    for task_id in ids:
        wire.wait(task_id)
    page = wire.http.get(path, params={"limit": 2}).json()
    assert ([row["id"] for row in page["data"]], page["has_more"]) == ([ids[2], ids[1]], True)
    page = wire.http.get(path, params={"limit": 2, "after": page["last_id"]}).json()
    assert ([row["id"] for row in page["data"]], page["has_more"]) == ([ids[0]], False)
    assert wire.http.get(path, params={"order": "asc"}).json()["first_id"] == ids[0]
    assert wire.http.get(path, params={"limit": 0}).status_code == 400
    gone = wire.http.delete(f"{path}/{ids[0]}")
    assert gone.json() == {"id": ids[0], "object": "video.deleted", "deleted": True}
    assert wire.http.get(f"{path}/{ids[0]}").status_code in (400, 404)
    assert len(wire.http.get(path).json()["data"]) == 2


@pytest.mark.parametrize("path", [OWN, GATEWAY])
def test_video_that_is_being_made_cannot_be_deleted(wire: Wire, path: str) -> None:
    wire.sandbox.configure(openai_delete="finished")
    task_id = made(wire, path, "x [sandbox hold]")
    assert wire.http.delete(f"{path}/{task_id}").status_code == 400
    assert wire.http.get(f"{path}/{task_id}").status_code == 200


def test_own_server_ends_what_is_deleted(wire: Wire) -> None:
    task_id = made(wire, OWN, "x [sandbox run-forever]")
    assert wire.http.delete(f"{OWN}/{task_id}").json() == {"id": task_id, "object": "video.deleted", "deleted": True}
    assert wire.http.get(f"{OWN}/{task_id}").status_code == 404
    ledger = wire.sandbox.ledger()
    assert [entry["accepted"] for entry in ledger["cancels"]] == [True]
    assert (ledger["created"][0]["status"], ledger["billed"]) == ("CANCELED", [])


def test_own_server_takes_a_picture_by_the_names_of_its_kinds(wire: Wire) -> None:
    wire.sandbox.configure(strict_fields=True)
    picture = "https://media.example.com/a.png"
    for field in ({"image_reference": {"image_url": picture}}, {"reference_url": picture}):
        body = {"prompt": "x", "generate_sound": False, **field}
        assert wire.http.post(OWN, json=body).status_code == 200
    assert [task["mode"] for task in wire.sandbox.tasks()] == ["image_to_video"] * 2


# A server of one's own ------------------------------------------------------------------------------------


def test_own_server_from_create_to_content(wire: Wire) -> None:
    task_id = made(wire, OWN, "x [sandbox hold]", size="480x832", seconds="2")
    task = wire.http.get(f"{OWN}/{task_id}").json()
    assert (task["object"], task["status"], task["seconds"], task["size"]) == ("video", "queued", "2", "480x832")
    assert wire.http.get(f"{OWN}/{task_id}/content").status_code == 400
    wire.sandbox.change(task_id, "finish")
    assert wire.http.get(f"{OWN}/{task_id}").json()["status"] == "completed"
    streamed = wire.http.get(f"{OWN}/{task_id}/content")
    assert probe(streamed.content)[:3] == (480, 832, 2.0)
    wire.sandbox.configure(openai_content="redirect")
    moved = wire.http.get(f"{OWN}/{task_id}/content")
    assert moved.status_code == 302
    assert httpx.URL(moved.headers["location"]).host != httpx.URL(wire.sandbox.url).host


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "size": "720P"}, "size"),
        ({"prompt": "x", "seconds": 4}, "seconds"),
        ({"prompt": "x", "seconds": "0"}, "seconds"),
        ({"prompt": "x", "input_reference": "a.png"}, "input_reference"),
    ],
)
def test_own_server_names_the_wrong_field(wire: Wire, body: dict[str, Any], param: str) -> None:
    answer = wire.http.post(OWN, json=body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["type"], answer.json()["error"]["param"]) == ("invalid_request_error", param)
    assert wire.sandbox.ledger()["created"] == []


def test_own_server_may_take_one_form_of_body_only(wire: Wire) -> None:
    wire.sandbox.configure(openai_bodies="multipart")
    assert wire.http.post(OWN, json={"prompt": "x"}).status_code == 415
    assert wire.http.post(OWN, files={"prompt": (None, "x")}).status_code == 200
    wire.sandbox.configure(openai_bodies="json")
    assert wire.http.post(OWN, files={"prompt": (None, "x")}).status_code == 415


def test_own_server_can_do_without_keys(wire: Wire) -> None:
    assert wire.plain.post(OWN, json={"prompt": "x"}).status_code == 401
    wire.sandbox.configure(openai_key="optional")
    task_id = wire.plain.post(OWN, json={"prompt": "x"}).json()["id"]
    wire.wait(task_id)
    assert wire.plain.get(f"{OWN}/{task_id}/content").content[4:8] == b"ftyp"
    assert wire.http.get(f"{OWN}/{task_id}").status_code == 404, "a key has an account of its own"


def test_remix_makes_a_new_video_of_a_finished_one(wire: Wire) -> None:
    source = made(wire, OWN, "x [sandbox hold]", size="480x832", seconds="3")
    assert wire.http.post(f"{OWN}/{source}/remix", json={"prompt": "y"}).status_code == 400
    wire.sandbox.change(source, "finish")
    remix = wire.http.post(f"{OWN}/{source}/remix", json={"prompt": "y"}).json()
    assert (remix["remixed_from_video_id"], remix["prompt"]) == (source, "y")
    assert (remix["size"], remix["seconds"]) == ("480x832", "3")


def test_plain_paths_belong_to_the_vendor_that_the_settings_name(wire: Wire) -> None:
    wire.sandbox.configure(v1_videos="openai")
    task_id = made(wire, GATEWAY)
    assert task_id.startswith("video_")
    assert wire.http.get(f"{GATEWAY}/nothing").status_code == 404
    assert [task["vendor"] for task in wire.sandbox.tasks()] == ["openai"]


# PowerTokens ----------------------------------------------------------------------------------------------


def test_new_api_words(wire: Wire) -> None:
    wire.sandbox.configure(powertokens_words="new-api", running_limit=1)
    created = wire.http.post(GATEWAY, json={"model": WAN, "prompt": "x [sandbox hold]"}).json()
    assert created["status"] == "SUBMITTED"

    def shown(task_id: str) -> dict[str, Any]:
        return dict(wire.http.get(f"{GATEWAY}/{task_id}").json())

    task = shown(created["id"])
    assert (task["status"], task["metadata"], task["finished_at"]) == ("NOT_START", {"url": ""}, 0)
    running, queued = (made(wire, GATEWAY, f"{name} [sandbox run-forever]") for name in "rq")
    assert [shown(running)["status"], shown(queued)["status"]] == ["IN_PROGRESS", "QUEUED"]
    wire.sandbox.change(created["id"], "finish")
    task = shown(created["id"])
    assert (task["status"], task["finished_at"] > 0) == ("SUCCESS", True)
    assert task["metadata"]["url"].endswith("/content")
    wire.sandbox.change(queued, "fail", code="DataInspectionFailed", message="no")
    task = shown(queued)
    assert (task["status"], task["fail_reason"]) == ("FAILURE", "DataInspectionFailed: no")


def test_upstream_errors_arrive_under_one_code(wire: Wire) -> None:
    answer = wire.http.post(GATEWAY, json={"model": WAN, "prompt": "x [sandbox reject=400:Arrearage]"})
    assert (answer.status_code, answer.json()["code"]) == (400, "ali_api_error")
    assert answer.json()["message"].startswith("Arrearage: ")
    assert wire.http.get(f"{GATEWAY}/task_nothing").json()["code"] == "task_not_exist"


# GCCAI and Freepik ----------------------------------------------------------------------------------------


def test_gccai_describes_its_models_and_names_the_cost(wire: Wire) -> None:
    query = {"model": "wan2.7", "operation": "video_generation"}
    schema = wire.http.get("/v1/model-schema", params=query).json()
    assert (schema["model"], schema["operation"]) == ("wan2.7", "video_generation")
    assert "prompt" in schema["input_schema"]["properties"]
    assert wire.http.get("/v1/model-schema", params={"model": "sora"}).status_code == 404
    assert wire.http.get("/v1/model-schema", params=query | {"operation": "image_generation"}).status_code == 400
    assert wire.http.get("/v1/model-docs", params=query).json()["object"] == "model.documentation"
    price = wire.plain.get("/api/pricing/model", params={"model": "wan2.7"}).json()["data"]["prices"]["720P"]
    body = {"model": "wan2.7", "prompt": "x", "resolution": "720P", "duration": 10}
    task_id = wire.http.post("/v1/videos/generations", json=body).json()["data"][0]["task_id"]
    wire.wait(task_id)
    task = wire.http.get(f"/v1/tasks/{task_id}").json()["data"]
    assert task["cost"] == pytest.approx(10 * price)
    assert task["credits_cost"] > 0
    assert wire.http.get("/v1/balance").json()["used_balance"] == task["cost"]


def test_freepik_lists_have_pages_and_results_two_forms(wire: Wire) -> None:
    path = "/v1/ai/text-to-video/wan-2-7"
    wire.sandbox.configure(page_size_max=2)
    ids = [wire.freepik.post(path, json={"prompt": str(n)}).json()["data"]["task_id"] for n in range(3)]
    pages = [wire.freepik.get(path, params={"page": n}).json()["data"] for n in (1, 2, 3)]
    assert [[row["task_id"] for row in page] for page in pages] == [[ids[2], ids[1]], [ids[0]], []]
    for wrong in ("0", "x", "-1"):
        assert wire.freepik.get(path, params={"page": wrong}).status_code == 400
    wire.wait(ids[0])
    (url,) = wire.freepik.get(f"{path}/{ids[0]}").json()["data"]["generated"]
    wire.sandbox.configure(freepik_generated="objects")
    (result,) = wire.freepik.get(f"{path}/{ids[0]}").json()["data"]["generated"]
    assert result == {"url": url, "content_type": "video/mp4"}


def test_result_addresses_may_lack_host_or_be_missing(wire: Wire) -> None:
    wire.sandbox.configure(gccai_url="relative", powertokens_url="none", render="small")
    answer = wire.http.post("/v1/videos/generations", json={"model": "wan2.7", "prompt": "x"})
    task_id = answer.json()["data"][0]["task_id"]
    other = made(wire, GATEWAY)
    for each in (task_id, other):
        wire.wait(each)
    (url,) = wire.http.get(f"/v1/tasks/{task_id}").json()["data"]["result"]["videos"][0]["url"]
    assert url.startswith("/files/")
    assert wire.plain.get(url).content[4:8] == b"ftyp"
    task = wire.http.get(f"{GATEWAY}/{other}").json()
    assert (task["status"], task["metadata"]) == ("completed", {"url": ""})
