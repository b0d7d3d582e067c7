"""Runs of the operators against the sandbox, across every border they cross in Airflow."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import Asset
from PIL import Image

from airflow_provider_wan.client.errors import WanError, WanTaskFailed
from airflow_provider_wan.client.tasks import RESULT_FIELDS, TaskHandle
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.durable import Attempt, Timing
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.worker.settings import RunTimes
from tests.driving import KEY, Driven

MEDIA = "https://media.example.com"
QUICK: dict[str, Any] = {"task_id": "make", "poll_interval": 0.1, "timeout": 30, "resolution": "720P"}


def driven(kind: type[WanVideoOperator] = WanTextToVideoOperator, context: Any = None, **given: Any) -> Driven:
    if kind is WanTextToVideoOperator:
        given = {"prompt": "A paper boat", **given}
    return Driven(lambda: kind(**{**QUICK, **given}), context=context or {})


def body(sandbox: Sandbox) -> dict[str, Any]:
    """The body of the one submission."""
    (task,) = sandbox.tasks()
    found: dict[str, Any] = task["body"]
    return found


# -- the four modes, everywhere ---------------------------------------------------------------------------

MODES: dict[str, tuple[type[WanVideoOperator], dict[str, Any]]] = {
    "text_to_video": (WanTextToVideoOperator, {"prompt": "A boat", "ratio": "16:9"}),
    "image_to_video": (WanImageToVideoOperator, {"first_frame": f"{MEDIA}/fox.png", "prompt": "It smiles"}),
    "reference_to_video": (
        WanReferenceToVideoOperator,
        {
            "prompt": "Video 1 plays Image 1",
            "reference_images": [f"{MEDIA}/guitar.png"],
            "reference_videos": [f"{MEDIA}/actor.mp4"],
        },
    ),
    "video_edit": (
        WanVideoEditOperator,
        {"video": f"{MEDIA}/street.mp4", "prompt": "As a painting", "duration": 0},
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_at_every_vendor(sandbox: Sandbox, vendor: str, mode: str) -> None:
    kind, given = MODES[mode]
    run = driven(kind, **given, wan_conn_id=f"wan_{vendor}")
    refused = {
        ("powertokens", "video_edit"): "mode: is not documented by PowerTokens",
        ("openai", "reference_to_video"): "mode: cannot be expressed",
        ("openai", "video_edit"): "video: is a video that this server made",
    }.get((vendor, mode))
    if refused:
        with pytest.raises(AirflowFailException, match=refused):
            run.run()
        assert sandbox.ledger()["requests"] == {}
        return
    result = run.run()
    assert list(result) == list(RESULT_FIELDS)
    assert (result["vendor"], result["mode"], result["status"]) == (vendor, mode, "succeeded")
    assert result["model"] == {"openai": "wan"}.get(vendor, vendor_of(vendor).default_models[kind.mode])
    assert result["prompt"] == given["prompt"]
    assert result["resolution"] == "720P"
    # Freepik tells neither when a task ended nor how long its video lives.
    for name in ("submitted_at", "url_expires_at") if vendor != "freepik" else ("submitted_at",):
        assert datetime.fromisoformat(result[name]).utcoffset() == timedelta(0), name
    (billed,) = sandbox.ledger()["billed"]
    assert (billed["task_id"], billed["mode"]) == (result["task_id"], mode)


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_waiting_in_the_worker_gives_the_same_result(sandbox: Sandbox, is_deferrable: bool) -> None:
    run = driven(deferrable=is_deferrable, seed=0, duration=4, ratio="9:16")
    result = run.run()
    assert len(run.steps) == is_deferrable
    assert result["video_url"].startswith(sandbox.url)
    assert result["video_urls"] == [result["video_url"]]
    expected = {"duration": 4, "ratio": "9:16", "seed": 0, "resolution": "720P", "prompt": "A paper boat"}
    assert {name: result[name] for name in expected} == expected
    assert result["usage"]
    assert result["request_id"]


def test_every_parameter_is_sent_so_that_no_vendor_default_decides_the_bill(sandbox: Sandbox) -> None:
    driven(resolution="1080P").run()
    assert body(sandbox)["parameters"] == {
        "resolution": "1080P",
        "duration": 5,
        "prompt_extend": True,
        "watermark": False,
    }


def test_returning_the_handle_at_once(sandbox: Sandbox) -> None:
    sandbox.configure(generation_seconds=60)
    run = driven(wait_for_completion=False)
    handle = run.run()
    assert run.steps == []
    assert list(handle) == ["vendor", "task_id", "mode", "model", "submitted_at", "request_id"]
    assert TaskHandle.of(handle).to_dict() == handle
    assert sandbox.ledger()["created"][0]["status"] in ("PENDING", "RUNNING")


# -- templates --------------------------------------------------------------------------------------------


def test_rendered_texts_become_what_they_mean(sandbox: Sandbox) -> None:
    run = driven(
        WanReferenceToVideoOperator,
        {
            "seconds": "8",
            "yes": True,
            "clips": f'["{MEDIA}/a.mp4", {{"url": "{MEDIA}/b.mp4", "voice": "{MEDIA}/b.mp3"}}]',
            "picture": f"{MEDIA}/a.png",
            "nothing": "",
        },
        prompt="Video 2 holds Image 1, {{ seconds }} seconds",
        duration="{{ seconds }}",
        watermark="{{ yes }}",
        prompt_extend="{{ not yes }}",
        seed="{{ 0 }}",
        reference_videos="{{ clips }}",
        reference_images=["{{ picture }}"],
        negative_prompt="{{ nothing }}",
        resolution="{{ '1080p' }}",
        poll_interval="{{ 0.1 }}",
        regenerate="{{ false }}",
    )
    result = run.run()
    assert (result["duration"], result["seed"], result["resolution"]) == (8, 0, "1080P")
    sent = body(sandbox)
    assert sent["parameters"] == {
        "resolution": "1080P",
        "duration": 8,
        "prompt_extend": False,
        "watermark": True,
        "seed": 0,
    }
    assert "negative_prompt" not in sent["input"]
    media = [(item["type"], item["url"], item.get("reference_voice")) for item in sent["input"]["media"]]
    assert sorted(media, key=str) == [
        ("reference_image", f"{MEDIA}/a.png", None),
        ("reference_video", f"{MEDIA}/a.mp4", None),
        ("reference_video", f"{MEDIA}/b.mp4", f"{MEDIA}/b.mp3"),
    ]


def test_optional_numbers_that_render_to_nothing_are_not_given(sandbox: Sandbox) -> None:
    driven(seed="{{ '' }}", generate_audio="{{ '' }}", model="{{ '' }}", ratio=" {{ '' }} ").run()
    sent = body(sandbox)
    assert sent["model"] == "wan2.7-t2v"
    assert "seed" not in sent["parameters"]


@pytest.mark.parametrize("given", [{"duration": "{{ '' }}"}, {"duration": "{{ 'long' }}"}, {"resolution": "{{ 4 }}"}])
def test_rendered_nonsense_is_refused_before_it_is_paid(sandbox: Sandbox, given: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match=next(iter(given))):
        driven(**given).run()
    assert sandbox.ledger()["requests"] == {}


def test_not_strict_warns_and_sends(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    sandbox.configure(late_validation=False)
    handle = driven(strict=False, ratio="{{ '16:9' }}", seed=2**31, wait_for_completion=False)
    with pytest.raises(AirflowFailException, match="seed"):
        handle.run()
    assert sandbox.ledger()["requests"]["dashscope"]["submit"] == {"400": 1}


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_a_refusal_that_comes_late_is_told_after_one_interval_in_the_words_of_the_parameters(
    sandbox: Sandbox, vendor: str, is_deferrable: bool
) -> None:
    given: dict[str, Any] = {"duration": 99, "strict": False}
    says, name = "Duration should be between 2 and 15", "(duration)"
    if vendor != "dashscope":
        field, own = {
            "gccai": ("size", "ratio"),
            "powertokens": ("seconds", "duration"),
            "openai": ("seconds", "duration"),
            "freepik": ("aspect_ratio", "ratio"),
        }[vendor]
        says, name = f"{field} is not valid", f"({field} is the parameter {own})"
        given = {"prompt": f"A boat [sandbox seconds=0.01 fail=InvalidParameter message='{says}']"}
    run = driven(wan_conn_id=f"wan_{vendor}", poll_interval=0.6, deferrable=is_deferrable, **given)
    with pytest.raises(AirflowFailException, match=says) as caught:
        run.run()
    assert name in str(caught.value)
    # A worker that waits itself looks at once, too, which may be too soon.
    looks = sandbox.ledger()["requests"][vendor]["query"]
    assert looks.keys() == {"200"}
    assert 1 <= looks["200"] <= (1 if is_deferrable else 2)


def test_extra_body_is_merged_deeply_and_wins(sandbox: Sandbox) -> None:
    driven(extra_body={"parameters": {"watermark": True, "camera": "{{ 1 }}"}, "input": {"note": "n"}}).run()
    sent = body(sandbox)
    assert sent["parameters"] | {"camera": "1"} == sent["parameters"]
    assert (sent["parameters"]["watermark"], sent["parameters"]["duration"]) == (True, 5)
    assert (sent["input"]["prompt"], sent["input"]["note"]) == ("A paper boat", "n")


def test_extra_body_may_be_rendered_json(sandbox: Sandbox) -> None:
    context = {"more": {"parameters": {"watermark": True}}}
    driven(context=context, extra_body="{{ more | tojson }}").run()
    assert body(sandbox)["parameters"]["watermark"] is True


# -- the triggerer ----------------------------------------------------------------------------------------


def test_what_goes_to_the_triggerer(sandbox: Sandbox) -> None:
    run = driven(prompt="A very private boat", cancel_on_kill=False)
    result = run.run()
    (step,) = run.steps
    assert step.classpath == "airflow_provider_wan.triggers.wan.WanTaskTrigger"
    assert step.kwargs["handle"]["task_id"] == result["task_id"]
    assert set(step.kwargs["handle"]) == {"vendor", "task_id", "mode", "model", "submitted_at", "request_id"}
    assert (step.kwargs["cancel_on_kill"], step.kwargs["cancel_on_timeout"]) == (False, True)
    assert (step.kwargs["wan_conn_id"], step.kwargs["poll_interval"]) == ("wan_default", 0.1)
    assert step.method == "execute_complete"
    for text in (repr(step.kwargs), repr(step.event)):
        assert KEY not in text
        assert "private" not in text
    assert result["prompt"] == "A very private boat"


def test_the_rewritten_prompt_is_in_the_result_but_not_in_the_event(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wan 2.7 tells no rewritten prompt, older models do; the event only says that there is one."""
    run = driven(model="wan2.7-t2v")
    task = WanHook().get_task(run.deferred().trigger.serialize()[1]["handle"])
    event = {"status": "success", "task": task.model_copy(update={"actual_prompt": "Much longer"}).to_event()}
    assert "Much longer" not in repr(event)
    monkeypatch.setattr(
        WanHook, "get_task", lambda self, handle: task.model_copy(update={"actual_prompt": "Much longer"})
    )
    result = run.call("execute_complete", event=event)
    assert (result["prompt"], result["actual_prompt"]) == ("A paper boat", "Much longer")


def test_the_deadline_counts_from_submission_and_the_backstop_comes_later(sandbox: Sandbox) -> None:
    before = datetime.now(UTC)
    deferred = driven(timeout=3600).deferred()
    kwargs = deferred.trigger.serialize()[1]
    deadline = datetime.fromisoformat(kwargs["deadline"])
    submitted = datetime.fromisoformat(kwargs["handle"]["submitted_at"])
    assert deadline == submitted + timedelta(hours=1)
    assert deferred.timeout is not None
    assert before + deferred.timeout > deadline + timedelta(minutes=4)


@pytest.mark.parametrize(("execution", "expected"), [(600, 600 - 30 - 300), (7200, 3600), (400, 400 - 30 - 300)])
@pytest.mark.parametrize("kind", [WanTextToVideoOperator, WanTaskSensor])
def test_the_execution_timeout_counts_from_the_start_of_the_instance_and_ends_a_little_sooner(
    sandbox: Sandbox, kind: Any, execution: int, expected: int
) -> None:
    sandbox.configure(generation_seconds=60)
    now = datetime.now(UTC)
    limits = {"timeout": timedelta(hours=1), "execution_timeout": timedelta(seconds=execution)}
    run = driven(**limits)
    if kind is WanTaskSensor:
        handle = driven(wait_for_completion=False).run()
        run = Driven(lambda: WanTaskSensor(task_id="wait", handle=handle, **limits))
    run.instance.start_date = now - timedelta(minutes=5)
    deadline = datetime.fromisoformat(run.deferred().trigger.serialize()[1]["deadline"])
    assert abs((deadline - now).total_seconds() - expected) < 5


def test_an_airflow_that_names_no_start_counts_from_the_first_step(sandbox: Sandbox) -> None:
    """Airflow before 3.3 names the moment of resumption; the event of a pause knows better."""
    run = driven(timeout=timedelta(hours=1), execution_timeout=timedelta(minutes=20))
    began = datetime.now(UTC) - timedelta(minutes=10)
    run.instance.start_date = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as caught:
        run.call("execute_again", event={"since": began.isoformat(), "record": None})
    deadline = datetime.fromisoformat(caught.value.trigger.serialize()[1]["deadline"])
    assert abs((deadline - began).total_seconds() - (1200 - 30)) < 5


def test_a_foreign_event_fails_for_a_retry_that_adopts(sandbox: Sandbox) -> None:
    run = driven()
    run.deferred()
    for event in ({}, {"status": "gone"}, {"status": "success", "task": {}}, None):
        with pytest.raises(WanError, match="not understood") as caught:
            run.call("execute_complete", event=event)
        assert caught.value.retryable
    assert run.run()["status"] == "succeeded"
    assert len(sandbox.ledger()["created"]) == 1


def test_an_airflow_without_task_state_is_told_once(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    run = driven()
    run.store = None
    assert run.run()["status"] == "succeeded"
    assert len(run.steps) == 1
    assert capsys.readouterr().out.count("This Airflow keeps no task state") == 1


# -- endings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_a_failure_that_may_pass_is_left_to_retries(sandbox: Sandbox, is_deferrable: bool) -> None:
    prompt = "x [sandbox fail=InternalError message=broken]"
    with pytest.raises(WanTaskFailed, match="broken") as caught:
        driven(prompt=prompt, deferrable=is_deferrable).run()
    assert caught.value.code == "InternalError"
    assert caught.value.task_id == sandbox.ledger()["created"][0]["task_id"]


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_moderation_is_final(sandbox: Sandbox, is_deferrable: bool) -> None:
    with pytest.raises(AirflowFailException, match=r"WanModerationError.*DataInspectionFailed"):
        driven(prompt="x [sandbox fail=DataInspectionFailed]", deferrable=is_deferrable).run()


@pytest.mark.parametrize("is_deferrable", [True, False])
@pytest.mark.parametrize(
    ("state", "said"), [("hold", "was cancelled while queued"), ("run-forever", "runs on and will be billed")]
)
def test_the_deadline_cancels_what_can_be_cancelled(
    sandbox: Sandbox, state: str, said: str, is_deferrable: bool
) -> None:
    run = driven(prompt=f"x [sandbox {state}]", timeout=0.5, deferrable=is_deferrable)
    with pytest.raises(WanError, match=said) as caught:
        run.run()
    assert caught.value.retryable
    assert "deadline" in str(caught.value)
    assert len(sandbox.ledger()["cancels"]) == 1


@pytest.mark.parametrize("is_deferrable", [True, False])
def test_a_deadline_may_leave_the_task_alone(sandbox: Sandbox, is_deferrable: bool) -> None:
    run = driven(prompt="x [sandbox hold]", timeout=0.5, deferrable=is_deferrable, cancel_on_timeout=False)
    with pytest.raises(WanError, match="deadline"):
        run.run()
    assert sandbox.ledger()["cancels"] == []


@pytest.mark.parametrize(("cancel_on_kill", "cancels"), [(True, 1), (False, 0)])
def test_a_killed_worker_cancels_what_it_waits_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, cancel_on_kill: bool, cancels: int
) -> None:
    """The worker's own ``on_kill`` comes in the middle of the wait; a person has ended the task."""
    monkeypatch.setattr("airflow_provider_wan.triggers.killed._states", lambda _: ["failed"])
    run = driven(prompt="x [sandbox hold]", deferrable=False, cancel_on_kill=cancel_on_kill, timeout=1)

    def on_query(*_: Any) -> None:
        assert run.operator is not None
        run.operator.on_kill()

    monkeypatch.setattr("airflow_provider_wan.hooks.wan.time.sleep", on_query)
    with pytest.raises(WanError):
        run.run()
    assert [entry["accepted"] for entry in sandbox.ledger()["cancels"]][:cancels] == [True] * cancels
    assert run.operator is not None
    cancels_before = len(sandbox.ledger()["cancels"])
    run.operator.on_kill()
    assert len(sandbox.ledger()["cancels"]) == cancels_before


def test_a_throttled_submission_gives_the_worker_back(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_wan.worker.settings.TIMES", RunTimes(throttled_pause=0.1, submit=0.1))
    sandbox.configure(fail_next=[{"call": "submit", "status": 429, "code": "Throttling.RateQuota", "times": 2}])
    run = driven()
    assert run.run()["status"] == "succeeded"
    assert [step.method for step in run.steps] == ["execute_again", "execute_again", "execute_complete"]
    assert len(sandbox.ledger()["created"]) == 1


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    often = functools.partial(Attempt, timing=Timing(look_again=0.2))
    monkeypatch.setattr("airflow_provider_wan.durable.attempt.Attempt", often)


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("is_kept", [True, False], ids=["3.3", "no-task-state"])
def test_a_lost_answer_is_looked_for_by_the_triggerer(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], is_kept: bool
) -> None:
    run = driven(prompt="A very private boat [sandbox drop-answer seconds=1]")
    if not is_kept:
        run.store = None
    assert run.run()["status"] == "succeeded"
    assert len(sandbox.ledger()["created"]) == 1
    said = capsys.readouterr().out
    assert "The answer of DashScope to the submission was lost" in said
    assert "console" not in said, "nobody has to look there"
    (step,) = run.steps
    assert step.classpath.endswith(".WanSearchTrigger")
    assert step.method == "execute_again"
    assert "private" not in repr((step.kwargs["sought"], step.event["clue"]))
    assert KEY not in repr((step.kwargs, step.event))


@pytest.mark.usefixtures("looks_often")
def test_a_lost_answer_is_looked_for_by_the_worker_that_waits(sandbox: Sandbox) -> None:
    run = driven(prompt="A boat [sandbox drop-answer seconds=0]", deferrable=False)
    assert run.run()["status"] == "succeeded"
    assert run.steps == []
    assert len(sandbox.ledger()["created"]) == 1


def test_a_wrong_key_fails_at_once(sandbox: Sandbox) -> None:
    sandbox.configure(api_keys=["sk-another"])
    with pytest.raises(AirflowFailException, match="WanAuthError") as caught:
        driven().run()
    assert KEY not in str(caught.value)
    assert f"(connection 'wan_default': {sandbox.url})" in str(caught.value)


# -- store_to, outlets ------------------------------------------------------------------------------------


def test_store_to_and_outlets(sandbox: Sandbox, tmp_path: Path) -> None:
    clip = Asset("wan_clip")

    class Event:
        extra: dict[str, Any] = {}

    class Events:
        def __getitem__(self, asset: Asset) -> type[Event]:
            assert asset is clip
            return Event

    run = driven(context={"outlet_events": Events(), "name": "boat"}, outlets=[clip])
    made = run.make
    run.make = lambda: _with(made(), store_to=f"file://{tmp_path}/{{{{ name }}}}.mp4")
    result = run.run()
    assert list(result) == [*RESULT_FIELDS, "uri", "bytes", "sha256"]
    assert (tmp_path / "boat.mp4").stat().st_size == result["bytes"]
    assert Event.extra["uri"] == result["uri"]
    assert Event.extra["task_id"] == result["task_id"]
    assert "video_url" not in Event.extra


def _with(operator: Any, **given: Any) -> Any:
    for name, value in given.items():
        setattr(operator, name, value)
    return operator


# -- the link ---------------------------------------------------------------------------------------------


def link_now(run: Driven) -> str:
    """What Airflow pushes when the task has ended."""
    (link,) = run.operator.operator_extra_links  # type: ignore[union-attr]
    return str(link.get_link(run.operator, ti_key=run.instance))


@pytest.fixture
def without_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WAN__GALLERY", "False")


def test_the_link_leads_to_the_gallery_from_the_submission_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/prod/")
    run = driven()
    run.run()
    page = "https://airflow.example.com/prod/wan-videos/?dag=films&run=manual__1&task=make"
    assert run.steps[0].links["_link_WanVideoLink"] == page
    assert link_now(run) == page


@pytest.mark.usefixtures("without_gallery")
def test_there_is_no_link_until_there_is_something_to_see(sandbox: Sandbox) -> None:
    """No vendor has a page of a task for people: their addresses answer a browser with a raw 401."""
    run = driven()
    result = run.run()
    assert "_link_WanVideoLink" not in run.steps[0].links
    assert run.instance.xcoms["_link_WanVideoLink"] == result["video_url"]
    assert link_now(run) == result["video_url"]


@pytest.mark.usefixtures("without_gallery")
def test_a_failed_task_has_no_link(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    run = driven(prompt="x [sandbox fail=InternalError]")
    with pytest.raises(WanTaskFailed):
        run.run()
    pushed = run.instance.xcoms
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_value", lambda ti_key, key: pushed.get(key))
    assert link_now(run) == ""


def test_a_task_that_submitted_nothing_has_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_value", lambda ti_key, key: None)
    run = driven()
    run.operator = run.rendered()
    assert link_now(run) == ""


def test_an_operator_takes_a_local_picture(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (320, 320)).save(path)
    assert driven(WanImageToVideoOperator, first_frame=str(path)).run()["status"] == "succeeded"
