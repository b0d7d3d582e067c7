"""What a batch shows of its items: while it runs, and written once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wan.links.gallery import BATCH_KEY
from tests.driving import Instance

from .conftest import MakeRounds
from .rounds import row


class Pulling(Instance):
    """A task instance that gives back what it was told, and counts."""

    pushed: int = 0

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed += 1
        super().xcom_push(key, value)

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)


def states_of(instance: Instance) -> dict[str, str]:
    head = instance.xcoms[BATCH_KEY]
    chunks = [instance.xcoms[f"{BATCH_KEY}_{number}"] for number in range(len(head["digests"]))]
    return {item["id"]: item["state"] for chunk in chunks for item in chunk["items"]}


def test_items_are_shown_while_they_are_made_and_at_the_end(rounds: MakeRounds, tmp_path: Any) -> None:
    rows = [row("a"), row("b [sandbox fail=DataInspectionFailed]"), row("c"), row("d")]
    batch = rounds(rows, max_in_flight=2, fail_if="all", store_to=f"file://{tmp_path}/clips")
    batch.instance = Pulling(task_id="shots")
    event = batch.first_event()
    assert states_of(batch.instance) == {"1": "submitted", "2": "submitted", "3": "waiting", "4": "waiting"}
    batch.goes_on(event)
    assert states_of(batch.instance) == {"1": "succeeded", "2": "failed", "3": "succeeded", "4": "succeeded"}
    chunk = batch.instance.xcoms[f"{BATCH_KEY}_0"]["items"]
    assert chunk[0]["uri"].endswith("clips/1.mp4")
    assert chunk[0]["prompt"] == "a"
    assert chunk[1]["error"]["billed"] == "no"
    assert batch.instance.xcoms[BATCH_KEY]["total"] == 4


def test_what_has_not_changed_is_not_written_again(rounds: MakeRounds) -> None:
    batch = rounds([row(f"shot {number}") for number in range(250)], max_in_flight=5)
    instance = batch.instance = Pulling(task_id="shots")
    event = batch.first_event()
    first = instance.pushed
    batch.next_round(event)
    # Five were submitted and five came back: all in the first of three parts.
    assert instance.pushed - first <= 4
    assert len(instance.xcoms[BATCH_KEY]["digests"]) == 3


@pytest.mark.parametrize("is_failing", [False, True], ids=["done", "failed"])
def test_the_link_leads_to_the_gallery_from_the_first_round_on(
    rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch, is_failing: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/prod/")
    batch = rounds([row("a [sandbox fail=DataInspectionFailed]" if is_failing else "a")])
    deferred = batch.first_round()
    page = "https://airflow.example.com/prod/wan-videos/?dag=films&run=manual__1&task=shots"
    assert batch.instance.xcoms["_link_WanVideosLink"] == page
    batch.instance.xcoms.clear()
    event = batch.trigger_of(deferred)
    if is_failing:
        with pytest.raises(Exception, match="DataInspectionFailed"):
            batch.goes_on(event)
    else:
        batch.goes_on(event)
    assert batch.instance.xcoms["_link_WanVideosLink"] == page
    assert batch.driven is not None
    assert batch.driven.operator is not None
    (link,) = batch.driven.operator.operator_extra_links
    assert link.name == "Generated videos"
    assert link.get_link(batch.driven.operator, ti_key=batch.instance) == page  # type: ignore[arg-type]


def test_without_a_gallery_a_batch_has_no_link(rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY", "False")
    batch = rounds([row("a")])
    batch.run()
    assert "_link_WanVideosLink" not in batch.instance.xcoms
    assert batch.driven is not None
    assert batch.driven.operator is not None
    (link,) = batch.driven.operator.operator_extra_links
    assert link.get_link(batch.driven.operator, ti_key=batch.instance) == ""  # type: ignore[arg-type]


def test_rows_that_are_refused_have_no_link(rounds: MakeRounds) -> None:
    batch = rounds([row("a", duration=99)])
    batch.fails()
    assert "_link_WanVideosLink" not in batch.instance.xcoms
