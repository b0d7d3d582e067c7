"""Every example DAG, run by ``dag.test()`` against the sandbox."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import build_request
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.parameters import is_literal
from airflow_provider_wan.operators.wan import (
    WanImageToVideoOperator,
    WanReferenceToVideoOperator,
    WanTextToVideoOperator,
    WanVideoEditOperator,
)
from airflow_provider_wan.sandbox import Sandbox
from tests.airflow_fixtures import connection_json
from tests.driving import KEY
from tests.storages import s3, s3_server

OPERATORS = (WanTextToVideoOperator, WanImageToVideoOperator, WanReferenceToVideoOperator, WanVideoEditOperator)
MEDIA = "https://media.example.com"

EXAMPLES = Path(__file__).resolve().parents[2] / "dags_examples"
FILES = sorted(path.stem for path in EXAMPLES.glob("*.py"))

BILLED: dict[str, dict[str, int]] = {
    "wan_text_to_video": {"text_to_video": 1},
    "wan_image_to_video": {"image_to_video": 1},
    "wan_reference_to_video": {"reference_to_video": 1},
    "wan_video_edit": {"video_edit": 1},
    "wan_campaign": {"text_to_video": 4},
    "wan_chain": {"text_to_video": 1, "image_to_video": 2},
    "wan_demo": {"text_to_video": 5, "image_to_video": 1, "reference_to_video": 1, "video_edit": 1},
    "wan_decorator": {"text_to_video": 1},
    "wan_sensor": {"text_to_video": 1},
    "wan_store": {"text_to_video": 1},
    "wan_costs": {"text_to_video": 1},
    "wan_product_pictures": {"image_to_video": 3},
}
"""What a run of each example is billed for."""

REFUSED = {
    ("wan_reference_to_video", "powertokens"): {"reference_images[0].voice", "reference_images[1].voice"},
    ("wan_video_edit", "powertokens"): {"mode"},
    ("wan_demo", "powertokens"): {"mode"},
    ("wan_chain", "openai"): {"first_clip"},
    ("wan_picture", "openai"): {"first_clip"},
    ("wan_demo", "openai"): {"video", "mode"},
    ("wan_image_to_video", "openai"): {"last_frame"},
    ("wan_reference_to_video", "openai"): {"mode"},
    ("wan_video_edit", "openai"): {"reference_images", "video"},
}
"""What a vendor cannot take, by name."""


def quickened(dag: DAG) -> DAG:
    """Look at tasks as often as a sandbox finishes them."""
    for task in dag.tasks:
        mapped = getattr(task, "partial_kwargs", None)
        if mapped is not None and issubclass(task.operator_class, WanVideoOperator):
            mapped["poll_interval"] = 0.1
        for name in {"poll_interval", "poke_interval"} & vars(task).keys():
            setattr(task, name, 0.1)
    return dag


@pytest.fixture
def at_vendor(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Move the examples' connection, and nothing else, to another vendor."""
    return lambda vendor: monkeypatch.setenv(
        "AIRFLOW_CONN_WAN_DEFAULT", connection_json(sandbox.base_url(vendor), vendor)
    )


def test_every_file_loads_and_explains_itself(dags: dict[str, DAG]) -> None:
    assert set(FILES) <= set(dags), "each file has a DAG of its own name"
    for name in FILES:
        assert (EXAMPLES / f"{name}.py").read_text().startswith('"""'), name


@pytest.mark.parametrize("name", [name for name in FILES if name in BILLED])
def test_the_example_runs(
    sandbox: Sandbox, runnable: dict[str, DAG], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WAN_STORE", f"file://{tmp_path}")
    run = quickened(runnable[name]).test()
    assert run.state == "success"
    books = sandbox.ledger()
    assert Counter(item["mode"] for item in books["billed"]) == BILLED[name]
    assert len(books["created"]) == len(books["billed"])
    assert books["duplicates"] == []


def test_a_picture_beside_the_dag_becomes_two_stored_clips(
    runnable: dict[str, DAG], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WAN_STORE", f"file://{tmp_path}")
    # Rendered in the asked size: what the sandbox makes small is no clip that the vendor would continue.
    with Sandbox(generation_seconds=0.1, api_keys=[KEY]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_WAN_DEFAULT", connection_json(sandbox.url, "dashscope"))
        run = quickened(runnable["wan_picture"]).test()
        assert run.state == "success"
        first, second = sorted(sandbox.tasks(), key=lambda task: task["created"])
        assert sandbox.ledger()["billed_seconds"] == 13
        assert "harbour.jpg" in str(first["body"])
        assert ".mp4" in str(second["body"])
        given = {item["sha256"] for item in sandbox.uploads()}
    (stored,) = tmp_path.rglob("1.mp4")
    # Byte by byte what lies beside the DAG, and what the first task has stored.
    assert given == {hashlib.sha256(path.read_bytes()).hexdigest() for path in (EXAMPLES / "harbour.jpg", stored)}
    assert {path.name for path in tmp_path.rglob("*.mp4")} == {"1.mp4", "2.mp4"}


@pytest.mark.parametrize("elsewhere", ["gccai", "powertokens", "freepik"])
def test_the_chain_runs_at_any_vendor(
    sandbox: Sandbox, runnable: dict[str, DAG], at_vendor: Callable[[str], None], elsewhere: str
) -> None:
    at_vendor(elsewhere)
    assert quickened(runnable["wan_chain"]).test().state == "success"
    opening, rise, flight = sorted(sandbox.tasks(), key=lambda task: task["created"])
    assert {task["vendor"] for task in (opening, rise, flight)} == {elsewhere}
    assert f"/{opening['task_id']}" in str(rise["body"])
    assert f"/{rise['task_id']}" in str(flight["body"])


def test_an_edit_is_refused_at_powertokens(
    sandbox: Sandbox, runnable: dict[str, DAG], at_vendor: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    at_vendor("powertokens")
    assert runnable["wan_video_edit"].test().state == "failed"
    assert "mode: is not documented by PowerTokens" in capsys.readouterr().out
    assert sandbox.ledger()["requests"] == {}


def test_the_pictures_of_a_bucket_become_clips(
    sandbox: Sandbox, runnable: dict[str, DAG], s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contents = {path.stem: path.read_bytes() for path in (EXAMPLES / "products").glob("*.png")}
    for name, content in contents.items():
        s3.put_object(Bucket="films", Key=f"products/{name}.png", Body=content)
    monkeypatch.setenv("AIRFLOW_VAR_WAN_PICTURES", "s3://my_s3@films/products")
    monkeypatch.setenv("AIRFLOW_VAR_WAN_STORE", f"file://{tmp_path}")
    assert quickened(runnable["wan_product_pictures"]).test().state == "success"
    assert {path.stem for path in tmp_path.rglob("*.mp4")} == set(contents)
    fetched = {item["sha256"] for item in sandbox.uploads()}
    assert fetched == {hashlib.sha256(content).hexdigest() for content in contents.values()}


def is_known(field: str, value: object) -> bool:
    """Whether a field of an example says what a vendor will get."""
    is_file = field == "first_frame" and isinstance(value, str) and "://" not in value
    return isinstance(value, list) or (is_literal(value) and not is_file)


def test_the_examples_suit_every_vendor(dags: dict[str, DAG], vendor: str) -> None:
    """Each request passes each vendor's check, but for what the examples' own texts name."""
    found: dict[tuple[str, str], set[str]] = {}
    for name in FILES:
        for operator in dags[name].tasks:
            if type(operator) not in OPERATORS:
                continue
            # What only a run knows is always an address here, or stands within a prompt; a file beside the DAG
            # becomes one.
            fields = {
                field: value if is_known(field, value) else f"{MEDIA}/clip.mp4"
                for field, value in operator.request_fields().items()
            }
            try:
                vendor_of(vendor).check(build_request(operator.mode, fields))
            except WanRequestError as error:
                found.setdefault((name, vendor), set()).update(item.field for item in error.violations)
    assert found == {key: value for key, value in REFUSED.items() if key[1] == vendor}


def test_the_hook_in_plain_tasks(sandbox: Sandbox, runnable: dict[str, DAG]) -> None:
    assert runnable["hook_in_tasks"].test().state == "success"
    assert len(sandbox.ledger()["billed"]) == 1


def test_the_database_holds_no_key(airflow_database: Path) -> None:
    assert KEY.encode() not in airflow_database.read_bytes()


__all__ = ["s3", "s3_server"]
