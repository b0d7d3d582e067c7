"""What is read of an answer is bounded: it goes into events, XCom and logs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_wan.client.vendors.reading import (
    MOST_ROWS,
    MOST_URLS,
    MOST_USAGE_FIELDS,
    URL_LIMIT,
    USAGE_LIMIT,
    USAGE_TEXT_LIMIT,
    id_of,
    percent,
    rows_of,
    text_or_none,
    urls_in,
    usage_of,
)

URL = "https://x.example/v.mp4"
HOST = "https://api.example.com/v9"


def nested(depth: int) -> Any:
    value: Any = "x" * 3000
    for _ in range(depth):
        value = {"deeper": [value]}
    return value


@pytest.mark.parametrize(
    "usage",
    [
        {f"name {number}": number for number in range(MOST_USAGE_FIELDS * 10)},
        {"text": "x" * 100_000},
        {"n" * 100_000: 1},
        {"list": list(range(100_000))},
        {"deep": nested(20)},
        {"a": nested(1), "b": nested(1), "c": 5},
        {f"{number}": "x" * 1000 for number in range(64)},
    ],
    ids=["many", "long text", "long name", "long list", "deep", "small and large", "many texts"],
)
def test_usage_is_bounded_whatever_comes(usage: dict[str, Any]) -> None:
    kept = usage_of(usage) or {}
    assert len(kept) <= MOST_USAGE_FIELDS
    assert len(json.dumps(kept)) <= USAGE_LIMIT * 2
    assert all(len(value) <= USAGE_TEXT_LIMIT for value in kept.values() if isinstance(value, str))


def test_usage_of_the_usual_size_is_kept_as_it_is() -> None:
    usage = {"duration": 5, "SR": "1080", "ratio": "3368:3409", "details": {"tokens": [1, 2]}, "cost": 0.5}
    assert usage_of(usage) == usage
    assert [usage_of(value) for value in (None, [], {}, "5", 5)] == [None] * 5


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        (URL, [URL]),
        ({"url": URL, "content_type": "video/mp4"}, [URL]),
        ([URL, {"url": [URL]}, [[URL]]], [URL] * 3),
        ([URL] * 100, [URL] * MOST_URLS),
        ([[URL] * 10] * 10, [URL] * MOST_URLS),
        ([[[URL] * 100]], [URL] * MOST_URLS),
        (f"https://x.example/{'a' * URL_LIMIT}", []),
        (f"https://x.example/{'a' * (URL_LIMIT - 18)}", [f"https://x.example/{'a' * (URL_LIMIT - 18)}"]),
        (["", None, 5, True, {"href": URL}, "ftp://x.example/v.mp4", "v.mp4", "javascript:alert(1)", "https://"], []),
        ("https://x.example/a\nb", []),
        ("/f/video/x.mp4", ["https://api.example.com/f/video/x.mp4"]),
        ("//evil.example/x.mp4", []),
        ("/" + "a" * URL_LIMIT, []),
        ([{"url": "/a.mp4"}], ["https://api.example.com/a.mp4"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_urls_are_bounded_in_number_and_length(value: Any, urls: list[str]) -> None:
    assert urls_in(value, HOST) == urls


def test_an_address_without_a_host_needs_the_accounts() -> None:
    assert urls_in("/f/video/x.mp4") == []


@pytest.mark.parametrize(
    ("value", "rows"), [([{"id": 1}, 5, None], [{"id": 1}, {}, {}]), ([], []), (None, None), ({}, None)]
)
def test_rows(value: Any, rows: Any) -> None:
    assert rows_of(value) == rows
    assert rows_of([{}] * MOST_ROWS) == [{}] * MOST_ROWS
    assert rows_of([{}] * (MOST_ROWS + 1)) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [("a1", "a1"), (7, "7"), (" a ", "a"), ("", None), ("..", None), ("a\nb", None), (True, None), ("x" * 257, None)],
)
def test_ids(value: Any, kept: str | None) -> None:
    assert id_of(value) == kept


def test_texts_and_progress() -> None:
    assert text_or_none("x" * 10_000) == "x" * 500
    assert [text_or_none(value) for value in (None, "", 0)] == [None, None, "0"]
    given = ("47%", 250, -3, "x", True, None, float("inf"), "1e999")
    assert [percent(value) for value in given] == [47, 100, 0, None, None, None, None, None]
