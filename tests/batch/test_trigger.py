"""The batch's trigger when it is killed, moved or cleared, and how long it waits for company."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_wan.client.polling import window as waiting
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask, utc_now
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.triggers import wan
from airflow_provider_wan.triggers.killed import KillReason

from .conftest import MakeRounds
from .rounds import row

PATIENCE = 60.0


@pytest.mark.parametrize(
    ("fate", "given", "is_cancelled"),
    [
        (KillReason.ENDED, {}, True),
        (KillReason.ENDED, {"cancel_on_kill": False}, False),
        (KillReason.MOVED, {}, False),
        (KillReason.UNREADABLE, {}, False),
        (KillReason.RESTARTED, {}, False),
        (KillReason.RESTARTED, {"durable": False}, True),
    ],
)
def test_a_kill_cancels_the_window_only_when_nobody_comes_back_for_it(
    rounds: MakeRounds,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    fate: KillReason,
    given: dict[str, Any],
    is_cancelled: bool,
) -> None:
    trigger: Any = rounds([row("a [sandbox hold]"), row("b [sandbox hold]")], **given).first_round().trigger

    async def became(_: Any) -> KillReason:
        return fate

    monkeypatch.setattr(wan, "kill_reason_of", became)
    monkeypatch.setattr("airflow_provider_wan.triggers.killed.airflow_version", lambda: (3, 3))
    asyncio.run(trigger.on_kill())
    assert {task["status"] for task in sandbox.ledger()["created"]} == {"CANCELED" if is_cancelled else "PENDING"}


class Poller:
    """Ends tasks at set times; never those without one."""

    def __init__(self, ends: dict[str, float]) -> None:
        self.ends = ends
        self.left = 0

    async def wait(self, handle: TaskHandle, *_: Any) -> Ending:
        try:
            await asyncio.sleep(self.ends.get(handle.task_id, 1000))
        except asyncio.CancelledError:
            self.left += 1
            raise
        if self.ends[handle.task_id] == 0.013:
            raise RuntimeError("a bug")
        return Ending(EndingStatus.SUCCESS, VideoTask(task_id=handle.task_id, vendor="dashscope"))


def window(count: int) -> list[waiting.WindowItem]:
    return [
        waiting.WindowItem(
            f"k{number}",
            TaskHandle(
                vendor="dashscope", task_id=str(number), mode=Mode.TEXT_TO_VIDEO, model="m", submitted_at=utc_now()
            ),
            utc_now(),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("ends", "enough", "expected"),
    [
        ({"0": 0.0, "1": 0.01, "2": 0.5}, 2, {"k0", "k1"}),
        ({"0": 0.0, "1": 0.02, "2": 0.04}, 1, {"k0", "k1", "k2"}),
        ({"0": 0.0}, 3, {"k0"}),
        ({"0": 0.0, "1": 0.0, "2": 0.0, "3": 0.0}, 4, {"k0", "k1", "k2", "k3"}),
    ],
    ids=["enough", "bunches together", "lingers, then goes", "all"],
)
async def test_how_many_endings_are_worth_a_worker(ends: dict[str, float], enough: int, expected: set[str]) -> None:
    poller: Any = Poller(ends)
    found = await waiting.wait_for_some(poller, window(4), 15, enough, linger=0.15)
    assert set(found.endings) == expected
    assert poller.left == 4 - len(expected)


@pytest.mark.parametrize(("policy", "is_awaited"), [("fail", False), ("continue", True)])
def test_a_refusal_that_comes_late_is_told_at_once_and_stops_a_batch_that_is_to_stop(
    rounds: MakeRounds, monkeypatch: pytest.MonkeyPatch, policy: str, is_awaited: bool
) -> None:
    refused = row("a [sandbox seconds=0.01 fail=InvalidParameter message='duration is not valid']")
    others = [row(f"{number} [sandbox hold]") for number in range(4)]
    trigger = rounds([refused, *others], on_item_failure=policy, wan_conn_id="wan_powertokens").first_round().trigger
    assert isinstance(trigger, wan.WanBatchTrigger)
    trigger.linger = 600.0
    told: list[str] = []

    async def waited() -> bool:
        is_told = asyncio.Event()

        def tell(line: str) -> None:
            told.append(line)
            is_told.set()

        monkeypatch.setattr(trigger, "_say", tell)
        firing = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.wait({firing, asyncio.ensure_future(is_told.wait())}, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait({firing}, timeout=1.0 if is_awaited else PATIENCE)
        firing.cancel()
        await asyncio.wait({firing})
        return not done

    assert asyncio.run(waited()) is is_awaited
    assert len(told) == 1
    assert "duration is not valid" in told[0]


async def test_a_bug_in_one_wait_is_not_waited_out() -> None:
    poller: Any = Poller({"1": 0.013})
    with pytest.raises(RuntimeError, match="a bug"):
        await waiting.wait_for_some(poller, window(3), 15, 3)


def test_the_window_travels_in_a_short_form() -> None:
    for item in window(2):
        assert waiting.WindowItem.of(item.to_list()) == item
