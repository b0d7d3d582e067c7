"""Submissions recorded as objects: on local disk and on a server that speaks S3."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wan.client.errors import WanSubmissionUnknown
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.durable import ComeBack, Ledger, LedgerError, Obtained, Policies, StateStore
from airflow_provider_wan.worker import ledgers
from airflow_provider_wan.worker.ledgers import ObjectStore, parts_of, quoted, store_for
from tests.delivery.conftest import s3, s3_server  # noqa: F401 - fixtures
from tests.durable.conftest import VENDORS, Attempts, MakeAttempts
from tests.durable.test_crashes import Killed, kill_before_record
from tests.durable.test_recovery_by_list import HIDDEN, PICTURE, all_over, lose, sibling

PARTS = ["films", "manual__2026-11-24T10:00:00+00:00", "make", "-1"]
STORAGES = ("file", "s3")


@pytest.fixture(params=STORAGES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind of storage."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://my_s3@films/ledger"
    return f"file://{tmp_path}/ledger"


def store_in(root: str, *parts: str) -> Any:
    return ObjectStore(root, list(parts or PARTS))


def in_two(run: Attempts, root: str) -> tuple[Attempts, Attempts]:
    """Two live workers of one task instance."""
    return tuple(Attempts(run.sandbox, run.vendor, run.request, store_in(root)) for _ in range(2))  # type: ignore[return-value]


# -- the store -------------------------------------------------------------------------------------------


def test_values_are_kept_and_forgotten(root: str) -> None:
    store = store_in(root)
    assert store.get("a") is None
    assert store.keys("") == []
    store.delete("a")
    store.set("a", {"n": 1})
    store.set("a", {"n": 2})
    assert store_in(root).get("a") == {"n": 2}
    assert store.keys("a") == ["a"]
    store.delete("a")
    assert store_in(root).get("a") is None


def test_one_of_many_creates(root: str) -> None:
    stores = [store_in(root) for _ in range(8)]
    start = threading.Barrier(len(stores))

    def create(number: int) -> bool:
        start.wait(10)
        return bool(stores[number].create("intent.0001", {"by": number}))

    with ThreadPoolExecutor(len(stores)) as pool:
        made = list(pool.map(create, range(len(stores))))
    assert made.count(True) == 1
    assert store_in(root).get("intent.0001") == {"by": made.index(True)}


def test_who_creates_twice_owns_it_still(root: str) -> None:
    """A repeat below, after a network error, is refused because the first writing came through."""
    store = store_in(root)
    assert store.create("intent.0001", {"key": "mine"})
    assert store.create("intent.0001", {"key": "mine"})
    assert not store.create("intent.0001", {"key": "theirs"})


def test_a_task_is_claimed_once(root: str) -> None:
    mine, theirs = store_in(root, "films", "r", "make", "0"), store_in(root, "films", "r", "make", "1")
    assert not mine.is_claimed("gccai", "task_1")
    assert mine.claim("gccai", "task_1")
    assert mine.claim("gccai", "task_1")
    assert not theirs.claim("gccai", "task_1")
    assert theirs.is_claimed("gccai", "task_1")
    assert not mine.is_claimed("gccai", "task_1")
    assert theirs.claim("freepik", "task_1")


def test_the_objects_are_readable_and_lie_where_their_names_say(attempts: MakeAttempts, tmp_path: Path) -> None:
    run = attempts(store=store_in(f"file://{tmp_path}"))
    handle = run.obtain().handle
    path = tmp_path / "films" / "manual__2026-11-24T10%3A00%3A00%2B00%3A00" / "make" / "-1" / "wan_submission.0001.json"
    assert json.loads(path.read_text())["handle"]["task_id"] == handle.task_id
    assert [item.name for item in path.parent.iterdir()] == [path.name], "nothing half-written is left"


@pytest.mark.parametrize("part", ["a/b", "..", ".", "ä" * 200, "a b?#%", ".claims", "x" * 250])
def test_any_name_is_one_folder_of_its_own(part: str) -> None:
    name = quoted(part)
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) <= 140
    assert quoted(f"{part}x") != name


def context_of(**given: Any) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return {"ti": ti, **given}


def test_each_iteration_of_a_loop_has_a_record_of_its_own() -> None:
    paths = [parts_of(context_of(loop=SimpleNamespace(index=index))) for index in range(3)]
    assert paths[0] == ["d", "r", "t", "-1", "loop-0"]
    assert len({tuple(path) for path in paths}) == 3
    assert parts_of(context_of()) == ["d", "r", "t", "-1"]


def test_the_setting_is_used_where_the_operator_names_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store_for(context_of(), None) is None
    store: Any = object()
    assert store_for(context_of(task_state_store=store), None) is store
    monkeypatch.setenv("AIRFLOW__WAN__LEDGER_PATH", f"file://{tmp_path}/set")
    found: Any = store_for(context_of(task_state_store=store), None)
    assert found.title == f"the ledger at file://{tmp_path}/set/d/r/t/-1"
    own: Any = store_for(context_of(), f"file://{tmp_path}/own")
    assert "/own/" in own.title


def test_a_storage_that_cannot_create_exclusively_is_said_so_once(
    s3: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = store_in("s3://my_s3@films/ledger")
    pipe = store._fs.pipe_file
    monkeypatch.setattr(store._fs, "pipe_file", lambda path, content, mode="": pipe(path, content))
    monkeypatch.setattr(ledgers, "_said", set())
    assert store.create("a", {})
    assert store.create("b", {})
    assert caplog.text.count("cannot create an object exclusively") == 1


# -- attempts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_of_two_live_workers_one_submits_and_the_other_adopts(
    attempts: MakeAttempts, root: str, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = in_two(attempts(vendor), root)
    other = second.attempt(give_up=timedelta(hours=1))
    seen: list[Obtained | ComeBack] = []
    submit = WanClient.submit

    def meanwhile(self: WanClient, *given: Any) -> Any:
        # The second worker comes while the first one's POST is under way.
        if not seen:
            seen.append(ComeBack(0, ""))
            seen.append(other.obtain())
        return submit(self, *given)

    monkeypatch.setattr(WanClient, "submit", meanwhile)
    mine = first.obtain()
    assert isinstance(seen[1], ComeBack)
    theirs = second.obtain()
    assert theirs.handle == mine.handle
    assert theirs.is_adopted
    assert first.created == first.posts() == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_two_that_both_read_nothing_create_one_intent(
    attempts: MakeAttempts, root: str, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = in_two(attempts(vendor), root)
    read, both = Ledger.read, threading.Barrier(2)

    def together(self: Ledger) -> Any:
        found = read(self)
        if found is None:
            both.wait(10)
        return found

    monkeypatch.setattr(Ledger, "read", together)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda run: run.obtain(), (first, second)))
    assert found[0].handle == found[1].handle
    assert sorted(one.is_adopted for one in found) == [False, True]
    assert first.created == 1


def test_a_frozen_worker_that_wakes_up_neither_pays_nor_overwrites(
    attempts: MakeAttempts, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still in the pause after a 429, and its successor has proven absence and paid."""
    first, second = in_two(attempts(), root)
    first.sandbox.configure(fail_next=[{"call": "submit", "status": 429, "code": "Throttling.RateQuota", "times": 1}])
    done: list[Obtained] = []

    def frozen(*_: Any) -> float:
        if done:
            return 0.01
        store: Any = second.store
        record = store.get("wan_submission.0001")
        long_ago = (utc_now() - timedelta(minutes=10)).isoformat()
        store.set("wan_submission.0001", record | {"intent_at": long_ago, "closes_at": long_ago})
        done.append(second.obtain())
        monkeypatch.setattr("airflow_provider_wan.client.transport.flows.utc_now", lambda: utc_now() + THAW)
        return 0.01

    monkeypatch.setattr("airflow_provider_wan.client.transport.flows.back_off", frozen)
    from airflow_provider_wan.client.transport.flows import Patience

    with pytest.raises(Exception, match="429"):
        first.attempt(patience=Patience(throttled=5.0)).obtain()
    assert first.created == 1
    assert second.obtain().handle == done[0].handle


THAW = timedelta(minutes=5)


def test_what_a_clear_leaves_is_adopted(attempts: MakeAttempts, root: str) -> None:
    run = attempts(store=store_in(root))
    first = run.obtain()
    run.store = store_in(root)
    assert run.obtain(series="1").handle == first.handle
    assert run.created == 1


def test_a_refusal_leaves_a_tombstone_and_the_next_attempt_submits(attempts: MakeAttempts, root: str) -> None:
    run = attempts(prompt="x [sandbox reject=400:InvalidParameter times=1]", store=store_in(root))
    with pytest.raises(Exception, match="InvalidParameter"):
        run.obtain()
    assert Ledger(run.store).read() is None
    assert not run.obtain().is_adopted
    assert run.created == 1
    store: Any = run.store
    assert store.keys("wan_submission") == ["wan_submission.0001", "wan_submission.0002"]


def test_a_killed_worker_leaves_one_task(attempts: MakeAttempts, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = attempts("gccai", store=store_in(root))
    with monkeypatch.context() as patch:
        kill_before_record(patch)
        with pytest.raises(Killed):
            run.obtain()
    store: Any = run.store
    store.set("wan_submission.0001", store.get("wan_submission.0001") | {"closes_at": utc_now().isoformat()})
    run.obtain()
    assert run.created == 1


def test_trouble_with_the_storage_is_never_no_record(attempts: MakeAttempts, s3: Any) -> None:  # noqa: F811
    run = attempts(store=store_in("s3://my_s3@films/ledger"))
    run.obtain()
    broken: StateStore = store_in("s3://my_s3@no-such-bucket/ledger")
    with pytest.raises(LedgerError, match="nothing was submitted"):
        Attempts(run.sandbox, "dashscope", run.request, broken).obtain()
    assert run.created == 1


# -- whose task it is ------------------------------------------------------------------------------------


def takes(run: Attempts, root: str) -> tuple[Attempts, Attempts]:
    """Two mapped task instances: one prompt, two seeds."""
    made = []
    for seed in (1, 2):
        request = type(run.request).model_validate(run.request.model_dump(exclude_none=True) | {"seed": seed})
        store = store_in(root, "films", "r", "make", str(seed))
        made.append(Attempts(run.sandbox, "dashscope", request, store))
    return made[0], made[1]


def test_a_lost_take_is_not_taken_for_its_siblings(attempts: MakeAttempts, root: str) -> None:
    lost, other = takes(attempts(), root)
    theirs = other.obtain().handle
    lost.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    found = lost.obtain()
    assert not found.is_adopted, "the list proves that none was made: the sibling's is known to be the sibling's"
    assert found.handle != theirs
    assert lost.created == 2


def test_a_lost_take_that_was_made_is_found_beside_its_siblings(attempts: MakeAttempts, root: str) -> None:
    lost, other = takes(attempts(), root)
    theirs = other.obtain().handle
    lost.sandbox.configure(drop_next_answers=1)
    found = lost.obtain()
    assert found.is_adopted
    assert found.handle.task_id != theirs.task_id
    assert lost.created == 2


def test_two_lost_takes_never_adopt_one_task(attempts: MakeAttempts, root: str) -> None:
    first, second = takes(attempts(), root)
    first.sandbox.configure(drop_next_answers=1)
    first.attempt().obtain()
    second.sandbox.configure(fail_next=[{"call": "submit", "status": 500}])
    second.attempt(policies=Policies()).obtain()
    found = []
    for run in (first, second):
        try:
            found.append(run.obtain().handle.task_id)
        except WanSubmissionUnknown:
            continue
    assert len(set(found)) == len(found)


# -- where a store keeps others out, what the vendor does not tell is known -------------------------------


@pytest.mark.parametrize("request_", [request for request, _ in HIDDEN], ids=["picture", "seed", "negative", "extra"])
def test_where_all_others_are_known_the_one_that_is_left_is_adopted(
    attempts: MakeAttempts, tmp_path: Path, request_: Any
) -> None:
    run = attempts(request=request_, store=store_in(f"file://{tmp_path}"))
    theirs = sibling(run)
    lose(run, others=[theirs])
    all_over(run)
    found = run.obtain(others=[theirs])
    assert found.is_adopted
    assert found.handle.task_id != theirs
    assert run.created == 2


def test_a_picture_that_is_not_told_is_said_in_the_log(
    attempts: MakeAttempts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = attempts(request=PICTURE, store=store_in(f"file://{tmp_path}"))
    lose(run)
    assert run.obtain().is_adopted
    assert "does not show its media" in caplog.text
