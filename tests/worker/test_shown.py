"""What a run shows of its video: from the submission on, why it failed, and nothing that could fail the task."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.links.gallery import GENERATION_KEY
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from tests.driving import KEY, Driven, Instance

SECRET = "https://media.example.com/song.mp3?signature=secret"


def driven(instance: Instance | None = None, **given: Any) -> Driven:
    quick = {"task_id": "make", "prompt": "A boat", "poll_interval": 0.1, "timeout": 30, "resolution": "720P"}
    return Driven(lambda: WanTextToVideoOperator(**{**quick, **given}), instance=instance or Instance())


def test_a_submitted_video_is_shown_while_it_is_made(sandbox: Sandbox) -> None:
    run = driven(seed=7, audio_url=SECRET)
    result = run.run()
    shown = run.steps[0].links[GENERATION_KEY]
    assert shown["state"] == "submitted"
    assert {name: shown[name] for name in ("task_id", "model", "mode", "prompt", "seed", "wan_conn_id")} == {
        "task_id": result["task_id"],
        "model": result["model"],
        "mode": "text_to_video",
        "prompt": "A boat",
        "seed": 7,
        "wan_conn_id": "wan_default",
    }
    assert shown["references"] == [{"field": "audio_url", "url": "https://media.example.com/song.mp3"}]
    assert KEY not in str(shown)
    assert "secret" not in str(shown)


@pytest.mark.parametrize(
    ("prompt", "kind", "has_task"),
    [
        ("x [sandbox fail=DataInspectionFailed]", "WanModerationError", True),
        ("x [sandbox reject=400:InvalidParameter]", "WanRejectedError", False),
    ],
)
def test_a_failure_is_shown_with_its_reason(sandbox: Sandbox, prompt: str, kind: str, has_task: bool) -> None:
    run = driven(prompt=prompt)
    with pytest.raises((WanError, AirflowFailException)):
        run.run()
    shown = run.instance.xcoms[GENERATION_KEY]
    assert (shown["state"], shown["error"]["kind"], shown["prompt"]) == ("failed", kind, prompt)
    assert ("task_id" in shown) is has_task
    assert shown["error"]["message"]


def handed_over(prompt: str) -> dict[str, Any]:
    return dict(driven(prompt=prompt, wait_for_completion=False).run())


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_a_sensor_shows_what_it_waits_for_and_why_it_fails(sandbox: Sandbox, is_deferrable: bool) -> None:
    handle = handed_over("x [sandbox seconds=1 fail=InternalError]")
    run = Driven(
        lambda: WanTaskSensor(
            task_id="wait", handle=handle, poke_interval=0.1, timeout=30, deferrable=is_deferrable, retries=1
        )
    )
    with pytest.raises(WanError):
        run.run()
    if is_deferrable:
        first = run.steps[0].links[GENERATION_KEY]
        assert (first["state"], first["task_id"]) == ("submitted", handle["task_id"])
    shown = run.instance.xcoms[GENERATION_KEY]
    assert (shown["state"], shown["task_id"]) == ("failed", handle["task_id"])
    assert (shown["error"]["kind"], shown["error"]["code"]) == ("WanTaskFailed", "InternalError")
    assert shown["mode"] == "text_to_video"


def test_a_sensor_that_is_set_wrongly_says_so(sandbox: Sandbox) -> None:
    run = Driven(lambda: WanTaskSensor(task_id="wait", handle="{{ 'no handle' }}", timeout=30))
    with pytest.raises(AirflowFailException, match="handle"):
        run.run()
    error = run.instance.xcoms[GENERATION_KEY]["error"]
    assert (error["kind"], error["billed"]) == ("WanRequestError", "maybe")


def test_a_transfer_shows_why_the_video_is_not_stored(sandbox: Sandbox) -> None:
    result = driven().run()
    run = Driven(lambda: WanVideoToObjectStorageOperator(task_id="store", result=result, store_to="/dev/null/clip.mp4"))
    with pytest.raises(Exception, match="/dev/null"):
        run.run()
    shown = run.instance.xcoms[GENERATION_KEY]
    assert (shown["state"], shown["task_id"], shown["video_url"]) == ("failed", result["task_id"], result["video_url"])
    assert "/dev/null" in shown["error"]["message"]
    assert shown["error"]["billed"] == "yes"


def test_a_request_that_cannot_be_built_is_shown_too(sandbox: Sandbox) -> None:
    run = driven(prompt="{{ 'x' * 9000 }}", duration="{{ 'long' }}")
    with pytest.raises(Exception, match="duration"):
        run.run()
    shown = run.instance.xcoms[GENERATION_KEY]
    assert shown["error"]["billed"] == "no"
    assert "duration" in shown["error"]["message"]


class Refusing(Instance):
    """Airflow takes no XCom."""

    def xcom_push(self, key: str, value: Any) -> None:
        if key == GENERATION_KEY:
            raise RuntimeError("API_SERVER_ERROR")


def test_a_page_that_cannot_be_told_fails_no_paid_task(sandbox: Sandbox) -> None:
    assert driven(Refusing()).run()["status"] == "succeeded"


def test_without_gallery_nothing_is_shown(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY", "False")
    run = driven(prompt="x [sandbox fail=InternalError]")
    with pytest.raises(WanError):
        run.run()
    assert GENERATION_KEY not in run.instance.xcoms
