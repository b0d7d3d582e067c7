"""One video's cost: in the log before it is paid, held to ``max_cost``, in the result, the record and asset events."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import Asset, task

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.parameters import WanLiteralError
from airflow_provider_wan.operators.wan import WanReferenceToVideoOperator, WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sensors.wan import WanTaskSensor
from tests.airflow_fixtures import connection_json
from tests.driving import Driven, Instance, Store

QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P", "duration": 5}
OWN = [{"amount": "0.08", "currency": "EUR"}]
FIFTY_CENTS = {"amount": 0.5, "currency": "USD", "basis": "usage"}


def driven(kind: type[WanVideoOperator] = WanTextToVideoOperator, **given: Any) -> Driven:
    return Driven(lambda: kind(**{**QUICK, "prompt": "A paper boat", **given}))


@pytest.fixture
def own_prices(sandbox: Sandbox, vendor: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection of each vendor with prices of its own."""
    monkeypatch.setenv("AIRFLOW_CONN_WAN_OWN", connection_json(sandbox.base_url(vendor), vendor, prices=OWN))
    return "wan_own"


def test_the_estimate_is_in_the_log_and_the_cost_in_the_result(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    result = driven().run()
    assert "Estimated cost: 0.50 USD (5 s of wan2.7-t2v 720P at 0.1 USD, as of 2026-06)" in capsys.readouterr().out
    assert result["cost"] == FIFTY_CENTS


def test_every_vendor_has_a_cost_with_prices_of_the_connection(own_prices: str, vendor: str) -> None:
    cost = driven(wan_conn_id=own_prices).run()["cost"]
    basis = {"dashscope": "usage", "gccai": cost["basis"]}.get(vendor, "estimate")
    assert cost["basis"] == basis
    if basis != "vendor":
        assert cost == {"amount": 0.4, "currency": "EUR", "basis": basis}


def test_a_decorated_function_has_a_cost_at_every_vendor(own_prices: str, vendor: str) -> None:
    @task.wan_video(wan_conn_id=own_prices, poll_interval=0.1, timeout=30)
    def film() -> dict[str, Any]:
        return {"prompt": "A paper boat", "duration": 5, "resolution": "720P"}

    shot: Any = film

    class WithPulls(Instance):
        def xcom_pull(self, key: str, **_: Any) -> Any:
            return self.xcoms.get(key)

    def make() -> Any:
        decorated: Any = shot
        return decorated.operator_class(python_callable=decorated.function, **decorated.kwargs)

    cost = Driven(make, instance=WithPulls()).run()["cost"]
    assert cost["amount"] > 0
    assert cost["currency"] in ("EUR", "USD")


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"max_cost": 0.49}, "The video would cost 0.50 USD; max_cost is 0.49. Nothing was sent or paid"),
    ({"max_cost": "0.49 USD"}, "The video would cost 0.50 USD"),
    ({"max_cost": "3 CNY"}, "prices are in USD, and nothing is converted"),
    ({"max_cost": 5, "wan_conn_id": "wan_freepik"}, "no price of wan-2-7 at freepik is known"),
    ({"max_cost": 5, "model": "wan-of-tomorrow", "strict": False}, "no price of wan-of-tomorrow at dashscope"),
]


@pytest.mark.parametrize(("given", "message"), REFUSALS)
def test_above_max_cost_nothing_is_sent_or_recorded(sandbox: Sandbox, given: dict[str, Any], message: str) -> None:
    run = driven(**given)
    with pytest.raises(AirflowFailException) as caught:
        run.run()
    assert message in str(caught.value)
    assert sandbox.ledger()["requests"] == {}
    assert run.store is not None
    assert "wan_submission" not in run.store.rows


@pytest.mark.parametrize(
    "given",
    [
        {"max_cost": 0.5},
        {"max_cost": "0.50 USD"},
        {"max_cost": ""},
        {"max_cost": 1, "wan_conn_id": "wan_freepik", "on_unknown_price": "allow"},
    ],
)
def test_what_fits_is_made(sandbox: Sandbox, given: dict[str, Any]) -> None:
    assert driven(**given).run()["status"] == "succeeded"


def test_an_upper_bound_is_held_to_the_limit(sandbox: Sandbox) -> None:
    clip = "https://media.example.com/actor.mp4"
    given = {"prompt": "Video 1 waves", "reference_videos": [clip], "max_cost": 0.9}
    with pytest.raises(AirflowFailException, match=r"this video: at most 1\.00 USD"):
        driven(WanReferenceToVideoOperator, **given).run()


def test_a_retry_that_adopts_costs_nothing(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    store, instance = Store(), Instance()

    def attempt(**given: Any) -> Driven:
        return Driven(lambda: WanTextToVideoOperator(**QUICK, prompt="A boat", **given), store, instance)

    attempt(max_cost=1).deferred()
    capsys.readouterr()
    assert attempt(max_cost=0).run()["cost"] == FIFTY_CENTS
    assert "Estimated cost" not in capsys.readouterr().out
    assert len(sandbox.ledger()["created"]) == 1


def test_a_changed_request_above_the_limit_leaves_the_former_task_alone(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=60)
    store, instance = Store(), Instance()

    def attempt(**given: Any) -> Driven:
        return Driven(lambda: WanTextToVideoOperator(**QUICK | given, prompt="A boat", max_cost=0.5), store, instance)

    attempt().deferred()
    kept = store.get("wan_submission")
    with pytest.raises(AirflowFailException, match="max_cost"):
        attempt(duration=10).run()
    assert sandbox.ledger()["cancels"] == []
    assert store.get("wan_submission") == kept


def test_a_stored_video_keeps_its_cost_when_its_task_is_gone(sandbox: Sandbox, tmp_path: Any) -> None:
    store, instance = Store(), Instance()

    def run() -> dict[str, Any]:
        target = f"file://{tmp_path}/clip.mp4"
        made = Driven(
            lambda: WanTextToVideoOperator(**QUICK, prompt="A boat", store_to=target), store=store, instance=instance
        )
        result: dict[str, Any] = made.run()
        return result

    assert run()["cost"] == FIFTY_CENTS
    sandbox.reset()
    assert run()["cost"] == FIFTY_CENTS
    assert sandbox.ledger()["created"] == []


class Events:
    """Airflow's events of outlets by the asset's name: before 3.2 an asset with extras cannot be a key."""

    def __init__(self, **by_name: Any) -> None:
        self._by_name = by_name

    def __getitem__(self, asset: Asset) -> Any:
        return self._by_name[asset.name]


def test_asset_events_carry_the_cost(sandbox: Sandbox) -> None:
    asset = Asset("clip")

    class Event:
        extra: dict[str, Any] = {}

    event = Event()
    made = Driven(
        lambda: WanTextToVideoOperator(**QUICK, prompt="A boat", outlets=[asset]),
        context={"outlet_events": Events(clip=event)},
    )
    made.run()
    assert event.extra["cost"] == FIFTY_CENTS


def test_the_sensor_brings_the_cost(sandbox: Sandbox) -> None:
    handle = driven(wait_for_completion=False).run()
    sandbox.wait_for(lambda books: len(books["billed"]) == 1)
    sensor = WanTaskSensor(task_id="wait", handle=handle, poke_interval=0.1, timeout=30)
    context: Any = {"ti": Instance(), "task": sensor}
    value = sensor.poke(context)
    assert value.xcom_value["cost"] == FIFTY_CENTS


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_cost": "cheap"}, "max_cost: is an amount of money (given: 'cheap')"),
    ({"max_cost": -1}, "max_cost: is an amount of money"),
    ({"on_unknown_price": "alow"}, "on_unknown_price: is one of fail, allow"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_wrong_literals_are_refused_while_the_dag_is_parsed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(WanLiteralError) as caught:
        WanTextToVideoOperator(**QUICK, prompt="A boat", **given)
    assert message in str(caught.value)
    with pytest.raises(WanRequestError) as refused:
        WanVideoBatchOperator(task_id="shots", requests=[{"prompt": "A boat"}], **given)
    assert message in str(refused.value)


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_wrong_rendered_values_are_refused_before_anything_is_sent(
    sandbox: Sandbox, given: dict[str, Any], message: str
) -> None:
    templated = {name: f"{{{{ '{value}' }}}}" for name, value in given.items()}
    with pytest.raises(AirflowFailException) as caught:
        driven(**templated).run()
    assert message.split(" (")[0] in str(caught.value)
    assert sandbox.ledger()["requests"] == {}


def test_the_cost_can_be_stored_as_json(sandbox: Sandbox) -> None:
    assert json.loads(json.dumps(driven(timeout=timedelta(seconds=30)).run()["cost"])) == FIFTY_CENTS
