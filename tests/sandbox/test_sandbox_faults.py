"""Each fault, ordered by a setting or by the prompt, and what it leaves in the ledger."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from airflow_provider_wan.sandbox import Sandbox

from .conftest import Wire


def prompts(sandbox: Sandbox) -> list[str]:
    return [task["prompt"] for task in sandbox.ledger()["created"]]


def outcomes(sandbox: Sandbox, call: str, vendor: str = "dashscope") -> dict[str, int]:
    return dict(sandbox.ledger()["requests"].get(vendor, {}).get(call, {}))


def test_dropped_answer_makes_a_task_and_closes_the_line(wire: Wire) -> None:
    wire.sandbox.configure(drop_next_answers=1)
    with pytest.raises(httpx.RemoteProtocolError):
        wire.create("one")
    assert wire.create("two").status_code == 200
    assert prompts(wire.sandbox) == ["one", "two"]
    assert outcomes(wire.sandbox, "submit") == {"dropped": 1, "200": 1}


def test_dropped_request_makes_nothing(wire: Wire) -> None:
    wire.sandbox.configure(drop_before_rate=1)
    with pytest.raises(httpx.RemoteProtocolError):
        wire.create("one")
    assert wire.http.get("/api/v1/tasks").json()["total"] == 0


def test_prompt_can_drop_its_first_answer_only(wire: Wire) -> None:
    prompt = "x [sandbox drop-answer]"
    with pytest.raises(httpx.RemoteProtocolError):
        wire.create(prompt)
    assert wire.create(prompt).status_code == 200
    ledger = wire.sandbox.ledger()
    assert [(d["prompt"], d["created"]) for d in ledger["duplicates"]] == [(prompt, 2)]


def test_prompt_can_drop_before_anything_is_made(wire: Wire) -> None:
    prompt = "x [sandbox drop-before]"
    with pytest.raises(httpx.RemoteProtocolError):
        wire.create(prompt)
    assert prompts(wire.sandbox) == []
    assert wire.create(prompt).status_code == 200


def test_error_after_create(wire: Wire) -> None:
    prompt = "x [sandbox error-after-create=502]"
    assert wire.create(prompt).status_code == 502
    assert wire.create(prompt).status_code == 200
    wire.sandbox.configure(error_after_create_rate=1)
    assert wire.create("y").json()["code"] == "InternalError"
    assert prompts(wire.sandbox) == [prompt, prompt, "y"]


def test_prompt_can_be_refused_so_many_times(wire: Wire) -> None:
    prompt = "x [sandbox reject=429:Throttling.RateQuota times=2]"
    wire.sandbox.configure(retry_after_seconds=3)
    answers = [wire.create(prompt) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].json()["code"] == "Throttling.RateQuota"
    assert answers[0].headers["Retry-After"] == "3"
    assert [wire.create("y [sandbox reject=400:DataInspectionFailed]").json()["code"] for _ in range(2)] == [
        "DataInspectionFailed",
        "DataInspectionFailed",
    ]
    assert len(prompts(wire.sandbox)) == 1


def test_misspelt_directive_is_refused(wire: Wire) -> None:
    answer = wire.create("x [sandbox drop-anwser]")
    assert answer.status_code == 400
    assert "drop-anwser" in answer.json()["message"]


@pytest.mark.parametrize("call", ["submit", "query", "list", "cancel"])
def test_error_rates_hit_the_call_they_name_and_no_other(wire: Wire, call: str) -> None:
    task_id = wire.made("x [sandbox hold]")
    wire.sandbox.configure(error_rates={call: {503: 1}})
    calls = {
        "submit": lambda: wire.create("y"),
        "query": lambda: wire.http.get(f"/api/v1/tasks/{task_id}"),
        "list": lambda: wire.http.get("/api/v1/tasks"),
        "cancel": lambda: wire.http.post(f"/api/v1/tasks/{task_id}/cancel"),
    }
    for name, make in calls.items():
        expected = 503 if name == call else 200
        assert make().status_code == expected, name


def test_error_rates_are_met_over_many_calls(wire: Wire) -> None:
    wire.sandbox.configure(error_rates={"query": {429: 0.3, 500: 0.2}})
    codes = [wire.http.get("/api/v1/tasks/x").status_code for _ in range(300)]
    assert 60 < codes.count(429) < 120
    assert 35 < codes.count(500) < 90
    assert set(codes) == {200, 429, 500}


def test_fail_next_answers_as_told(wire: Wire) -> None:
    wire.sandbox.configure(
        fail_next=[
            {"call": "submit", "status": 500, "times": 1, "body": {"odd": True}},
            {"call": "query", "status": 403, "code": "AccessDenied", "vendor": "dashscope"},
        ]
    )
    assert wire.create("x").json() == {"odd": True}
    assert wire.create("x").status_code == 200
    assert wire.http.get("/api/v1/tasks/x").json()["code"] == "AccessDenied"
    assert wire.http.get("/api/v1/tasks/x").status_code == 200
    assert len(prompts(wire.sandbox)) == 1


def test_malformed_answers_take_turns(wire: Wire) -> None:
    wire.sandbox.configure(malformed_rate={"query": 1})
    html, cut, empty, huge = (wire.http.get("/api/v1/tasks/x") for _ in range(4))
    assert html.text.startswith("<!DOCTYPE html>")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        cut.json()
    assert empty.content == b""
    assert len(huge.content) > 20_000_000


def test_malformed_submit_did_make_the_task(wire: Wire) -> None:
    wire.sandbox.configure(malformed_rate=1)
    wire.create("x")
    assert prompts(wire.sandbox) == ["x"]


def test_failure_rate_and_code(wire: Wire) -> None:
    wire.sandbox.configure(task_failure_rate=1, task_failure_code="IPInfringementSuspect")
    assert wire.finished("x")["output"]["code"] == "IPInfringementSuspect"
    assert wire.sandbox.ledger()["billed"] == []


def test_outage_refuses_everything_and_ends_by_itself(wire: Wire) -> None:
    wire.sandbox.configure(outage=0.4)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        wire.create("x")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        wire.freepik.get("/v1/ai/text-to-video/wan-2-7")
    deadline = time.monotonic() + 5
    while True:
        try:
            answer = wire.create("x")
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
    assert answer.status_code == 200
    wire.sandbox.configure(outage=60, outage_kind="503")
    assert wire.create("x").status_code == 503
    wire.sandbox.configure(outage=0)
    assert wire.create("x").status_code == 200


def test_slow_cancel_takes_effect_only_for_a_caller_who_waits(wire: Wire) -> None:
    task_id = wire.made("x [sandbox hold cancel-delay=0.4]")
    with pytest.raises(httpx.ReadTimeout):
        wire.http.post(f"/api/v1/tasks/{task_id}/cancel", timeout=0.1)
    ledger = wire.sandbox.wait_for(lambda ledger: ledger["cancels"])
    assert ledger["cancels"] == [{"task_id": task_id, "vendor": "dashscope", "accepted": False, "abandoned": True}]
    assert wire.status(task_id) == "PENDING"
    assert wire.http.post(f"/api/v1/tasks/{task_id}/cancel").status_code == 200
    assert wire.status(task_id) == "CANCELED"


def finished_url(wire: Wire, prompt: str) -> str:
    return str(wire.finished(prompt, duration=2)["output"]["video_url"])


def test_downloads_break_as_told_and_then_work(wire: Wire) -> None:
    wire.sandbox.configure(render="small", truncate_downloads=1, html_downloads=1)
    url = finished_url(wire, "x [sandbox truncate-download=1 html-download]")
    kinds = []
    for _ in range(5):
        try:
            kinds.append(wire.plain.get(url).headers["content-type"].partition(";")[0])
        except httpx.RemoteProtocolError as error:
            kinds.append("cut" if "without sending complete message body" in str(error) else str(error))
    assert kinds == ["text/html", "text/html", "cut", "cut", "video/mp4"]
    assert outcomes(wire.sandbox, "download") == {"html": 2, "truncated": 2, "200": 1}


def test_endless_download_has_no_length_and_does_not_end(wire: Wire) -> None:
    wire.sandbox.configure(render="small", endless_downloads=1)
    url = finished_url(wire, "x")
    got = 0
    with wire.plain.stream("GET", url) as answer:
        assert "content-length" not in answer.headers
        for block in answer.iter_raw():
            got += len(block)
            if got > 1_000_000:
                break
    assert wire.plain.get(url).headers["content-length"]


def test_result_url_is_keyless_signed_ranged_and_mortal(wire: Wire) -> None:
    wire.sandbox.configure(render="small")
    task = wire.finished("x", duration=2)["output"]
    url = task["video_url"]
    whole = wire.plain.get(url).content
    part = wire.plain.get(url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, whole[:10])
    head = wire.plain.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole)))
    assert wire.http.get(url).status_code == 403
    assert wire.plain.get(url.partition("?")[0]).status_code == 403
    assert wire.plain.get(url.replace("Expires=1", "Expires=2")).status_code == 403
    wire.sandbox.change(task["task_id"], "expire")
    gone = wire.plain.get(url)
    assert gone.status_code == 403
    assert "<Message>Request has expired.</Message>" in gone.text
    assert wire.plain.get(finished_url(wire, "y [sandbox expire-url]")).status_code == 403


def test_download_errors(wire: Wire) -> None:
    wire.sandbox.configure(error_rates={"download": {500: 1}})
    answer = wire.plain.get(finished_url(wire, "x"))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/xml")


def test_unknown_status_word(wire: Wire) -> None:
    task_id = wire.made("x [sandbox hold]")
    wire.sandbox.configure(unknown_status_word="SUSPENDED")
    assert wire.status(task_id) == "SUSPENDED"
    wire.sandbox.change(task_id, "finish")
    assert wire.status(task_id) == "SUCCEEDED"


def test_new_task_appears_late_in_the_list(wire: Wire) -> None:
    wire.sandbox.configure(list_lag_seconds=600)
    task_id = wire.made("x")
    assert wire.http.get("/api/v1/tasks").json()["data"] == []
    assert wire.status(task_id) != "UNKNOWN"
    wire.sandbox.configure(list_lag_seconds=0)
    assert [row["task_id"] for row in wire.http.get("/api/v1/tasks").json()["data"]] == [task_id]


def test_held_released_and_endless_tasks(wire: Wire) -> None:
    held, endless = wire.made("x [sandbox hold]"), wire.made("y [sandbox run-forever]")
    assert (wire.status(held), wire.status(endless)) == ("PENDING", "RUNNING")
    assert wire.plain.post(f"/sandbox/tasks/{held}/release").status_code == 200
    wire.wait(held)
    assert wire.plain.post(f"/sandbox/tasks/{held}/release").status_code == 409
    failed = wire.plain.post(f"/sandbox/tasks/{endless}/fail", json={"code": "InternalError.Timeout"}).json()
    assert failed["failure"]["code"] == "InternalError.Timeout"
    assert wire.status(endless) == "FAILED"
    assert wire.plain.post(f"/sandbox/tasks/{endless}/dance").status_code == 404
    assert wire.plain.post("/sandbox/tasks/none/finish").status_code == 404


def test_rate_limits_per_account_and_endpoint(wire: Wire) -> None:
    wire.sandbox.configure(query_qps=3, submit_qps=2)
    burst = [wire.http.get("/api/v1/tasks/x").status_code for _ in range(6)]
    assert burst.count(200) == 3
    assert wire.http.get("/api/v1/tasks").status_code == 200, "the list has a limit of its own"
    other = {"Authorization": "Bearer sk-other"}
    assert wire.http.get("/api/v1/tasks/x", headers=other).status_code == 200
    submits = [wire.create("x").status_code for _ in range(4)]
    assert submits == [200, 200, 429, 429]
    assert wire.create("x", model="wan2.7-t2v-2026-04-25").status_code == 200, "each model has a limit of its own"


def test_full_queue_is_throttled(wire: Wire) -> None:
    wire.sandbox.configure(running_limit=1, queue_limit=2, generation_seconds=600)
    assert [wire.create(f"x{n}").status_code for n in range(5)] == [200, 200, 200, 429, 429]


def test_answer_delay_delays_every_answer(wire: Wire) -> None:
    wire.sandbox.configure(answer_delay=0.15)
    began = time.monotonic()
    wire.create("x")
    assert time.monotonic() - began >= 0.15


def test_settings_are_changed_together_or_not_at_all(wire: Wire) -> None:
    before = wire.plain.get("/sandbox/settings").json()
    bad: list[Any] = [{"running_limit": 2, "query_qps": -1}, {"no_such": 1}, {"generation_seconds": "6:2"}]
    for changes in bad:
        assert wire.plain.post("/sandbox/settings", json=changes).status_code == 422
    assert wire.plain.get("/sandbox/settings").json() == before
    after = wire.plain.post("/sandbox/settings", json={"generation_seconds": "1:3", "running_limit": 9}).json()
    assert (after["generation_seconds"], after["running_limit"]) == ([1.0, 3.0], 9)
    assert wire.plain.post("/sandbox/reset").status_code == 200
    assert wire.plain.get("/sandbox/settings").json() == before


def test_no_key_is_kept_or_shown(wire: Wire) -> None:
    secret = "sk-very-secret-value"
    wire.sandbox.configure(api_keys=[secret])
    wire.create("x", headers={"Authorization": f"Bearer {secret}"})
    for path in ("ledger", "settings", "tasks", "health"):
        assert secret not in wire.plain.get(f"/sandbox/{path}").text
    assert wire.sandbox.ledger()["created"][0]["key_fingerprint"].startswith("fp-")


def test_unknown_path_says_so(wire: Wire) -> None:
    answer = wire.plain.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert "GET /api/v1/nothing" in answer.json()["error"]
