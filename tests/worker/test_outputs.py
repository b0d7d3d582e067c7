"""Which keys of a result are XComs of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

from airflow_provider_wan.decorators.wan_video import wan_video_task
from airflow_provider_wan.operators.wan import WanImageToVideoOperator, WanTextToVideoOperator
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator
from airflow_provider_wan.worker.outputs import push_own
from tests.driving import Instance

RESULT = {
    "task_id": "t-1",
    "video_url": "https://x/v.mp4",
    "uri": "s3://b/v.mp4",
    "seed": 7,
    "model": "m",
    "cost": None,
}
USUAL = {"task_id", "video_url", "uri"}


@task
def publish(*values: Any) -> None:
    """Takes whatever it is given."""


def pushed(operator: Any, result: dict[str, Any] | None = None) -> set[str]:
    instance = Instance()
    push_own(operator, {"ti": instance}, RESULT if result is None else result)
    return set(instance.xcoms)


def video(**kwargs: Any) -> WanTextToVideoOperator:
    return WanTextToVideoOperator(task_id="video", prompt="a fox", **kwargs)


def seeds_in_a_template(op: Any) -> None:
    BashOperator(task_id="shell", bash_command="echo {{ ti.xcom_pull('video', key='seed') }}")


def seeds_in_a_text(op: Any) -> None:
    BashOperator(task_id="shell", bash_command=f"echo {op.output['seed']}")


def seeds_in_an_argument(op: Any) -> None:
    publish(op.output["seed"])


def seeds_deep_inside(op: Any) -> None:
    BashOperator(task_id="shell", bash_command="true", env={"A": [op.output["seed"]]})  # type: ignore[dict-item]


def seeds_of_an_operators_mapping(op: Any) -> None:
    WanImageToVideoOperator.partial(task_id="next", seed=op.output["seed"]).expand(prompt=["a", "b"])


def nothing(op: Any) -> None:
    publish(op.output["video_url"], op.output)


def another_task(op: Any) -> None:
    BashOperator(task_id="shell", bash_command="echo {{ ti.xcom_pull('other', key='seed') }}")


@pytest.mark.parametrize(
    ("rest", "more"),
    [
        (nothing, set()),
        (another_task, set()),
        (seeds_in_a_template, {"seed"}),
        (seeds_in_a_text, {"seed"}),
        (seeds_in_an_argument, {"seed"}),
        (seeds_deep_inside, {"seed"}),
        (seeds_of_an_operators_mapping, {"seed"}),
    ],
)
def test_the_usual_keys_and_those_that_the_dag_names(rest: Callable[[Any], None], more: set[str]) -> None:
    with DAG("films", schedule=None):
        op = video()
        rest(op)
    assert pushed(op) == USUAL | more


def test_a_key_that_a_mapped_tasks_dag_names() -> None:
    with DAG("films", schedule=None):
        clips = WanTextToVideoOperator.partial(task_id="video").expand(prompt=["a", "b"])
        publish(clips.output["seed"])
    assert pushed(clips.unmap({"prompt": "a"})) == USUAL | {"seed"}


def test_what_is_not_in_the_result_is_not_pushed() -> None:
    with DAG("films", schedule=None):
        op = video()
        publish(op.output["nonsense"])
    assert pushed(op, {"task_id": "t-1", "model": "m"}) == {"task_id"}


@pytest.mark.parametrize("wish", [True, False])
def test_a_wish_leaves_it_to_airflow(wish: bool) -> None:
    with DAG("films", schedule=None):
        op = video(multiple_outputs=wish)
    assert pushed(op) == set()
    assert op.multiple_outputs is wish


def test_no_xcoms_means_none() -> None:
    with DAG("films", schedule=None):
        op = video(do_xcom_push=False)
    assert pushed(op) == set()


def test_all_kinds_of_operators_do_so() -> None:
    with DAG("films", schedule=None):
        sensor = WanTaskSensor(task_id="wait", handle="{{ 1 }}")
        transfer = WanVideoToObjectStorageOperator(task_id="store", result="{{ 1 }}", store_to="file:///tmp/x/")
    for operator in (sensor, transfer):
        assert operator.multiple_outputs is False
        assert pushed(operator) == USUAL


@pytest.mark.parametrize("wish", [True, False])
def test_the_annotation_of_a_decorated_function_is_no_wish(wish: bool) -> None:
    with DAG("films", schedule=None):

        @wan_video_task(**({"multiple_outputs": True} if wish else {}))
        def shot() -> dict[str, Any]:
            return {"prompt": "a fox"}

        operator = shot().operator  # type: ignore[attr-defined]
    assert operator.multiple_outputs is wish
    assert pushed(operator) == (set() if wish else USUAL)
