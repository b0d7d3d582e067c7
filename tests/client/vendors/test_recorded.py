"""Answers as others recorded them, each with its source and date, and what the client reads of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.client.vendors import vendor_of
from tests.client.support import account, answer, handle

FOLDER = Path(__file__).parent / "recorded"
ANSWERS = [(file.stem, item) for file in sorted(FOLDER.glob("*.json")) for item in json.loads(file.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("vendor", "item"), ANSWERS, ids=lambda value: value["name"] if isinstance(value, dict) else ""
)
def test_a_recorded_answer_is_read(vendor: str, item: dict[str, Any]) -> None:
    assert item["source"]
    assert item["date"]
    api = vendor_of(vendor)
    task = api.read_task(answer(200, item["body"]), handle(vendor), account(vendor).base_url)
    said = task.model_dump(mode="json")
    assert {name: said[name] for name in item["expect"]} == item["expect"]
    if "failure" in item:
        error = api.failure_of(task)
        assert type(error).__name__ == item["failure"]
        assert not error.retryable
        assert item.get("says", "") in str(error)
