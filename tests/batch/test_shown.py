"""What a batch shows of its items: while it runs, and written once."""

from __future__ import annotations

from typing import Any

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
