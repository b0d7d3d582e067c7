"""The ledger: what it costs, what fits into the store's values, and that no crash loses an entry."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wan.batch import ledger as ledger_module
from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.records import ItemRecord
from airflow_provider_wan.client.errors import WanTransportError
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, utc_now
from airflow_provider_wan.durable import LedgerError, Record

from .conftest import MakeRounds
from .rounds import CountingStore, is_retryable, row

URL = "https://result.example.com/" + "u" * 1500 + "/{}.mp4?Expires=1&Signature=" + "s" * 400


def record(number: int, **more: Any) -> Record:
    return Record(fingerprint="f" * 64, intent_at=utc_now(), idempotency_key=f"wan-{number:032d}", **more)


def handle(number: int) -> TaskHandle:
    return TaskHandle(
        vendor="dashscope",
        task_id=f"{number:036d}",
        mode=Mode.TEXT_TO_VIDEO,
        model="wan2.7-t2v",
        submitted_at=utc_now(),
        request_id=f"{number:036d}",
    )


def stored(number: int) -> dict[str, Any]:
    return {"uri": f"s3://aws_default@bucket/{'p' * 200}/{number}.mp4", "bytes": 10_000_000, "sha256": "0" * 64}


def test_three_thousand_items_with_long_urls_fit_and_cost_little() -> None:
    store = CountingStore()
    ledger = BatchLedger(store)
    keys = [f"{number:024d}.1" for number in range(3000)]
    began = time.process_time()
    for number, key in enumerate(keys):
        # The two writes of a submission: the intent, then the handle.
        ledger.keep(key, ItemRecord(record=record(number)))
        ledger.keep(key, ItemRecord(record=record(number, handle=handle(number))))
    submitting, seconds = store.calls["set"], time.process_time() - began
    for number, key in enumerate(keys):
        made = {"status": TaskStatus.SUCCEEDED, "video_url": URL.format(number), "url_expires_at": utc_now()}
        ledger.put(key, ledger.get(key).model_copy(update=made))
        if number % 100 == 99:
            ledger.flush()
    for number, key in enumerate(keys):
        ledger.put(key, ledger.get(key).model_copy(update={"stored": stored(number)}))
        if number % 100 == 99:
            ledger.flush()
    ledger.flush()
    assert store.largest < 64 * 1024
    assert submitting <= 2 * 3000 + 200
    assert store.calls["set"] - submitting < 900
    assert seconds < 20
    read = BatchLedger(store)
    store.calls.clear()
    read.load()
    assert dict(read) == dict(ledger)
    assert store.calls["get"] < 300


def test_a_message_in_another_script_counts_as_it_is_stored() -> None:
    store = CountingStore()
    ledger = BatchLedger(store)
    for number in range(200):
        error = WanTransportError("视频生成失败" * 60)
        ledger.keep(
            f"{number:024d}.1",
            ItemRecord(record=record(number, handle=handle(number))).with_error(error, TaskStatus.FAILED),
        )
    again = BatchLedger(store)
    again.load()
    assert dict(again) == dict(ledger)


class Dies(CountingStore):
    """Dies at the n-th write, before or after it is kept."""

    def __init__(self, at: int, is_kept: bool) -> None:
        super().__init__()
        self.at, self.is_kept, self.has_died = at, is_kept, False

    def set(self, key: str, value: Any, **named: Any) -> None:
        is_last = not self.has_died and self.calls["set"] + 1 == self.at
        if not is_last or self.is_kept:
            super().set(key, value, **named)
        if is_last:
            self.has_died = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_crash_at_any_write_of_a_growing_book_loses_nothing_that_was_kept(is_kept: bool) -> None:
    at = 0
    while True:
        at += 1
        store = Dies(at, is_kept)
        ledger, kept = BatchLedger(store), {}
        try:
            for number in range(60):
                key, entry = f"{number:024d}.1", ItemRecord(record=record(number, handle=handle(number)))
                ledger.keep(key, entry)
                kept[key] = entry
            for number in range(0, 60, 2):
                key = f"{number:024d}.1"
                entry = kept[key].model_copy(update={"video_url": URL.format(number), "status": TaskStatus.SUCCEEDED})
                ledger.keep(key, entry)
                kept[key] = entry
        except KeyboardInterrupt:
            pass
        again = BatchLedger(store)
        again.load()
        found = dict(again)
        assert {
            key: found.get(key) for key in kept if found.get(key) != kept[key] and key != last_of(kept, ledger)
        } == {}
        again.flush()
        whole = BatchLedger(store)
        whole.load()
        assert dict(whole) == found
        if not store.has_died:
            return


def last_of(kept: dict[str, ItemRecord], ledger: BatchLedger) -> str | None:
    """The one entry that was being kept when the process died: either state of it is true."""
    return next((key for key, entry in ledger if kept.get(key) != entry), None)


def test_a_book_that_cannot_be_read_is_no_empty_ledger() -> None:
    store = CountingStore()
    ledger = BatchLedger(store)
    ledger.keep("a", ItemRecord(record=record(1)))
    store.is_down = True
    with pytest.raises(LedgerError, match="Nothing was submitted"):
        BatchLedger(store).load()
    with pytest.raises(LedgerError):
        ledger.keep("a", ItemRecord())
    store.is_down = False
    store.set("wan_batch_0000", {"a": {"record": "nonsense"}})
    with pytest.raises(LedgerError, match="could not be read"):
        BatchLedger(store).load()


def test_what_was_left_behind_stays_known() -> None:
    ledger = BatchLedger(None)
    ledger.put("a", ItemRecord(record=record(1, handle=handle(1))))
    ledger.put("a", ledger.get("a").left_behind(1))
    assert ledger.task_ids == {handle(1).task_id}
    again = BatchLedger(None)
    again.load(ledger.carry())
    assert again.task_ids == ledger.task_ids
    assert again.get("a").tries == 1


def test_an_entry_reopened_keeps_its_task() -> None:
    entry = ItemRecord(record=record(1, handle=handle(1)), tries=1, again_at=utc_now() + timedelta(hours=1))
    lost = entry.with_error(WanTransportError("gone"), TaskStatus.UNKNOWN)
    assert lost.retryable
    assert not lost.is_in_flight
    assert lost.reopened().is_in_flight
    assert lost.reopened().tries == 1


class Refuses(CountingStore):
    """Refuses the n-th write; ``is_kept``: it was taken all the same, only the answer was bad."""

    def __init__(self, at: int, is_kept: bool) -> None:
        super().__init__()
        self.at, self.is_kept, self.has_refused = at, is_kept, False

    def set(self, key: str, value: Any, **named: Any) -> None:
        is_refused = self.calls["set"] + 1 == self.at
        if is_refused and not self.is_kept:
            self.calls["set"] += 1
        else:
            super().set(key, value, **named)
        if is_refused:
            self.has_refused = True
            raise RuntimeError("API_SERVER_ERROR")


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_refused_write_leaves_no_older_copy_that_is_read_again(
    is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a chunk is split: the process goes on with smaller entries, and the next one reads its last state."""
    monkeypatch.setattr(ledger_module, "CHUNK_BYTES", 8000)
    keys = [f"{number:024d}.1" for number in range(12)]
    long = {"video_url": URL.format(1), "status": TaskStatus.SUCCEEDED}
    at = 0
    while True:
        at += 1
        store = Refuses(at, is_kept)
        ledger = BatchLedger(store)
        for update in ({}, long, {"error_message": "later"}):
            for number, key in enumerate(keys):
                small = ItemRecord(record=record(number, handle=handle(number)), error_code="small")
                try:
                    ledger.keep(key, small.model_copy(update={} if store.has_refused else update))
                except LedgerError:
                    ledger.keep(key, small)
        again = BatchLedger(store)
        again.load()
        assert dict(again) == dict(ledger)
        if not store.has_refused:
            assert at > 36
            return


def test_a_part_that_the_store_has_dropped_is_not_an_empty_one(rounds: MakeRounds) -> None:
    """Airflow drops each value of its task state 30 days after it was written last: the head lives longest."""
    batch = rounds([row("a"), row("b")], manifest_path=None)
    batch.run()
    assert batch.store is not None
    batch.store.delete("wan_batch_0000")
    error = batch.cleared().fails()
    assert "1 of the 1 parts of the batch's ledger" in str(error)
    assert not is_retryable(error)
    batch.retried().fails()
    assert batch.created == ["a", "b"]
    batch.cleared(regenerate=True).run()
    batch.cleared(regenerate=False).run()
    assert batch.created == ["a", "a", "b", "b"]


def test_with_the_manifest_what_the_store_has_dropped_is_gone_on_from(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b")])
    batch.run()
    assert batch.store is not None
    batch.store.delete("wan_batch_0000")
    batch.cleared().fails()
    batch.store.delete("wan_batch")
    assert batch.retried().run()["succeeded"] == 2
    assert batch.created == ["a", "b"]


def test_a_head_that_the_store_has_dropped_leaves_the_parts_known(rounds: MakeRounds) -> None:
    batch = rounds([row("a"), row("b")], manifest_path=None)
    batch.run()
    assert batch.store is not None
    batch.store.delete("wan_batch")
    assert batch.cleared().run()["succeeded"] == 2
    assert batch.created == ["a", "b"]
    batch.store.delete("wan_batch")
    batch.cleared(regenerate=True).run()
    assert batch.created == ["a", "a", "b", "b"]
