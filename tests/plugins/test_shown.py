"""What tasks show of their videos: small, without secrets, and read back as cards whatever was written there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy.orm import Session

from airflow_provider_wan.client.errors import WanModerationError, WanSubmissionUnknown, WanTaskTimeout
from airflow_provider_wan.links.gallery import (
    BATCH_KEY,
    GENERATION_KEY,
    batch_xcoms,
    generation,
    page_address,
    prompt_limit_of,
    public_address,
    push_all,
)
from airflow_provider_wan.plugins import reading
from airflow_provider_wan.plugins.cards import TaskRow, cards_of

HANDLE = {
    "vendor": "dashscope",
    "task_id": "t1",
    "mode": "text_to_video",
    "model": "wan2.7-t2v",
    "submitted_at": "2026-11-24T10:00:00Z",
}
RESULT = HANDLE | {"status": "succeeded", "video_url": "https://host/x.mp4", "prompt": "A fox"}


def card(state: str | None, **xcoms: Any) -> dict[str, Any]:
    keys = {"shown": GENERATION_KEY, "result": "return_value", "head": BATCH_KEY}
    row = TaskRow("films", "r1", "clip", -1, state)
    (found,) = cards_of(row, {keys[name]: value for name, value in xcoms.items()})
    return found


SUBMITTED = generation("submitted", {"prompt": "A fox"}, handle=HANDLE)


@pytest.mark.parametrize(
    ("airflow", "xcoms", "state"),
    [
        (None, {}, "waiting"),
        ("queued", {}, "waiting"),
        ("up_for_retry", {"shown": SUBMITTED}, "waiting"),
        ("running", {}, "starting"),
        ("deferred", {"shown": SUBMITTED}, "running"),
        ("deferred", {"shown": generation("in_doubt", {})}, "in_doubt"),
        ("success", {"shown": SUBMITTED, "result": RESULT}, "done"),
        ("success", {"result": RESULT}, "done"),
        ("success", {"shown": SUBMITTED, "result": HANDLE}, "handed_on"),
        ("failed", {"shown": generation("failed", {})}, "failed"),
        ("failed", {"shown": generation("in_doubt", {})}, "in_doubt"),
        ("failed", {}, "failed"),
        ("skipped", {}, "skipped"),
        ("upstream_failed", {}, "skipped"),
        ("removed", {"shown": SUBMITTED}, "skipped"),
    ],
)
def test_the_state_of_a_card(airflow: str | None, xcoms: dict[str, Any], state: str) -> None:
    assert card(airflow, **xcoms)["state"] == state


@pytest.mark.parametrize(
    "junk",
    [None, 1, "text", [], [1], {"a": 1}, {"v": 1, "state": 5, "prompt": ["x"], "error": "no", "references": {}}],
)
@pytest.mark.parametrize("key", ["shown", "result", "head"])
def test_whatever_an_xcom_holds_there_is_a_card(key: str, junk: Any) -> None:
    found = card("success", **{key: junk})
    assert found["task"] == "clip"
    assert isinstance(found.get("prompt", ""), str)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//host/x.mp4",
        "http:///x",
        7,
        ["x"],
        "x" * 9000,
    ],
)
def test_only_web_addresses_reach_the_page(address: Any) -> None:
    found = card("success", result=RESULT | {"video_url": address, "page": address})
    assert "url" not in found
    assert "page" not in found


def test_a_failure_says_why_and_whether_it_is_billed() -> None:
    error = WanModerationError("Refused by moderation", code="DataInspectionFailed", request_id="q1")
    found = card("failed", shown=generation("failed", {"prompt": "A crowd"}, handle=HANDLE, error=error))
    assert found["error"] == {
        "kind": "WanModerationError",
        "code": "DataInspectionFailed",
        "message": "Refused by moderation",
        "retryable": False,
        "request_id": "q1",
        "billed": "no",
    }
    assert found["task_id"] == "t1"


@pytest.mark.parametrize("error", [WanTaskTimeout("late"), WanSubmissionUnknown("lost")])
def test_a_task_that_may_run_on_may_be_billed(error: Exception) -> None:
    assert generation("failed", {}, error=error)["error"]["billed"] == "maybe"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://host/a.png?X-Amz-Signature=secret#f", "https://host/a.png"),
        ("https://user:secret@host/a.png", "https://host/a.png"),
        ("data:image/png;base64,c2VjcmV0", "image/png (inline)"),
        ("s3://aws_default@bucket/a.png", "s3://aws_default@bucket/a.png"),
        ("s3://key:secret@bucket/a.png", "s3://bucket/a.png"),
        ("oss://dashscope-instant/a.png", "oss://dashscope-instant/a.png"),
        ("http://[broken", "(not an address)"),
    ],
)
def test_addresses_lose_what_is_secret(given: str, shown: str) -> None:
    assert public_address(given) == shown


def test_a_shown_request_is_bounded_and_holds_no_secret() -> None:
    request = {
        "prompt": "x" * 100_000,
        "negative_prompt": "y" * 100_000,
        "reference_images": [f"https://host/{number}.png?signature=secret" for number in range(500)],
        "first_frame": "data:image/png;base64," + "secret" * 100_000,
        "extra_body": {"key": "secret"},
        "webhook_url": "https://host/hook?token=secret",
    }
    text = json.dumps(generation("submitted", request, error=WanTaskTimeout("z" * 100_000)))
    assert len(text) < 20_000
    assert "secret" not in text


# -- batches ------------------------------------------------------------------------------------------


def items(count: int, **changed: Any) -> list[dict[str, Any]]:
    limit = prompt_limit_of(count)
    return [
        generation("waiting", {"prompt": f"{n} {'x' * 6000}"}, prompt_limit=limit) | {"id": f"i{n}", **changed}
        for n in range(count)
    ]


def xcoms_of(shown: list[dict[str, Any]], former: Any = None) -> dict[str, Any]:
    return batch_xcoms(shown, conn_id="wan_default", manifest=None, former=former)


@pytest.mark.parametrize("count", [1, 100, 3_000])
def test_a_batch_of_any_size_stays_bounded(count: int) -> None:
    assert sum(len(json.dumps(value)) for value in xcoms_of(items(count)).values()) < 1_600_000


def test_only_what_changed_is_written_again_also_by_the_next_process() -> None:
    shown = items(250)
    written = xcoms_of(shown)
    assert set(written) == {BATCH_KEY, *(f"{BATCH_KEY}_{number}" for number in range(3))}
    head = json.loads(json.dumps(written[BATCH_KEY]))
    assert xcoms_of(shown, head) == {}
    shown[120] = shown[120] | {"state": "submitted"}
    again = xcoms_of(shown, head)
    assert set(again) == {BATCH_KEY, f"{BATCH_KEY}_1"}
    assert again[BATCH_KEY]["counts"] == {"waiting": 249, "submitted": 1}


@pytest.mark.parametrize("junk", [5, "text", {"a": 1}, [None], [{}] * 9])
@pytest.mark.parametrize("name", ["digests", "changed_at", "at"])
def test_a_head_that_somebody_has_edited_keeps_no_batch_from_going_on(name: str, junk: Any) -> None:
    shown = items(250)
    head = xcoms_of(shown)[BATCH_KEY] | {name: junk}
    shown[7] = shown[7] | {"state": "submitted"}
    assert f"{BATCH_KEY}_0" in xcoms_of(shown, head)


def test_the_head_is_written_last() -> None:
    keys: list[str] = []
    push_all(xcoms_of(items(250)), lambda key, value: keys.append(key))
    assert keys[-1] == BATCH_KEY


@pytest.mark.parametrize(
    ("airflow", "item", "state"),
    [
        ("deferred", "waiting", "waiting"),
        ("deferred", "submitted", "running"),
        ("deferred", "in_doubt", "in_doubt"),
        ("deferred", "succeeded", "done"),
        ("success", "not_stored", "done"),
        ("failed", "unknown", "in_doubt"),
        ("failed", "cancelled", "failed"),
        ("failed", "waiting", "skipped"),
        ("failed", "submitted", "in_doubt"),
        ("running", "a new word", "in_doubt"),
    ],
)
def test_the_state_of_an_item(airflow: str, item: str, state: str) -> None:
    found = list(cards_of(TaskRow("films", "r1", "batch", -1, airflow), xcoms_of(items(2, state=item))))
    assert [(one["state"], one["item"], one["n"]) for one in found] == [(state, "i0", 0), (state, "i1", 1)]
    assert found[0]["wan_conn_id"] == "wan_default"


def test_a_poll_leaves_out_the_items_that_have_not_changed() -> None:
    old, new = datetime(2026, 11, 24, 10, tzinfo=UTC), datetime(2026, 11, 24, 11, tzinfo=UTC)
    shown = items(150)
    written = batch_xcoms(shown, conn_id=None, manifest=None, former=None, now=old)
    shown[149] = shown[149] | {"state": "succeeded"}
    written |= batch_xcoms(shown, conn_id=None, manifest=None, former=written[BATCH_KEY], now=new)
    row = TaskRow("films", "r1", "batch", -1, "deferred")
    assert len(list(cards_of(row, written))) == 150
    assert {one["n"] for one in cards_of(row, written, new - timedelta(seconds=1))} == set(range(100, 150))


OLD, NEW = datetime(2026, 11, 24, 10, tzinfo=UTC), datetime(2026, 11, 24, 11, tzinfo=UTC)


def a_batch_with_one_new_item(count: int = 250, number: int = 120) -> dict[str, Any]:
    shown = items(count, state="submitted")
    written = batch_xcoms(shown, conn_id=None, manifest=None, former=None, now=OLD)
    shown[number] = shown[number] | {"state": "succeeded"}
    return written | batch_xcoms(shown, conn_id=None, manifest=None, former=written[BATCH_KEY], now=NEW)


def read_of(written: dict[str, Any], state: str, since: datetime | None, monkeypatch: Any) -> tuple[set[str], Any]:
    """Which of a batch's XComs are read, and the cards that come of them."""
    asked = set()

    def values(session: Any, dag_id: str, run_id: str, key: str, task_ids: Any, indexes: Any) -> dict[Any, Any]:
        asked.add(key)
        return {("batch", -1): written[key]} if key in written else {}

    monkeypatch.setattr(reading, "_values", values)
    monkeypatch.setattr(reading._subclasses, "names", lambda session: [])
    row = TaskRow("films", "r1", "batch", -1, state, operator="WanVideoBatchOperator")
    cards = list(reading._cards_of_run(cast("Session", None), "films", "r1", [row], since))
    return {key for key in asked if key.startswith(f"{BATCH_KEY}_")}, cards


def test_a_poll_reads_only_the_parts_of_a_batch_that_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    written = a_batch_with_one_new_item()
    read, cards = read_of(written, "running", NEW - timedelta(seconds=10), monkeypatch)
    assert read == {f"{BATCH_KEY}_1"}
    assert {one["n"] for one in cards} == set(range(100, 200))
    assert read_of(written, "running", NEW + timedelta(seconds=1), monkeypatch) == (set(), [])
    read, cards = read_of(written, "running", None, monkeypatch)
    assert (len(read), len(cards)) == (3, 250)


def test_the_end_of_a_batch_changes_what_it_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cards = read_of(a_batch_with_one_new_item(), "failed", NEW + timedelta(seconds=1), monkeypatch)
    assert {one["n"]: one["state"] for one in cards} == {n: "done" if n == 120 else "in_doubt" for n in range(250)}


def test_a_batch_of_a_version_that_did_not_say_when_its_parts_changed_is_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = a_batch_with_one_new_item()
    del written[BATCH_KEY]["changed_at"]
    read, cards = read_of(written, "running", NEW - timedelta(seconds=10), monkeypatch)
    assert (len(read), {one["n"] for one in cards}) == (3, set(range(100, 200)))
    shown = [dict(one) for number in range(3) for one in written[f"{BATCH_KEY}_{number}"]["items"]]
    later = NEW + timedelta(minutes=1)
    shown[0] = shown[0] | {"state": "succeeded"}
    written |= batch_xcoms(shown, conn_id=None, manifest=None, former=written[BATCH_KEY], now=later)
    assert read_of(written, "running", later - timedelta(seconds=1), monkeypatch)[0] == {f"{BATCH_KEY}_0"}


@pytest.mark.parametrize("junk", [None, 5, [], ["x", None, {}], [7] * 300, "2026-11-24T11:00:00+00:00"])
def test_whatever_stands_for_the_moments_of_a_batchs_parts_the_items_are_shown(
    monkeypatch: pytest.MonkeyPatch, junk: Any
) -> None:
    written = a_batch_with_one_new_item()
    written[BATCH_KEY]["changed_at"] = junk
    _, cards = read_of(written, "running", NEW - timedelta(seconds=10), monkeypatch)
    assert 120 in {one["n"] for one in cards}


def test_a_batch_larger_than_the_page_says_that_more_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cards = read_of(xcoms_of(items(5_200)), "running", None, monkeypatch)
    assert len(cards) > reading.MOST_CARDS


def test_a_summary_of_an_older_version_shows_its_items() -> None:
    summary = {
        "total": 2,
        "items": [
            {"id": "a", "status": "succeeded", "uri": "s3://b/a.mp4"},
            {"id": "b", "status": "failed", "error_code": "E"},
        ],
    }
    found = list(cards_of(TaskRow("films", "r1", "batch", -1, "success"), {"return_value": summary}))
    assert [(one["item"], one["state"]) for one in found] == [("a", "done"), ("b", "failed")]
    assert found[1]["error"]["code"] == "E"


def test_the_address_of_the_page() -> None:
    run = "manual__2026-11-24T10:00:00+00:00"
    assert page_address("https://host/airflow/", "films", run, "clip", 3) == (
        "https://host/airflow/wan-videos/?dag=films&run=manual__2026-11-24T10%3A00%3A00%2B00%3A00&task=clip&index=3"
    )
    assert page_address(None, "films", "r", "clip", -1) == "wan-videos/?dag=films&run=r&task=clip"
