"""What videos cost on a connection: its own prices, the region of its host, and the estimate of the hook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.client.costs import CostEstimate, NoPrice
from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import ReferenceToVideoRequest, TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.hooks.wan import WanHook

BOAT = TextToVideoRequest(prompt="A paper boat", duration=5)
OWN = [{"model": "wan2.7-*", "amount": 0.08, "currency": "USD", "date": "2026-11", "source": "our contract"}]
SANDBOX = "http://127.0.0.1:8765"


@pytest.fixture
def hook_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(host: str | None = SANDBOX, **extra: Any) -> WanHook:
        connection = {"conn_type": "wan", "host": host, "password": "sk-test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAN_COSTS", json.dumps(connection))
        return WanHook("wan_costs")

    return make


def test_the_shipped_price_of_the_region(hook_of: Any) -> None:
    found = hook_of().estimate_cost(BOAT)
    assert (found.amount, found.currency, found.seconds, found.unit_price) == (0.75, "USD", 5, 0.15)
    assert (found.date, found.source.startswith("https://")) == ("2026-06", True)
    assert hook_of(region="cn-beijing").estimate_cost(BOAT).currency == "CNY"


@pytest.mark.parametrize(
    ("host", "extra", "region"),
    [
        (None, {}, "ap-southeast-1"),
        (None, {"region": "cn-beijing"}, "cn-beijing"),
        ("https://dashscope.aliyuncs.com", {}, "cn-beijing"),
        ("https://dashscope-us.aliyuncs.com", {"region": "cn-beijing"}, "us-east-1"),
        ("https://llm-abc.eu-central-1.maas.aliyuncs.com", {}, "eu-central-1"),
        ("https://proxy.example.com", {"region": "cn-hongkong"}, "cn-hongkong"),
        (SANDBOX, {"vendor": "gccai"}, None),
    ],
)
def test_the_host_that_is_billed_decides_the_region(
    hook_of: Any, host: str | None, extra: dict[str, Any], region: str | None
) -> None:
    assert hook_of(host, **extra).costs.region == region


def test_own_prices_as_a_list_and_as_its_text(hook_of: Any) -> None:
    for given in (OWN, json.dumps(OWN)):
        found = hook_of(prices=given).estimate_cost(BOAT)
        assert (found.amount, found.source) == (0.4, "our contract")


def test_own_prices_in_a_file(hook_of: Any, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(OWN))
    assert hook_of(prices=f"file://{file}").estimate_cost(BOAT).amount == 0.4
    assert hook_of(prices=str(file)).estimate_cost(BOAT).amount == 0.4


def test_a_typo_in_the_list_makes_the_connection_unusable(hook_of: Any) -> None:
    with pytest.raises(WanRequestError) as caught:
        _ = hook_of(prices=[OWN[0] | {"region": "cn-bejing"}]).account
    assert "extra.prices, row 1, region: is one of ap-southeast-1" in str(caught.value)


@pytest.mark.parametrize("content", [None, '[{"amount": "cheap", "currency": "USD"}]', "{}"])
def test_a_file_that_cannot_be_used_makes_prices_unknown(
    hook_of: Any, tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_text(content)
    hook = hook_of(prices=f"file://{file}")
    found = hook.costs.estimate(BOAT)
    assert isinstance(found, NoPrice)
    assert "prices.json" in found.reason
    assert "prices.json" in caplog.text
    done = VideoTask(task_id="t", vendor="dashscope", status=TaskStatus.SUCCEEDED, usage={"duration": 5})
    assert hook.costs.cost_of(done, BOAT) is None


def test_an_unknown_price_is_said_not_guessed(hook_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    hook = hook_of(vendor="freepik")
    assert hook.estimate_cost(BOAT) is None
    assert "no price of wan-2-7 at freepik is known" in capsys.readouterr().out


def test_the_length_of_the_clips_sharpens_the_estimate(hook_of: Any) -> None:
    clip = "https://media.example.com/a.mp4"
    request = ReferenceToVideoRequest(prompt="Video 1 waves", reference_videos=[clip], duration=5)
    costs = hook_of().costs
    vague, exact = costs.estimate(request), costs.estimate(request, 2.0)
    assert isinstance(vague, CostEstimate)
    assert isinstance(exact, CostEstimate)
    assert (vague.seconds, vague.is_upper_bound, exact.seconds, exact.is_upper_bound) == (10, True, 7, False)


def test_the_cost_of_a_finished_task(hook_of: Any) -> None:
    costs = hook_of(vendor="gccai").costs
    done = VideoTask(task_id="t", vendor="gccai", status=TaskStatus.SUCCEEDED, usage={"cost": 0.4})
    assert costs.cost_of(done, BOAT) == {"amount": 0.4, "currency": "USD", "basis": "vendor"}
    assert costs.expected_cost(BOAT) is None
    assert hook_of().costs.expected_cost(BOAT) == {"amount": 0.75, "currency": "USD", "basis": "estimate"}
