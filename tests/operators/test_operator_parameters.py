"""Names, defaults and templates of the operators' parameters, and what is refused while a DAG is parsed."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, BaseOperator, task

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import REQUEST_TYPES
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.parameters import WanLiteralError
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)

OPERATORS: list[type[WanVideoOperator]] = [
    WanTextToVideoOperator,
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanVideoEditOperator,
]
MEDIA = "https://media.example.com"
ENOUGH: dict[type[WanVideoOperator], dict[str, Any]] = {
    WanTextToVideoOperator: {"prompt": "A boat"},
    WanImageToVideoOperator: {"first_frame": f"{MEDIA}/a.png"},
    WanReferenceToVideoOperator: {"prompt": "A boat", "reference_images": [f"{MEDIA}/a.png"]},
    WanVideoEditOperator: {"video": f"{MEDIA}/a.mp4"},
}

COMMON: dict[str, Any] = {
    "model": None,
    "negative_prompt": None,
    "resolution": "1080P",
    "duration": 5,
    "prompt_extend": True,
    "watermark": False,
    "seed": None,
    "generate_audio": None,
    "ratio": None,
    "webhook_url": None,
    "extra_body": None,
    "strict": True,
    "wan_conn_id": "wan_default",
    "deferrable": True,
    "wait_for_completion": True,
    "poll_interval": 15,
    "timeout": timedelta(hours=6),
    "durable": True,
    "regenerate": False,
    "on_changed_request": "resubmit",
    "on_unknown_submission": "fail",
    "cancel_on_kill": True,
    "cancel_on_timeout": True,
    "store_to": None,
    "ledger_path": None,
    "max_cost": None,
    "on_unknown_price": "fail",
    "media": "auto",
    "route": "failover",
    "prefer": None,
}
REQUIRED = inspect.Parameter.empty
OWN: dict[type[WanVideoOperator], dict[str, Any]] = {
    WanTextToVideoOperator: {"prompt": REQUIRED, "audio_url": None},
    WanImageToVideoOperator: {
        "first_frame": None,
        "last_frame": None,
        "first_clip": None,
        "driving_audio": None,
    },
    WanReferenceToVideoOperator: {
        "prompt": REQUIRED,
        "reference_images": None,
        "reference_videos": None,
        "first_frame": None,
        "reference_audios": None,
        "document": None,
        "link": None,
    },
    WanVideoEditOperator: {"video": REQUIRED, "reference_images": None, "audio_setting": None},
}


def named(function: Any) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def make(kind: type[WanVideoOperator], **given: Any) -> WanVideoOperator:
    return kind(task_id="make", **{**ENOUGH[kind], **given})


def broken(kind: type[WanVideoOperator], **given: Any) -> list[str]:
    with pytest.raises(WanLiteralError) as caught:
        make(kind, **given)
    return [violation.field for violation in caught.value.violations]


# -- the contract -----------------------------------------------------------------------------------------


def test_common_parameters_and_their_defaults() -> None:
    assert named(WanVideoOperator.__init__) == {"prompt": None, **COMMON}


@pytest.mark.parametrize("kind", OPERATORS)
def test_own_parameters_of_a_mode(kind: type[WanVideoOperator]) -> None:
    assert named(kind.__init__) == OWN[kind]
    operator = make(kind)
    assert {name: getattr(operator, name) for name in COMMON} == COMMON


@pytest.mark.parametrize("kind", OPERATORS)
def test_required_parameters_are_required(kind: type[WanVideoOperator]) -> None:
    for name, default in OWN[kind].items():
        if default is REQUIRED:
            rest = {key: value for key, value in ENOUGH[kind].items() if key != name}
            with pytest.raises(TypeError, match=name):
                kind(task_id="make", **rest)


@pytest.mark.parametrize("kind", OPERATORS)
def test_everything_of_the_request_is_a_template_field(kind: type[WanVideoOperator]) -> None:
    fields = set(REQUEST_TYPES[kind.mode].model_fields) - {"strict"}
    assert fields <= set(kind.template_fields)
    assert {"wan_conn_id", "regenerate", "store_to"} <= set(kind.template_fields)
    assert len(kind.template_fields) == len(set(kind.template_fields))
    assert set(kind.template_fields_renderers) <= set(kind.template_fields)


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_operator_and_the_request_name_the_same_fields(kind: type[WanVideoOperator]) -> None:
    assert set(make(kind).request_fields()) <= set(REQUEST_TYPES[kind.mode].model_fields)
    missing = set(REQUEST_TYPES[kind.mode].model_fields) - {*named(WanVideoOperator.__init__), *OWN[kind]}
    assert missing == set()


def test_default_args_reach_every_parameter() -> None:
    given = {"resolution": "720P", "prompt": "From the DAG", "audio_url": f"{MEDIA}/a.mp3", "poll_interval": 3}
    with DAG("films", schedule=None, default_args=given):
        operator = WanTextToVideoOperator(task_id="make")
    assert {name: getattr(operator, name) for name in given} == given


@pytest.mark.parametrize("kind", OPERATORS)
def test_airflow_takes_the_operator_into_its_database(kind: type[WanVideoOperator]) -> None:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialization  # type: ignore[attr-defined]
    with DAG("films", schedule=None) as dag:
        make(kind)
    back = Serialization.from_dict(Serialization.to_dict(dag)).get_task("make")
    assert back.template_fields
    assert list(back.extra_links) == ["Generated video"]


# -- literals ---------------------------------------------------------------------------------------------


def test_all_broken_rules_are_told_together() -> None:
    with pytest.raises(WanLiteralError) as caught:
        WanTextToVideoOperator(
            task_id="make",
            prompt="",
            duration=99,
            resolution="4K",
            ratio="5:4",
            seed="many",
            audio_url="ftp://example.com/a.mp3",
            on_changed_request="resubmitt",  # type: ignore[arg-type]
            on_unknown_submission="ask",  # type: ignore[arg-type]
            poll_interval=0,
            timeout=timedelta(0),
        )
    assert sorted(violation.field for violation in caught.value.violations) == [
        "audio_url",
        "duration",
        "on_changed_request",
        "on_unknown_submission",
        "poll_interval",
        "prompt",
        "ratio",
        "resolution",
        "seed",
        "timeout",
    ]
    assert str(caught.value).startswith("Task 'make' breaks 10 rules as it is written in the DAG:\n  - ")


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        (WanTextToVideoOperator, {"watermark": "perhaps"}, "watermark"),
        (WanTextToVideoOperator, {"duration": True}, "duration"),
        (WanTextToVideoOperator, {"extra_body": {"a": float("nan")}}, "extra_body"),
        (WanTextToVideoOperator, {"model": "wan2.7-i2v"}, "model"),
        (WanTextToVideoOperator, {"timeout": "soon"}, "timeout"),
        (WanTextToVideoOperator, {"timeout": None}, "timeout"),
        (WanImageToVideoOperator, {"first_frame": None}, "first_frame, last_frame, first_clip"),
        (WanReferenceToVideoOperator, {"reference_images": []}, "reference_images, reference_videos"),
        (WanReferenceToVideoOperator, {"prompt": "Image 2 dances"}, "prompt"),
        (WanReferenceToVideoOperator, {"reference_images": [{"uri": "x"}]}, "reference_images.0.url"),
        (WanVideoEditOperator, {"audio_setting": "mute"}, "audio_setting"),
        (WanVideoEditOperator, {"duration": 11}, "duration"),
    ],
)
def test_a_broken_rule_names_its_field(kind: type[WanVideoOperator], given: dict[str, Any], field: str) -> None:
    found = broken(kind, **given)
    assert any(name.startswith(field.split(",")[0]) for name in found), found


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (WanTextToVideoOperator, {"prompt": "{{ params.prompt }}", "duration": "{{ params.seconds }}"}),
        (WanTextToVideoOperator, {"model": "{{ params.model }}", "ratio": "21:9", "duration": 30}),
        (WanTextToVideoOperator, {"timeout": 60, "poll_interval": "{{ params.poll }}", "seed": 0}),
        (WanTextToVideoOperator, {"model": "wan3.0", "duration": -1, "ratio": "adaptive", "generate_audio": True}),
        (WanTextToVideoOperator, {"model": "nobodys-1.0", "resolution": "8K", "duration": 60}),
        (WanImageToVideoOperator, {"first_frame": "{% if x %}{{ x }}{% endif %}"}),
        (WanReferenceToVideoOperator, {"reference_images": "{{ ti.xcom_pull('a') }}", "prompt": "Image 3 dances"}),
        (WanReferenceToVideoOperator, {"duration": 12, "reference_videos": "{{ params.clips }}"}),
        (WanVideoEditOperator, {"video": "{{ params.video }}", "duration": 0}),
    ],
)
def test_what_only_the_run_knows_is_not_judged(kind: type[WanVideoOperator], given: dict[str, Any]) -> None:
    make(kind, **given)


def test_literals_beside_templates_are_judged() -> None:
    assert broken(WanTextToVideoOperator, prompt="{{ x }}", duration=99) == ["duration"]
    assert broken(WanReferenceToVideoOperator, reference_images="{{ x }}", prompt="Image 3", seed=-5) == ["seed"]


def test_the_output_of_another_task_is_not_judged() -> None:
    with DAG("films", schedule=None):

        @task
        def choose() -> dict[str, Any]:
            return {}

        chosen = choose()
        first = WanTextToVideoOperator(task_id="first", prompt=chosen["prompt"], duration=chosen["seconds"])
        clip = first.output["video_url"]
        second = WanImageToVideoOperator(task_id="second", first_clip=clip, extra_body={"a": [clip]})
        third = WanReferenceToVideoOperator(task_id="third", prompt="Video 2 sings", reference_videos=[clip, clip])
        assert broken(WanImageToVideoOperator, first_clip=clip, duration=99) == ["duration"]
    assert first.upstream_task_ids == {"choose"}
    assert second.upstream_task_ids == {"first"}
    assert third.upstream_task_ids == {"first"}


def test_not_strict_lets_limits_pass_but_not_nonsense() -> None:
    loose: Any = {"duration": 99, "resolution": "4K", "ratio": "5:4", "strict": False}
    assert make(WanTextToVideoOperator, **loose).strict is False
    assert broken(WanTextToVideoOperator, **loose, audio_url="ftp://example.com/a.mp3") == ["audio_url"]


# -- mapped -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Task mapped_too was never mapped", "ignore:Task 'mapped_too' was never mapped")
def test_partial_knows_every_parameter() -> None:
    with DAG("films", schedule=None):
        mapped = WanReferenceToVideoOperator.partial(
            task_id="mapped", prompt="Image 1", **{name: value for name, value in COMMON.items() if value is not None}
        ).expand(reference_images=[[f"{MEDIA}/a.png"], [f"{MEDIA}/b.png"]])
        assert mapped.partial_kwargs["resolution"] == "1080P"
        with pytest.raises(TypeError, match="promt"):
            WanTextToVideoOperator.partial(task_id="wrong", promt="x")
        with pytest.raises(TypeError, match="promt"):
            WanTextToVideoOperator.partial(task_id="mapped_too").expand(prompt=["x"], promt=["x"])


def test_a_mapped_task_with_a_bad_value_is_not_retried() -> None:
    with DAG("films", schedule=None):
        mapped = WanTextToVideoOperator.partial(task_id="mapped").expand_kwargs([{"prompt": "x", "duration": 99}])
        with pytest.raises(AirflowFailException, match="duration") as caught:
            mapped.unmap({"prompt": "x", "duration": 99})
    assert isinstance(caught.value, WanRequestError)
    assert isinstance(mapped.unmap({"prompt": "x", "duration": 9}), BaseOperator)
