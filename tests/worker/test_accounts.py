"""Several accounts as one: which is asked, which never is, and where an attempt goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import DAG

from airflow_provider_wan.client.errors import WanBillingError, WanError
from airflow_provider_wan.client.tasks import TaskHandle
from airflow_provider_wan.decorators.wan_video import _WanVideoDecoratedOperator
from airflow_provider_wan.durable import Ledger, SubmissionTimes, Timing
from airflow_provider_wan.operators.parameters import WanLiteralError
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from airflow_provider_wan.worker import known
from tests.accounts import KEYS, by_account, connect, sandbox, several
from tests.driving import Driven

__all__ = ["sandbox", "several"]

NAMES = ["wan_a", "wan_b", "wan_c"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_wan.client.transport.flows.back_off", lambda *_: 0.01)
    monkeypatch.setattr(Ledger, "times", SubmissionTimes(keep_pause=0.0))


def driven(**given: Any) -> Driven:
    quick: dict[str, Any] = {"task_id": "make", "prompt": "A boat", "poll_interval": 0.1, "timeout": 30}
    return Driven(lambda: WanTextToVideoOperator(**{**quick, "resolution": "720P", "wan_conn_id": NAMES, **given}))


def again(run: Driven, **given: Any) -> Driven:
    """The next try of the same task instance, perhaps with other parameters."""
    run.instance.try_number += 1
    following = driven(**given)
    following.store, following.instance = run.store, run.instance
    return following


# -- whose turn it is -------------------------------------------------------------------------------------


def test_the_first_in_order_is_asked_and_everything_names_it(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    run = driven()
    result = run.run()
    assert by_account(sandbox) == {"a": 1}
    assert result["wan_conn_id"] == "wan_a"
    assert run.store is not None
    record = run.store.get("wan_submission")
    assert (record["wan_conn_id"], record["handle"]["wan_conn_id"]) == ("wan_a", "wan_a")
    (step,) = run.steps
    assert (step.kwargs["wan_conn_id"], step.kwargs["handle"]["wan_conn_id"]) == ("wan_a", "wan_a")
    assert run.instance.xcoms["wan_generation"]["wan_conn_id"] == "wan_a"
    assert "Account wan_a (the first in order)" in capsys.readouterr().out


@pytest.mark.parametrize("trouble", ["unpaid", "refused", "throttled"])
def test_an_account_that_certainly_made_no_task_is_followed_by_the_next(
    sandbox: Sandbox, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: trouble})
    result = driven().run()
    assert result["wan_conn_id"] == "wan_b"
    assert by_account(sandbox) == by_account(sandbox, "billed") == {"b": 1}
    assert "Account wan_b (the first in order); not wan_a: it made no task:" in capsys.readouterr().out


def test_an_account_out_of_reach_is_followed_by_the_next(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, sandbox, "a", host="http://127.0.0.1:9")
    assert driven().run()["wan_conn_id"] == "wan_b"


def test_what_is_known_of_an_account_saves_the_next_task_its_refusal(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    driven().run()
    known.PROCESS.clear()  # another worker, which reads what this one left
    driven(prompt="Another boat").run()
    assert by_account(sandbox) == {"b": 2}
    assert sandbox.ledger()["requests"]["dashscope"]["submit"] == {"400": 1, "200": 2}


def test_a_store_that_is_down_is_not_waited_for(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("a file where the folder should be")
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    assert driven().run()["wan_conn_id"] == "wan_b"


def test_nothing_secret_is_shared(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "refused"}, echo_keys="plain")
    driven(route="spread").run()
    found = [path for path in (tmp_path / "known").rglob("*") if path.is_file()]
    assert any(path.name == "state.json" for path in found)
    assert not any(key in path.read_text() or key in str(path) for path in found for key in KEYS.values())


def test_spread_gives_the_next_task_to_the_least_loaded(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=30)
    for number in range(3):
        driven(route="spread", prompt=f"Boat {number}").deferred()
    assert by_account(sandbox) == {"a": 1, "b": 1, "c": 1}


def test_spread_weighs_accounts_by_what_they_run_at_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.configure(generation_seconds=30)
    connect(monkeypatch, sandbox, "c", running_limit=20)
    for number in range(6):
        driven(route="spread", prompt=f"Boat {number}").deferred()
    assert by_account(sandbox) == {"a": 1, "b": 1, "c": 4}


def test_a_task_that_ended_weighs_no_more(sandbox: Sandbox) -> None:
    for number in range(3):
        driven(route="spread", prompt=f"Boat {number}").run()
    assert by_account(sandbox) == {"a": 3}


def test_the_cheapest_is_preferred_on_wish(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"vendor": "*", "model": "*", "unit": "output_second", "currency": "USD"}
    for name, amount in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        connect(monkeypatch, sandbox, name, prices=[row | {"amount": amount, "date": "2026-11-01", "source": "own"}])
    assert driven(prefer="cost").run()["wan_conn_id"] == "wan_b"
    assert driven(prompt="Another").run()["wan_conn_id"] == "wan_a"
    assert driven(prompt="A third", wan_conn_id=["wan_a", "wan_c"], max_cost="1.2 USD").run()["wan_conn_id"] == "wan_c"


def test_what_cannot_express_the_request_is_passed_over(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(monkeypatch, sandbox, "a", vendor="freepik")
    result = driven(audio_url="https://media.example.com/a.wav", watermark=True).run()
    assert (result["wan_conn_id"], result["vendor"]) == ("wan_b", "dashscope")
    assert "not wan_a: watermark: cannot be expressed at Freepik" in capsys.readouterr().out
    assert "freepik" not in sandbox.ledger()["requests"]


def test_a_model_is_named_for_each_vendor(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, sandbox, "a", vendor="freepik")
    connect(monkeypatch, sandbox, "b")
    models = {"dashscope": "wan2.6-t2v", "freepik": "wan-2-7"}
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    result = driven(model=models, wan_conn_id=["wan_a", "wan_b"]).run()
    assert (result["wan_conn_id"], result["vendor"], result["model"]) == ("wan_b", "dashscope", "wan2.6-t2v")


# -- nobody is left ---------------------------------------------------------------------------------------


def test_all_reasons_stand_in_the_error_when_no_account_is_left(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble=dict.fromkeys((KEYS["a"], KEYS["b"]), "unpaid") | {KEYS["c"]: "refused"})
    with pytest.raises(AirflowFailException) as caught:
        driven().run()
    text = str(caught.value)
    assert "None of the 3 accounts took the request, nothing was submitted" in text
    assert all(f"- {name}: it made no task" in text for name in NAMES)
    assert by_account(sandbox) == {}


def test_one_kind_of_trouble_keeps_its_class(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble=dict.fromkeys(KEYS.values(), "unpaid"))
    with pytest.raises(AirflowFailException) as caught:
        driven().run()
    assert isinstance(caught.value.__cause__, WanBillingError)


def test_while_all_are_throttled_the_task_waits_in_the_triggerer(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble=dict.fromkeys(KEYS.values(), "throttled"))
    deferred = driven(timeout=3600).deferred()
    assert deferred.method_name == "execute_again"
    assert sandbox.ledger()["requests"]["dashscope"]["submit"] == {"429": 3}


def test_an_account_without_money_is_asked_again_when_it_is_the_last(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble=dict.fromkeys(KEYS.values(), "unpaid"))
    with pytest.raises(AirflowFailException):
        driven().run()
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid", KEYS["c"]: "unpaid"})
    assert driven().run()["wan_conn_id"] == "wan_b"


def test_what_moderation_refuses_is_not_carried_to_the_next(sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="WanModerationError"):
        driven(prompt="A boat [sandbox reject=400:DataInspectionFailed]").run()
    assert by_account(sandbox) == {}
    assert sum(sandbox.ledger()["requests"]["dashscope"]["submit"].values()) == 1


# -- lost answers -----------------------------------------------------------------------------------------


def test_a_lost_answer_is_recovered_at_its_own_account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_search(monkeypatch)
    sandbox.configure(account_trouble={KEYS["a"]: "lossy"})
    run = driven()
    result = run.run()
    assert result["wan_conn_id"] == "wan_a"
    assert by_account(sandbox) == by_account(sandbox, "billed") == {"a": 1}
    assert [step.kwargs["wan_conn_id"] for step in run.steps] == ["wan_a"] * len(run.steps)


def test_a_lost_answer_that_cannot_be_looked_up_stays_where_it_is(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, "a", vendor="freepik")
    sandbox.configure(account_trouble={KEYS["a"]: "lossy"})
    run = driven()
    with pytest.raises(AirflowFailException, match="WanSubmissionUnknown"):
        run.run()
    following = again(run)
    with pytest.raises(AirflowFailException, match="WanSubmissionUnknown"):
        following.run()
    following = again(run, wan_conn_id=["wan_b", "wan_c"])
    with pytest.raises(AirflowFailException, match="WanSubmissionUnknown"):
        following.run()
    assert by_account(sandbox) == {"a": 1}


def test_once_the_list_proves_that_there_is_none_the_choice_is_open_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_search(monkeypatch)
    prompt = "A boat [sandbox drop-before]"
    run = driven(prompt=prompt, wan_conn_id=["wan_a"])
    event = run.trigger(run.deferred())
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    following = driven(prompt=prompt)
    following.store, following.instance = run.store, run.instance
    with pytest.raises(TaskDeferred) as deferred:
        # Its first answer is lost at the next account as well, and is looked for there.
        following.call("execute_again", event=event)
    assert deferred.value.trigger.wan_conn_id == "wan_b"
    first = deferred.value
    with pytest.raises(TaskDeferred) as deferred:
        following.call("execute_again", event=following.trigger(first))
    assert deferred.value.trigger.wan_conn_id == "wan_b"
    assert by_account(sandbox) == {"b": 1}


def quick_search(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from airflow_provider_wan.durable import Attempt

    kept = Attempt.__init__

    def init(self: Attempt, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("timing", Timing(late=timedelta(minutes=-1), look_again=0.05))
        kept(self, *args, **kwargs)

    monkeypatch.setattr(Attempt, "__init__", init)


# -- later attempts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(["wan_b", "wan_a", "wan_c"], id="another order"),
        pytest.param(["wan_b", "wan_c"], id="the account is gone from the list"),
        pytest.param("wan_b", id="no list any more"),
    ],
)
@pytest.mark.parametrize("is_running", [True, False])
def test_a_list_that_changed_pays_nothing_again(sandbox: Sandbox, listed: Any, is_running: bool) -> None:
    sandbox.configure(generation_seconds=1 if is_running else 0.05)
    run = driven()
    run.deferred()
    result = again(run, wan_conn_id=listed).run()
    assert result["wan_conn_id"] == "wan_a"
    assert by_account(sandbox) == by_account(sandbox, "billed") == {"a": 1}


def test_an_account_from_before_the_list_is_adopted_from(sandbox: Sandbox) -> None:
    run = driven(wan_conn_id="wan_b")
    run.deferred()
    assert run.store is not None
    assert "wan_conn_id" not in run.store.get("wan_submission")
    result = again(run).run()
    assert result["wan_conn_id"] == "wan_b"
    assert by_account(sandbox) == {"b": 1}


def test_a_recorded_connection_that_is_gone_is_an_error_and_not_a_second_payment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driven()
    run.deferred()
    monkeypatch.delenv("AIRFLOW_CONN_WAN_A")
    monkeypatch.setattr("airflow_provider_wan.hooks.wan.WanHook.get_connection", classmethod(only_from_environment))
    with pytest.raises(AirflowFailException, match="was made on connection 'wan_a', which cannot be used now"):
        again(run, wan_conn_id=["wan_b", "wan_c"]).run()
    assert by_account(sandbox) == {"a": 1}
    run.instance.max_tries += 1  # a person clears it
    assert again(run, wan_conn_id=["wan_b", "wan_c"], regenerate=True).run()["wan_conn_id"] == "wan_b"


def only_from_environment(cls: Any, conn_id: str) -> Any:
    import os

    from airflow.providers.common.compat.sdk import Connection

    class AirflowNotFoundException(Exception):
        """As Airflow's, whose place has moved."""

    text = os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}")
    if text is None:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")
    return Connection.from_json(text, conn_id=conn_id)


def test_a_failed_task_opens_the_choice_again(sandbox: Sandbox) -> None:
    run = driven(prompt="A boat [sandbox fail=InternalError]")
    with pytest.raises(WanError):
        run.run()
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    assert again(run, prompt="A boat [sandbox fail=InternalError]").deferred().trigger.wan_conn_id == "wan_b"
    assert by_account(sandbox) == {"a": 1, "b": 1}


def test_a_changed_request_cancels_at_the_account_it_was_made_on(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=30, pending_seconds=30)
    run = driven()
    run.deferred()
    again(run, prompt="Another boat", wan_conn_id=["wan_b", "wan_a"]).deferred()
    assert by_account(sandbox) == {"a": 1, "b": 1}
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]] == [True]


def test_a_changed_request_that_no_account_takes_leaves_the_recorded_task_alone(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=30, pending_seconds=30)
    run = driven()
    run.deferred()
    with pytest.raises(AirflowFailException, match="No account can take the request"):
        again(run, prompt="Another boat", max_cost="0.01 USD").run()
    assert sandbox.ledger()["cancels"] == []


def test_without_a_store_the_event_names_the_account(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    run = driven(durable=False)
    run.store = None
    assert run.run()["wan_conn_id"] == "wan_b"


def test_a_video_is_stored_with_the_key_of_its_account(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect(monkeypatch, sandbox, "b", vendor="powertokens")
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    result = driven(store_to=f"file://{tmp_path}/boat.mp4").run()
    assert result["wan_conn_id"] == "wan_b"
    assert (tmp_path / "boat.mp4").stat().st_size == result["bytes"]


def test_sensor_and_transfer_follow_the_account_that_the_handle_names(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    handle = driven(wait_for_completion=False).run()
    assert handle["wan_conn_id"] == "wan_b"
    sensed = Driven(lambda: WanTaskSensor(task_id="wait", handle=handle, poke_interval=0.1)).run()
    assert sensed["wan_conn_id"] == "wan_b"
    landed = Driven(
        lambda: WanVideoToObjectStorageOperator(task_id="keep", result=sensed, store_to=f"file://{tmp_path}/b.mp4")
    ).run()
    assert (landed["wan_conn_id"], Path(tmp_path / "b.mp4").exists()) == ("wan_b", True)


def test_a_kill_cancels_at_the_account_of_the_task(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=30, pending_seconds=30, account_trouble={KEYS["a"]: "unpaid"})
    run = driven()
    deferred = run.deferred()
    trigger = deferred.trigger
    assert TaskHandle.of(trigger.handle).wan_conn_id == "wan_b"
    assert trigger.wan_conn_id == "wan_b"


def test_a_decorated_function_may_name_models_and_its_task_accounts(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})

    def ask() -> dict[str, Any]:
        return {"prompt": "A boat", "resolution": "720P", "model": {"dashscope": "wan2.6-t2v"}}

    given: dict[str, Any] = {"wan_conn_id": NAMES, "poll_interval": 0.1, "deferrable": False}
    run = Driven(lambda: _WanVideoDecoratedOperator(task_id="make", python_callable=ask, **given))
    result = run.run()
    assert (result["wan_conn_id"], result["model"]) == ("wan_b", "wan2.6-t2v")


def test_a_templated_list_is_read(sandbox: Sandbox) -> None:
    sandbox.configure(account_trouble={KEYS["a"]: "unpaid"})
    assert driven(wan_conn_id="{{ ['wan_a', 'wan_c'] }}").run()["wan_conn_id"] == "wan_c"
    assert driven(prompt="Two", wan_conn_id=["wan_{{ 'c' }}", "wan_b"]).run()["wan_conn_id"] == "wan_c"


# -- at parse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "field", "word"),
    [
        ({"model": {"dashcope": "wan2.7-t2v"}}, "model", "is named for vendors by their names"),
        ({"model": {"dashscope": ""}}, "model", "is a model, or a model for each vendor"),
        (
            {"model": {"freepik": "wan-2-7"}, "generate_audio": True},
            "generate_audio",
            "freepik",
        ),
        ({"model": {"dashscope": "wan3.0-t2v"}, "negative_prompt": "fog"}, "negative_prompt", "at dashscope"),
    ],
)
def test_what_a_named_vendor_cannot_express_is_refused_at_parse(given: dict[str, Any], field: str, word: str) -> None:
    with DAG("films", schedule=None), pytest.raises(WanLiteralError) as caught:
        WanTextToVideoOperator(task_id="make", prompt="A boat", wan_conn_id=NAMES, **given)
    assert any(violation.field == field and word in str(violation) for violation in caught.value.violations)
