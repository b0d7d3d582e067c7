"""Each parameter of each operator refuses a wrong literal while the DAG is parsed, and the rendered one in the run."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, BaseOperator

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.decorators.wan_video import _WanVideoDecoratedOperator
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.parameters import RULES, WanLiteralError, read_values
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from tests.driving import Driven

PICTURE = "https://media.example.com/a.png"
HANDLE = {
    "vendor": "dashscope",
    "task_id": "t-1",
    "mode": "text_to_video",
    "model": "wan2.7-t2v",
    "submitted_at": "2026-01-01T00:00:00Z",
}
ENOUGH: dict[type[BaseOperator], dict[str, Any]] = {
    WanTextToVideoOperator: {"prompt": "A boat"},
    WanImageToVideoOperator: {"first_frame": PICTURE},
    WanReferenceToVideoOperator: {"prompt": "A boat", "reference_images": [PICTURE]},
    WanVideoEditOperator: {"video": "https://media.example.com/a.mp4"},
    WanVideoBatchOperator: {"requests": [{"prompt": "A boat"}]},
    WanTaskSensor: {"handle": HANDLE},
    WanVideoToObjectStorageOperator: {"result": HANDLE, "store_to": "/videos/"},
    _WanVideoDecoratedOperator: {"python_callable": lambda: {"prompt": "A boat"}},
}
WRONG: dict[str, list[Any]] = {
    "cancel_on_kill": ["perhaps", 2],
    "cancel_on_timeout": ["perhaps"],
    "deferrable": ["perhaps"],
    "durable": ["perhaps"],
    "fail_if": ["some", 2, -0.1, True, None],
    "handle": [{}, "t-1", {"task_id": "t-1"}, None],
    "item_retries": [-1, 1.5, "two", None, True],
    "manifest_path": ["s3:/bucket/a.jsonl", "s3:///a.jsonl", "None"],
    "max_cost": ["cheap", "-1", -0.5, "5 dollars", "None", True, float("nan"), []],
    "max_in_flight": [0, -5, 1.5, "many", None, float("inf")],
    "media": ["presigned", None],
    "mode": ["txt2vid"],
    "on_changed_request": ["resubmitt", None],
    "on_invalid_row": ["stop", None],
    "on_item_failure": ["stop", None],
    "on_unknown_price": ["alow", None],
    "on_unknown_submission": ["resubmitt", "ask", None],
    "poke_interval": [0, -1, "soon", float("nan")],
    "poll_interval": [0, -1, "soon", None, float("nan"), True],
    "prefer": ["cheap", 1],
    "regenerate": ["perhaps"],
    "result": [{}, "t-1", None],
    "route": ["random", None],
    "store_to": ["s3:/bucket/a.mp4", "://bucket/a.mp4", "s3://", "None", 7],
    "ledger_path": ["s3:/bucket/ledger", "://bucket", "s3://", "None", 7],
    "strict": ["perhaps"],
    "timeout": [0, timedelta(0), timedelta(-1), "soon", None, float("inf")],
    "wait_for_completion": ["perhaps"],
    "wan_conn_id": ["", "  ", None, "None", [], ["wan_a", ""], ["wan_a", "wan_a"], {"a": "wan_a"}],
}


def own(kind: type[BaseOperator]) -> set[str]:
    """The parameters of an operator that are not Airflow's and not the request's."""
    classes = (kind, WanVideoOperator) if issubclass(kind, WanVideoOperator) else (kind,)
    return {name for found in classes for name in inspect.signature(found.__init__).parameters} & RULES.keys()


CASES = [(kind, name, value) for kind in ENOUGH for name in sorted(own(kind)) for value in WRONG[name]]


def make(kind: type[BaseOperator], **given: Any) -> BaseOperator:
    return kind(**{"task_id": "make", **ENOUGH[kind], **given})


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_a_wrong_literal_is_refused_at_parse(kind: type[BaseOperator], name: str, value: Any) -> None:
    with DAG("films", schedule=None), pytest.raises(WanLiteralError) as caught:
        make(kind, **{name: value})
    assert [violation.field for violation in caught.value.violations] == [name]


def test_every_rule_has_wrong_values_and_every_operator_is_judged() -> None:
    assert WRONG.keys() == RULES.keys()
    judged = {kind: own(kind) for kind in ENOUGH}
    assert {"max_in_flight", "on_unknown_submission", "poll_interval"} <= judged[WanVideoBatchOperator]
    assert judged[WanTaskSensor] == {"handle", "wan_conn_id", "deferrable", "poke_interval", "timeout"}
    assert judged[WanVideoToObjectStorageOperator] == {"result", "store_to", "wan_conn_id"}
    assert all(len(judged[kind]) >= 13 for kind in ENOUGH if issubclass(kind, WanVideoOperator))


@pytest.mark.parametrize("kind", ENOUGH)
def test_what_is_right_is_taken(kind: type[BaseOperator]) -> None:
    with DAG("films", schedule=None):
        make(kind)


def test_a_transfer_without_a_place_is_refused() -> None:
    with pytest.raises(WanLiteralError, match="store_to"):
        make(WanVideoToObjectStorageOperator, store_to=None)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("regenerate", "True", True),
        ("regenerate", "", False),
        ("deferrable", "no", False),
        ("max_in_flight", "12", 12),
        ("poll_interval", "2.5", 2.5),
        ("poll_interval", timedelta(seconds=4), 4.0),
        ("poll_interval", 0.001, 0.1),
        ("timeout", "60", timedelta(minutes=1)),
        ("timeout", timedelta(hours=2), timedelta(hours=2)),
        ("fail_if", "0.5", 0.5),
        ("fail_if", "any", "any"),
        ("store_to", " s3://aws_default@bucket/clip.mp4 ", "s3://aws_default@bucket/clip.mp4"),
        ("store_to", "", None),
        ("store_to", "file:///videos/", "file:///videos/"),
        ("wan_conn_id", " wan_a ", "wan_a"),
        ("wan_conn_id", ["wan_a", "wan_b"], ("wan_a", "wan_b")),
        ("wan_conn_id", '["wan_a", "wan_b"]', ("wan_a", "wan_b")),
        ("wan_conn_id", "['wan_a', 'wan_b']", ("wan_a", "wan_b")),
    ],
)
def test_rendered_texts_are_read(name: str, value: Any, meant: Any) -> None:
    found = read_values({name: value})[name]
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("kind", "name", "template"),
    [
        (WanTextToVideoOperator, "poll_interval", "{{ 'soon' }}"),
        (WanTextToVideoOperator, "store_to", "{{ none }}"),
        (WanTextToVideoOperator, "regenerate", "{{ 'perhaps' }}"),
        (WanTextToVideoOperator, "wan_conn_id", "{{ none }}"),
        (WanVideoBatchOperator, "poll_interval", "{{ 'soon' }}"),
        (WanVideoBatchOperator, "max_in_flight", "{{ 0 }}"),
        (WanVideoBatchOperator, "store_to", "{{ none }}"),
        (WanVideoBatchOperator, "manifest_path", "{{ none }}"),
    ],
)
def test_a_wrong_rendered_value_is_refused_before_anything_is_sent(
    sandbox: Sandbox, kind: type[BaseOperator], name: str, template: str
) -> None:
    run = Driven(lambda: make(kind, **{name: template}))
    with pytest.raises(AirflowFailException, match=name):
        run.run()
    assert sandbox.ledger()["requests"] == {}


def test_all_wrong_values_are_named_together() -> None:
    with pytest.raises(WanRequestError) as caught:
        read_values({"poll_interval": "soon", "timeout": None, "durable": True})
    assert [violation.field for violation in caught.value.violations] == ["poll_interval", "timeout"]
