"""Answers that prove nothing, vendors with a wrong clock or loose tongue, results that are less than they seem."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, get_args

import httpx
import pytest

from airflow_provider_wan.sandbox.settings import OddAnswer

from .conftest import KEY, Wire

ODD: dict[str, tuple[int, str]] = {
    "timeout-400": (400, "request timeout after 23 seconds."),
    "internal-400": (400, "InternalError.Algo"),
    "request-timeout-200": (200, "RequestTimeOut"),
    "service-unavailable-200": (200, "ServiceUnavailable"),
    "response-timeout-200": (200, "ResponseTimeout"),
    "redirect-307": (307, ""),
    "redirect-303": (303, ""),
    "proxy-403": (403, "<h1>403 Forbidden</h1>"),
    "proxy-404": (404, "<h1>404 Not Found</h1>"),
}
VENDORS = ("dashscope", "gccai", "powertokens", "freepik", "openai")


def submit(wire: Wire, vendor: str, prompt: str = "x") -> httpx.Response:
    match vendor:
        case "dashscope":
            return wire.create(prompt)
        case "gccai":
            return wire.http.post("/v1/videos/generations", json={"model": "wan2.7", "prompt": prompt})
        case "powertokens":
            return wire.http.post("/v1/videos", json={"model": "wan2.7-t2v", "prompt": prompt})
        case "freepik":
            return wire.freepik.post("/v1/ai/text-to-video/wan-2-7", json={"prompt": prompt})
        case _:
            return wire.http.post("/openai/v1/videos", json={"prompt": prompt})


def created(wire: Wire) -> int:
    return len(wire.sandbox.ledger()["created"])


def test_every_odd_answer_is_tried() -> None:
    assert set(ODD) == set(get_args(OddAnswer))


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("after", [True, False])
def test_odd_answer_with_and_without_a_task(wire: Wire, vendor: str, name: str, after: bool) -> None:
    wire.sandbox.configure(fail_next=[{"call": "submit", "answer": name, "after": after}])
    answer = submit(wire, vendor)
    status, text = ODD[name]
    assert answer.status_code == status
    assert text in answer.text
    assert created(wire) == int(after)
    assert submit(wire, vendor).status_code == 200, "the next one is served"


@pytest.mark.parametrize("vendor", VENDORS)
def test_prompt_orders_its_own_odd_answer_once(wire: Wire, vendor: str) -> None:
    for order, made in (("answer-instead", 0), ("answer-after", 1)):
        prompt = f"x [sandbox {order}=internal-400]"
        assert submit(wire, vendor, prompt).status_code == 400
        assert created(wire) == made
        assert submit(wire, vendor, prompt).status_code == 200
        wire.sandbox.reset()
    assert submit(wire, vendor, "x [sandbox answer-after=nonsense]").status_code == 400


def test_redirect_leads_to_the_same_place_under_another_name(wire: Wire) -> None:
    wire.sandbox.configure(fail_next=[{"call": "submit", "answer": "redirect-307"}])
    place = httpx.URL(submit(wire, "dashscope").headers["location"])
    assert (place.host, place.path) == ("localhost", "/api/v1/services/aigc/video-generation/video-synthesis")


@pytest.mark.parametrize("wrong", [{"call": "submit"}, {"call": "submit", "status": 400, "answer": "proxy-403"}])
def test_ordered_answer_is_a_status_or_an_odd_one(wire: Wire, wrong: dict[str, Any]) -> None:
    answer = wire.plain.post("/sandbox/settings", json={"fail_next": [wrong]})
    assert (answer.status_code, answer.json()["error"]) == (422, "settings refused")


def test_replaced_answer_of_a_served_call_of_any_status(wire: Wire) -> None:
    wire.sandbox.configure(fail_next=[{"call": "submit", "status": 500, "after": True}])
    assert submit(wire, "dashscope").status_code == 500
    assert created(wire) == 1


def test_gccai_can_ignore_idempotency_keys(wire: Wire) -> None:
    def send() -> httpx.Response:
        body, headers = {"model": "wan2.7", "prompt": "x"}, {"Idempotency-Key": "k"}
        return wire.http.post("/v1/videos/generations", json=body, headers=headers)

    assert "Idempotency-Replayed" not in send().headers
    assert send().headers["Idempotency-Replayed"] == "true"
    wire.sandbox.configure(gccai_ignores_idempotency_keys=True)
    assert "Idempotency-Replayed" not in send().headers
    assert created(wire) == 2


@pytest.mark.parametrize("vendor", VENDORS)
def test_keys_are_refused_for_a_while(wire: Wire, vendor: str) -> None:
    wire.sandbox.configure(keys_refused=600)
    assert submit(wire, vendor).status_code == 401
    wire.sandbox.configure(keys_refused=0)
    assert submit(wire, vendor).status_code == 200


@pytest.mark.parametrize("status", [403, 404])
def test_results_are_refused_for_a_while(wire: Wire, status: int) -> None:
    url = wire.finished("x")["output"]["video_url"]
    wire.sandbox.configure(results_refused=600, results_refused_status=status, render="small")
    assert wire.plain.get(url).status_code == status
    wire.sandbox.configure(results_refused=0)
    assert wire.plain.get(url).status_code == 200


@pytest.mark.parametrize("order", ["half-download", "partial-download"])
def test_half_a_result_that_looks_whole(wire: Wire, order: str) -> None:
    wire.sandbox.configure(render="small")
    url = wire.finished(f"x [sandbox {order}]")["output"]["video_url"]
    less = wire.plain.get(url)
    whole = wire.plain.get(url)
    assert whole.content.startswith(less.content)
    assert len(less.content) == len(whole.content) // 2
    if order == "half-download":
        assert (less.status_code, "content-length" in less.headers) == (200, False)
    else:
        assert (less.status_code, less.headers["content-range"]) == (
            206, f"bytes 0-{len(less.content) - 1}/{len(whole.content)}",
        )  # fmt: skip


def test_settings_spoil_the_next_downloads(wire: Wire) -> None:
    wire.sandbox.configure(render="small", half_downloads=1, partial_downloads=1)
    url = wire.finished("x")["output"]["video_url"]
    assert [len(wire.plain.get(url).content) for _ in range(2)] == [len(wire.plain.get(url).content) // 2] * 2


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_vendor_with_a_wrong_clock_is_wrong_everywhere(wire: Wire, skew: float) -> None:
    wire.sandbox.configure(clock_skew_seconds=skew, utc_offset_hours=0)
    answer = wire.create("x")
    task_id = answer.json()["output"]["task_id"]
    dated = parsedate_to_datetime(answer.headers["date"])
    submitted = datetime.fromisoformat(wire.fetch(task_id)["output"]["submit_time"]).replace(tzinfo=UTC)
    listed = wire.http.get("/api/v1/tasks").json()["data"][0]["gmt_create"] / 1000
    (seen,) = wire.sandbox.tasks()
    really = datetime.fromisoformat(seen["created"]).timestamp()
    for shown in (dated.timestamp(), submitted.timestamp(), listed):
        assert abs(shown - really - skew) < 60
    # The windows of lists are read by the same clock.
    window = {"start_time": submitted.strftime("%Y%m%d%H%M%S")}
    assert wire.http.get("/api/v1/tasks", params=window).json()["total"] == 1


@pytest.mark.parametrize(
    ("how", "written"), [("plain", KEY), ("quoted", "sk-test%2Fsandbox"), ("escaped", "\\u0073\\u006b\\u002d")]
)
def test_key_is_echoed_in_headers_and_bodies(wire: Wire, how: str, written: str) -> None:
    key = KEY if how != "quoted" else "sk-test/sandbox"
    wire.sandbox.configure(echo_keys=how)
    headers = {"Authorization": f"Bearer {key}"}
    good = wire.http.get("/api/v1/tasks", headers=headers)
    bad = wire.http.get("/v1/tasks/nothing", headers=headers)
    for answer in (good, bad):
        assert written in answer.text
        assert answer.json()["debug"] in (key, written)
    assert (good.status_code, bad.status_code) == (200, 404)
    assert key in bad.json()["error"]["message"] or written in bad.json()["error"]["message"]
    assert bad.headers["x-request-id"] in (key, written)
    assert key not in str(wire.plain.get("/sandbox/ledger").json())


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/openai/v1/videos"])
def test_list_drifts_between_two_pages(wire: Wire, path: str) -> None:
    vendor = "openai" if "openai" in path else "dashscope"
    for number in range(4):
        submit(wire, vendor, str(number))
    wire.sandbox.configure(list_drift=1)
    size = {"page_size": 2, "limit": 2}
    first = wire.http.get(path, params=size).json()["data"]
    again = wire.http.get(path, params=size).json()["data"]
    name = "id" if vendor == "openai" else "task_id"
    assert again[1][name] == first[0][name], "everything has moved on by one"
    assert (created(wire), len(wire.sandbox.tasks())) == (4, 4), "foreign tasks are in no ledger"


@pytest.mark.parametrize(
    ("trouble", "status"), [("unpaid", 400), ("refused", 401), ("throttled", 429), ("down", None), ("lossy", None)]
)
def test_trouble_of_one_account_is_not_that_of_another(wire: Wire, trouble: str, status: int | None) -> None:
    wire.sandbox.configure(account_trouble={KEY: trouble})
    other = Wire(wire.sandbox, "sk-another-account")
    assert submit(other, "dashscope").status_code == 200
    other.close()
    if status is None:
        with pytest.raises(httpx.TransportError):
            submit(wire, "dashscope")
    else:
        assert submit(wire, "dashscope").status_code == status
    assert created(wire) == (2 if trouble == "lossy" else 1)
    assert KEY not in str(wire.plain.get("/sandbox/settings").json()), "a key is known by its fingerprint"
