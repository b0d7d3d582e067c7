"""A batch over several accounts: who gets which item, what becomes of them, and that nothing is paid twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.routing import state
from airflow_provider_wan.client.tasks import utc_now
from airflow_provider_wan.operators.parameters import WanLiteralError
from airflow_provider_wan.sandbox import Sandbox
from tests.accounts import KEYS, NAMES, by_account, connect, sandbox, several

from .rounds import CountingStore, Rounds, row

__all__ = ["sandbox", "several"]

MakeRounds = Callable[..., Rounds]


@pytest.fixture
def rounds(sandbox: Sandbox, tmp_path: Path) -> MakeRounds:
    def make(rows: Any, **given: Any) -> Rounds:
        return Rounds(sandbox, tmp_path, rows, {"wan_conn_id": NAMES, "route": "spread"} | given)

    return make


def shots(count: int) -> list[dict[str, Any]]:
    return [row(f"Shot {number}") for number in range(count)]


def is_paid_once(batch: Rounds, count: int) -> bool:
    return batch.billed == sorted(f"Shot {number}" for number in range(count))


def test_items_are_spread_and_everything_names_their_account(sandbox: Sandbox, rounds: MakeRounds) -> None:
    batch = rounds(shots(20))
    summary = batch.run()
    assert by_account(sandbox) == {"a": 5, "b": 5, "c": 5, "d": 5}
    assert is_paid_once(batch, 20)
    assert Counter(line["wan_conn_id"] for line in batch.manifest) == dict.fromkeys(NAMES, 5)
    assert {name: figures["counts"] for name, figures in summary["accounts"].items()} == {
        name: {"succeeded": 5} for name in NAMES
    }
    assert summary["accounts"]["wan_a"]["costs"][0]["amount"] == pytest.approx(summary["cost"]["amount"] / 4)
    assert batch.store is not None
    assert set(batch.store.get("wan_progress")["accounts"]) == set(NAMES)


def test_spread_weighs_by_what_each_runs_at_once(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, "d", running_limit=15)
    rounds(shots(12), wan_conn_id=["wan_a", "wan_d"]).run()
    assert by_account(sandbox) == {"a": 3, "d": 9}


def test_in_order_the_first_is_filled_before_the_next(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.configure(generation_seconds=30)
    connect(monkeypatch, sandbox, "a", running_limit=2, queue_limit=1)
    rounds(shots(5), route="failover").first_round()
    assert by_account(sandbox) == {"a": 3, "b": 2}


def test_the_window_of_an_account_is_what_it_runs_and_queues(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.configure(generation_seconds=30)
    for name in "ab":
        connect(monkeypatch, sandbox, name, running_limit=2, queue_limit=1)
    rounds(shots(9), wan_conn_id=["wan_a", "wan_b"]).first_round()
    assert by_account(sandbox) == {"a": 3, "b": 3}


@pytest.mark.parametrize("trouble", ["unpaid", "refused", "throttled"])
def test_an_account_that_dies_hands_its_items_to_the_others(
    sandbox: Sandbox, rounds: MakeRounds, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.configure(account_trouble={KEYS["b"]: trouble})
    batch = rounds(shots(12))
    assert batch.run()["succeeded"] == 12
    assert by_account(sandbox) == by_account(sandbox, "billed") == {"a": 4, "c": 4, "d": 4}
    assert is_paid_once(batch, 12)
    assert "not wan_b" in capsys.readouterr().out


def test_all_at_once_one_without_money_one_refused_one_throttled_one_that_loses_answers(
    sandbox: Sandbox, rounds: MakeRounds
) -> None:
    sandbox.configure(
        account_trouble={KEYS["a"]: "unpaid", KEYS["b"]: "refused", KEYS["c"]: "throttled"},
        drop_answer_rate=0.2,
        seed=3,
    )
    batch = rounds(shots(30))
    assert batch.run()["succeeded"] == 30
    assert is_paid_once(batch, 30)


def test_when_no_account_is_left_submitting_stops_and_a_retry_goes_on(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(account_trouble=dict.fromkeys(KEYS.values(), "unpaid"))
    batch = rounds(shots(4))
    assert "no account is left" in str(batch.fails())
    assert by_account(sandbox) == {}
    sandbox.configure(account_trouble=dict.fromkeys((KEYS[name] for name in "abc"), "unpaid"))
    assert batch.cleared().run()["succeeded"] == 4
    assert by_account(sandbox) == {"d": 4}


def ends(batch: Rounds) -> Exception:
    """One attempt, whose rounds wait for nothing but tasks and short pauses."""
    driven, method, given = batch.attempt(), "execute", {}
    while True:
        try:
            raise AssertionError(f"not failed but returned {driven.call(method, **given)}")
        except TaskDeferred as deferred:
            wake_at = deferred.trigger.serialize()[1]["wake_at"]
            assert wake_at is None or datetime.fromisoformat(wake_at) < utc_now() + timedelta(minutes=1)
            method, given = "execute_round", {"event": batch.trigger_of(deferred)}
        except AirflowFailException as error:
            return error


def test_a_row_whose_own_account_is_dead_holds_up_no_batch(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    batch = rounds([row("a", wan_conn_id="wan_a"), row("b", wan_conn_id="wan_b")])
    assert "No account that can take it is left: wan_a" in str(ends(batch))
    assert batch.statuses == {"1": "failed", "2": "succeeded"}
    sandbox.configure(account_trouble={})
    assert batch.cleared().run()["succeeded"] == 2


def test_a_connection_that_is_not_there_is_no_account_that_is_left(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    assert "no account is left" in str(ends(rounds(shots(2), wan_conn_id=["wan_a", "wan_nowhere"])))


def goes_round(batch: Rounds, times: int) -> None:
    event = batch.first_event()
    for _ in range(times):
        event = batch.next_event(event)


def test_one_that_refuses_for_the_whole_time_out_ends_a_batch_whose_others_are_dead(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(state._SECONDS, state.Trouble.THROTTLED, (0.05, 0.1))
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid", KEYS["b"]: "throttled"})
    batch = rounds(shots(2), wan_conn_id=["wan_a", "wan_b"], timeout=0.5)
    with pytest.raises(WanError, match="nothing could be submitted to any account"):
        goes_round(batch, 40)


def test_an_account_that_goes_away_in_the_middle_keeps_what_it_has(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(generation_seconds=0.3)
    batch = rounds(shots(24), max_in_flight=8)
    event = batch.first_event()
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    assert batch.goes_on(event)["succeeded"] == 24
    found = by_account(sandbox)
    assert found["a"] < 6
    assert is_paid_once(batch, 24)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(NAMES[::-1], id="another order"),
        pytest.param(["wan_c", "wan_d"], id="two are gone from the list"),
        pytest.param("wan_d", id="no list any more"),
    ],
)
def test_a_list_that_changed_pays_nothing_again(sandbox: Sandbox, rounds: MakeRounds, listed: Any) -> None:
    sandbox.configure(generation_seconds=0.5)
    batch = rounds(shots(8))
    batch.first_round()
    assert batch.cleared(wan_conn_id=listed).run()["succeeded"] == 8
    assert by_account(sandbox) == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert is_paid_once(batch, 8)


def test_a_batch_from_before_the_list_goes_on_at_its_account(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(generation_seconds=0.5)
    batch = rounds(shots(6), wan_conn_id="wan_b", max_in_flight=3)
    batch.first_round()
    assert batch.cleared(wan_conn_id=NAMES, max_in_flight=100).run()["succeeded"] == 6
    assert by_account(sandbox)["b"] >= 3
    assert is_paid_once(batch, 6)


def test_a_manifest_brings_lost_ones_back_to_their_accounts(sandbox: Sandbox, rounds: MakeRounds) -> None:
    lost = "a [sandbox drop-answer]"
    batch = rounds([row(lost), row("b")])
    batch.first_round()
    batch.store = CountingStore()
    assert batch.cleared().run()["succeeded"] == 2
    assert batch.billed == batch.created == [lost, "b"]


def test_a_manifest_brings_items_back_to_their_accounts(sandbox: Sandbox, rounds: MakeRounds) -> None:
    batch = rounds(shots(8))
    batch.run()
    batch.store = type(batch.store)() if batch.store else None  # a clear has deleted the ledger
    assert batch.cleared().run()["succeeded"] == 8
    assert is_paid_once(batch, 8)


def test_a_row_names_its_own_accounts(sandbox: Sandbox, rounds: MakeRounds) -> None:
    rows = [row("One", wan_conn_id="wan_d"), row("Two", wan_conn_id=["wan_c", "wan_d"]), row("Three")]
    batch = rounds(rows, wan_conn_id="wan_a")
    assert batch.run()["succeeded"] == 3
    assert {line["prompt"]: line.get("wan_conn_id") for line in batch.manifest} == {
        "One": "wan_d",
        "Two": "wan_c",
        "Three": "wan_a",
    }


def test_a_row_with_an_unusable_connection_is_refused_before_anything_is_paid(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, "d", region="atlantis")
    error = rounds([row("One"), row("Two", wan_conn_id="wan_d")], wan_conn_id="wan_a").fails()
    assert "row 2: wan_conn_id: is a usable connection" in str(error)
    assert by_account(sandbox) == {}


def test_rows_go_to_the_vendor_that_can_express_them(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, "a", vendor="freepik")
    rows = [row("Plain", model={"dashscope": "wan2.6-t2v"}), row("Marked", watermark=True)]
    batch = rounds(rows, wan_conn_id=["wan_a", "wan_b"], route="failover")
    assert batch.run()["succeeded"] == 2
    assert {line["prompt"]: line["vendor"] for line in batch.manifest} == {"Plain": "freepik", "Marked": "dashscope"}


def test_a_full_queue_lowers_the_window_of_that_account_only(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.configure(generation_seconds=0.2, running_limit=2, queue_limit=2)
    batch = rounds(shots(40), wan_conn_id=["wan_a", "wan_b"])
    assert batch.run()["succeeded"] == 40
    assert is_paid_once(batch, 40)
    assert batch.store is not None
    windows = [record.get("window") for record in batch.store.get("wan_batch")["accounts"].values()]
    assert all(window and window >= 4 for window in windows)
    # The learning ones: one or a few for each account, not one for each item.
    assert batch.posts().get("429", 0) <= 12


def test_max_cost_is_held_to_the_dearest_account(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = {
        "vendor": "*",
        "model": "*",
        "unit": "output_second",
        "currency": "USD",
        "date": "2026-11-01",
        "source": "x",
    }
    connect(monkeypatch, sandbox, "a", prices=[price | {"amount": 0.1}])
    connect(monkeypatch, sandbox, "b", prices=[price | {"amount": 0.5}])
    listed: dict[str, Any] = {"wan_conn_id": ["wan_a", "wan_b"], "prefer": "cost"}
    assert "max_cost" in str(rounds(shots(4), max_cost="3 USD", **listed).fails())
    assert by_account(sandbox) == {}
    assert rounds(shots(4), max_cost="4 USD", **listed).run()["cost"]["amount"] == pytest.approx(0.8)
    assert by_account(sandbox) == {"a": 4}


def test_a_lost_answer_is_looked_for_at_its_own_account(sandbox: Sandbox, rounds: MakeRounds) -> None:
    rows = [row(f"Shot {number} [sandbox drop-answer]") for number in range(6)]
    batch = rounds(rows)
    assert batch.run()["succeeded"] == 6
    assert len(batch.created) == len(set(batch.created)) == 6


def test_a_kill_cancels_at_every_account(sandbox: Sandbox, rounds: MakeRounds) -> None:
    sandbox.configure(generation_seconds=30, pending_seconds=30)
    batch = rounds(shots(4))
    deferred = batch.first_round()
    import asyncio

    from airflow_provider_wan.hooks.wan import WanHook

    trigger = deferred.trigger
    said = asyncio.run(trigger._cancel(WanHook(trigger.wan_conn_id), trigger.handles))
    assert said.startswith("4 tasks were cancelled")
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True] * 4


def test_wrong_lists_are_refused_at_parse(rounds: MakeRounds) -> None:
    with pytest.raises(WanLiteralError, match="names each connection once"):
        rounds(shots(1), wan_conn_id=["wan_a", "wan_a"]).run()


def test_a_connection_that_is_gone_keeps_its_items_and_holds_nobody_up(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wan.hooks.wan.LOOK_UP", timedelta(0))
    sandbox.configure(generation_seconds=0.3)
    batch = rounds(shots(12), max_in_flight=8)
    deferred = batch.first_round()
    connect(monkeypatch, sandbox, "a", region="atlantis")
    with pytest.raises(WanError, match="Connection 'wan_a' cannot be looked up"):
        batch.goes_on(batch.trigger_of(deferred))
    assert Counter(batch.statuses.values()) == {"succeeded": 10, "unknown": 2}
    connect(monkeypatch, sandbox, "a")
    assert batch.cleared().run()["succeeded"] == 12
    assert is_paid_once(batch, 12)


def test_a_killed_worker_cancels_at_every_account(
    sandbox: Sandbox, rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has marked the task as failed."""
    monkeypatch.setattr("airflow_provider_wan.triggers.killed._states", lambda _: ["failed"])
    sandbox.configure(generation_seconds=30, pending_seconds=30)
    batch = rounds(shots(4))
    batch.first_round()
    assert batch.driven is not None
    assert batch.driven.operator is not None
    batch.driven.operator.on_kill()
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True] * 4
