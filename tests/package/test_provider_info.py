"""What Airflow is told about the provider, and what it makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import task
from jsonschema import Draft7Validator

from airflow_provider_wan.client.vendors import DEFAULT_VENDOR, VENDOR_NAMES
from airflow_provider_wan.client.vendors.dashscope.vendor import DEFAULT_REGION, REGIONS
from airflow_provider_wan.get_provider_info import get_provider_info
from airflow_provider_wan.hooks.wan import WanHook

SHIPPED = Path(airflow.__file__).parent
INFO = get_provider_info()
(KIND,) = INFO["connection-types"]
FIELDS: dict[str, Any] = KIND["conn-fields"]


def test_info_follows_the_schema_that_airflow_reads() -> None:
    schema = json.loads((SHIPPED / "provider_info.schema.json").read_text())
    assert list(Draft7Validator(schema).iter_errors(INFO)) == []


def test_info_follows_the_strict_schema_of_providers() -> None:
    # The properties that belong to a release of Airflow's own providers (versions, state) are not ours to have.
    schema = json.loads((SHIPPED / "provider.yaml.schema.json").read_text())
    ours = schema | {"required": ["name", "package-name", "description"]}
    assert "connection-types" in schema["properties"]
    # Commands came with Airflow 3.2; before, their key is passed over.
    known = INFO if "cli" in schema["properties"] else {name: INFO[name] for name in INFO if name != "cli"}
    assert list(Draft7Validator(ours).iter_errors(known)) == []


def test_the_form_is_declared() -> None:
    properties = json.loads((SHIPPED / "provider.yaml.schema.json").read_text())["properties"]
    if "conn-fields" not in properties["connection-types"]["items"]["properties"]:
        pytest.skip("this Airflow knows no declared forms")
    strict = properties["connection-types"]["items"]
    assert list(Draft7Validator(strict).iter_errors(KIND)) == []
    # Airflow 3.3 knows hook-name too.
    assert set(KIND) <= {*strict["properties"], "hook-name"}


def test_choices_are_the_lists_of_the_code() -> None:
    vendor, region = FIELDS["vendor"]["schema"], FIELDS["region"]["schema"]
    assert (tuple(vendor["enum"]), vendor["default"]) == (VENDOR_NAMES, DEFAULT_VENDOR)
    assert (tuple(region["enum"]), region["default"]) == (REGIONS, DEFAULT_REGION)


def test_the_form_names_vendors_as_people_know_them() -> None:
    """Two are known by older or by newer names than those of the choice."""
    assert all(name in FIELDS["vendor"]["description"] for name in ("GCCAI/APIMart", "Freepik/Magnific"))


def test_the_hook_says_the_same() -> None:
    assert (WanHook.conn_type, WanHook.hook_name) == (KIND["connection-type"], KIND["hook-name"])
    assert KIND["hook-class-name"] == f"{WanHook.__module__}.{WanHook.__qualname__}"
    assert (WanHook.conn_name_attr, WanHook.default_conn_name) == ("wan_conn_id", "wan_default")


def test_every_named_module_and_class_exists() -> None:
    for room in ("hooks", "operators", "sensors", "triggers"):
        for entry in INFO[room]:
            for module in entry["python-modules"]:
                import_module(module)
    for entry in INFO["transfers"]:
        import_module(entry["python-module"])
    for path in [*INFO["extra-links"], *(entry["class-name"] for entry in INFO["task-decorators"])]:
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


# -- as the installed package -----------------------------------------------------------------------------


# Newer Airflows split the manager in two and warn at each look into the old one.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager")


@pytest.fixture(scope="module")
def manager() -> ProvidersManager:
    return ProvidersManager()


def test_airflow_finds_the_provider(manager: ProvidersManager) -> None:
    assert manager.providers["airflow-provider-wan"].data["package-name"] == "airflow-provider-wan"


def test_airflow_finds_the_connection_type(manager: ProvidersManager) -> None:
    hook = manager.hooks["wan"]
    assert hook is not None
    assert hook.hook_class_name == "airflow_provider_wan.hooks.wan.WanHook"
    assert hook.hook_name == "Wan video generation"
    assert hook.connection_id_attribute_name == "wan_conn_id"
    assert hook.connection_testable


def test_airflow_finds_the_link(manager: ProvidersManager) -> None:
    assert "airflow_provider_wan.links.wan.WanVideoLink" in manager.extra_links_class_names


def test_airflow_finds_the_decorator() -> None:
    assert callable(task.wan_video)


FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "wan"]
print(form.model_dump_json())
"""


def test_the_form_in_the_ui() -> None:
    """What the API server, a process of its own, hands to the UI: before declared forms came and since."""
    said = subprocess.run([sys.executable, "-c", FORM], capture_output=True, text=True, check=True, timeout=120)
    form = json.loads(said.stdout.splitlines()[-1])
    assert form["hook_name"] == "Wan video generation"
    shown = form["extra_fields"]
    assert list(shown) == list(FIELDS)
    assert tuple(shown["vendor"]["schema"]["enum"]) == VENDOR_NAMES
    assert shown["vendor"]["value"] == DEFAULT_VENDOR
    assert set(REGIONS) <= set(shown["region"]["schema"]["enum"])
    assert shown["workspace_id"]["schema"]["title"] == "Workspace id (DashScope)"
    standard = form["standard_fields"]
    assert standard["password"]["title"] == "API key"
    assert [name for name in ("login", "port", "url_schema", "host") if (standard[name] or {}).get("hidden")] == [
        "login",
        "port",
        "url_schema",
    ]
