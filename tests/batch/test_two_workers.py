"""Two live workers of one batch, and workers that die, where items have objects under ``ledger_path``."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.batch.item_ledger import ItemObjects, read_objects
from airflow_provider_wan.batch.ledger import BatchLedger
from airflow_provider_wan.batch.submitting import Submitting
from airflow_provider_wan.client.tasks import Mode, TaskHandle, utc_now
from airflow_provider_wan.durable import IntentTaken, LedgerError, Record
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.worker.ledgers import ObjectStore

from .conftest import MakeRounds
from .rounds import Rounds, row

ROWS = [row(f"prompt {number}", seed=number) for number in range(6)]
PROMPTS = sorted(one["prompt"] for one in ROWS)
PARTS = ["films", "manual__1", "shots", "-1"]


def in_two(rounds: MakeRounds, tmp_path: Path, **given: Any) -> tuple[Rounds, Rounds]:
    """Two workers of the same task instance, each with what it knows of itself."""
    given |= {"ledger_path": f"file://{tmp_path}/ledger"}
    first, second = rounds(ROWS, **given), rounds(ROWS, **given)
    first.store = second.store = None
    return first, second


@pytest.mark.parametrize("name", ["dashscope", "gccai", "freepik"])
def test_a_worker_that_thaws_pays_for_nothing_that_its_successor_has_paid(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    frozen, successor = in_two(rounds, tmp_path, wan_conn_id=f"wan_{name}")
    refill, events = Submitting.refill, []

    def thaw(self: Submitting) -> None:
        monkeypatch.setattr(Submitting, "refill", refill)
        # What the frozen one has read of the ledger is older than all that happens here.
        events.append(successor.first_event())
        refill(self)

    monkeypatch.setattr(Submitting, "refill", thaw)
    event = frozen.first_event()
    assert frozen.created == PROMPTS
    assert frozen.goes_on(event)["succeeded"] == len(ROWS)
    assert successor.goes_on(events[0])["succeeded"] == len(ROWS)
    assert frozen.created == frozen.billed == PROMPTS


def test_two_workers_at_once_pay_once(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = in_two(rounds, tmp_path)
    refill, start = Submitting.refill, threading.Barrier(2)
    waiting = threading.Semaphore(2)

    def together(self: Submitting) -> None:
        if waiting.acquire(blocking=False):
            start.wait(30)
        refill(self)

    monkeypatch.setattr(Submitting, "refill", together)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda one: one.run(), both))
    assert [result["succeeded"] for result in results] == [len(ROWS)] * 2
    assert both[0].created == both[0].billed == PROMPTS
    videos = [sorted(item["video_url"] for item in result["items"]) for result in results]
    assert videos[0] == videos[1]


def test_what_an_overtaken_worker_wrote_last_is_not_believed(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its chunks know of no submission; the items' objects do."""
    batch, _ = in_two(rounds, tmp_path)
    event = batch.first_event()
    ledger = tmp_path / "ledger" / "films" / "manual__1" / "shots" / "-1"
    for chunk in ledger.glob("wan_batch_*.json"):
        chunk.write_text("{}")
    assert batch.goes_on(event)["succeeded"] == len(ROWS)
    assert batch.created == PROMPTS


@pytest.mark.parametrize("crash_at", ["the intent", "the task"])
def test_a_worker_that_dies_before_it_keeps_its_chunks_pays_once(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    batch, _ = in_two(rounds, tmp_path)
    method = "open" if crash_at == "the intent" else "claim"
    former, calls = getattr(ItemObjects, method), iter(range(100))

    def die(self: ItemObjects, *given: Any) -> Any:
        result = former(self, *given)
        if next(calls) == 2:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(ItemObjects, method, die)
        with pytest.raises(KeyboardInterrupt):
            batch.first_round()
    assert len(batch.created) == (2 if crash_at == "the intent" else 3)
    assert batch.retried().run()["succeeded"] == len(ROWS)
    assert batch.created == batch.billed == PROMPTS


def test_an_item_costs_three_small_writes_however_large_the_batch(
    rounds: MakeRounds, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: Counter[str] = Counter()
    create, dump = ObjectStore._create, ObjectStore.set

    def counted_create(self: ObjectStore, path: str, content: bytes) -> bool:
        written[path.rsplit("/", 1)[1].split(".")[0] if "/.claims/" not in path else "claim"] += 1
        return create(self, path, content)

    def counted_set(self: ObjectStore, key: str, value: Any) -> None:
        written[key.split(".")[0]] += 1
        dump(self, key, value)

    monkeypatch.setattr(ObjectStore, "_create", counted_create)
    monkeypatch.setattr(ObjectStore, "set", counted_set)
    batch, _ = in_two(rounds, tmp_path)
    batch.first_round()
    count = len(ROWS)
    # The intent, its task, and whose the task is.
    assert (written["wan_item"], written["claim"]) == (2 * count, count)
    assert written["wan_batch_0000"] <= 4


def store_in(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/ledger", PARTS)


def opened(store: ObjectStore) -> BatchLedger:
    ledger = BatchLedger(store)
    ledger.load()
    read_objects(ledger)
    return ledger


def record(name: str) -> Record:
    return Record(fingerprint=name, intent_at=utc_now(), idempotency_key=name)


def test_who_comes_second_takes_what_the_first_has_recorded(tmp_path: Path) -> None:
    first, second = opened(store_in(tmp_path)), opened(store_in(tmp_path))
    mine, theirs = (ItemObjects(ledger, store_in(tmp_path), "a.1") for ledger in (first, second))
    mine.open(record("mine"))
    with pytest.raises(IntentTaken):
        theirs.open(record("theirs"))
    known = theirs.read()
    assert known is not None
    assert known.fingerprint == "mine"
    mine.write(record("mine and more"))
    known = theirs.read()
    assert known is not None
    assert known.fingerprint == "mine and more"


def test_a_refused_submission_leaves_the_next_number_free(tmp_path: Path) -> None:
    first, second = opened(store_in(tmp_path)), opened(store_in(tmp_path))
    mine, theirs = (ItemObjects(ledger, store_in(tmp_path), "a.1") for ledger in (first, second))
    mine.open(record("refused"))
    mine.forget()
    with pytest.raises(IntentTaken):
        theirs.open(record("theirs"))
    assert theirs.read() is None
    theirs.open(record("theirs"))
    assert opened(store_in(tmp_path)).get("a.1").submissions == 2


def test_two_items_of_a_batch_do_not_take_one_task(tmp_path: Path) -> None:
    handle = TaskHandle(vendor="gccai", task_id="task_1", mode=Mode.TEXT_TO_VIDEO, model="m", submitted_at=utc_now())
    ledger = opened(store_in(tmp_path))
    first, second = (ItemObjects(ledger, store_in(tmp_path), key) for key in ("a.1", "a.2"))
    assert first.claim(handle)
    assert not second.claim(handle)
    assert second.is_anothers(handle)
    assert first.claim(handle)


def test_objects_that_cannot_be_read_are_no_empty_ledger(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    ItemObjects(opened(store), store, "a.1").open(record("mine"))
    path = next((tmp_path / "ledger").rglob("wan_item.a.1.0001.json"))
    path.write_text("{")
    with pytest.raises(LedgerError, match="could not be read"):
        opened(store)
