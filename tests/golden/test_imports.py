"""Names that DAGs import, and those that Airflow has stored."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from .driving import import_string
from .files import golden

IMPORTS: dict[str, list[str]] = golden("imports.json")
INFO: dict[str, Any] = golden("provider_info.json")
TASKS: dict[str, dict[str, Any]] = {
    task["__var"]["task_id"]: task["__var"] for task in golden("serialized_dag.json")["tasks"]
}
PUBLIC = [name for name, task in TASKS.items() if not task["task_type"].startswith("_")]


@pytest.mark.parametrize("module", IMPORTS)
def test_every_documented_name_can_be_imported(module: str) -> None:
    found = import_module(module)
    assert [name for name in IMPORTS[module] if not hasattr(found, name)] == []


def test_every_error_is_one_of_the_hierarchy_and_has_its_fields() -> None:
    errors = import_module("airflow_provider_wan.client.errors")
    for name in IMPORTS["airflow_provider_wan.client.errors"]:
        error = getattr(errors, name)("what happened", code="c", request_id="r", task_id="t", retryable=True)
        assert isinstance(error, errors.WanError)
        assert (error.code, error.request_id, error.task_id, error.retryable) == ("c", "r", "t", True)
        assert error.message == "what happened"
    assert issubclass(errors.WanRejectedError, errors.WanRequestError)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_serialised_task_is_of_an_operator_that_exists(name: str) -> None:
    task = TASKS[name]
    operator = import_string(f"{task['_task_module']}.{task['task_type']}")
    assert set(operator.template_fields) >= set(task["template_fields"])
    links = {link.name: link.xcom_key for link in operator.operator_extra_links}
    assert links.items() >= task.get("_operator_extra_links", {}).items()


def test_the_provider_is_what_it_was_to_airflow() -> None:
    info = import_module("airflow_provider_wan.get_provider_info").get_provider_info()
    assert info["package-name"] == INFO["package-name"]
    now = {kind["connection-type"]: kind for kind in info["connection-types"]}
    for kind in INFO["connection-types"]:
        found = now[kind["connection-type"]]
        assert found["hook-class-name"] == kind["hook-class-name"]
        assert found["conn-fields"].keys() >= kind["conn-fields"].keys()
        for field, declared in kind["conn-fields"].items():
            schema = found["conn-fields"][field]["schema"]
            assert schema.get("default") == declared["schema"].get("default")
            assert set(schema.get("enum", [])) >= set(declared["schema"].get("enum", []))
    assert set(info["extra-links"]) >= set(INFO["extra-links"])
    for room in ("hooks", "operators", "sensors", "triggers"):
        modules = {name for entry in info[room] for name in entry["python-modules"]}
        assert modules >= {name for entry in INFO[room] for name in entry["python-modules"]}
    assert {entry["python-module"] for entry in info["transfers"]} >= {
        entry["python-module"] for entry in INFO["transfers"]
    }
    assert {entry["name"] for entry in info["task-decorators"]} >= {entry["name"] for entry in INFO["task-decorators"]}


def test_every_class_that_airflow_knows_can_be_imported() -> None:
    paths = [
        *(kind["hook-class-name"] for kind in INFO["connection-types"]),
        *INFO["extra-links"],
        *(entry["class-name"] for entry in INFO["task-decorators"]),
    ]
    for path in paths:
        assert callable(import_string(path)), path
