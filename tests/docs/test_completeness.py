"""Whatever a user can set, meet or look for has its place in the docs."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from airflow_provider_wan.client import errors
from airflow_provider_wan.client.tasks import RESULT_FIELDS
from airflow_provider_wan.client.vendors import VENDOR_NAMES, vendor_of
from airflow_provider_wan.durable import LedgerError, Record
from airflow_provider_wan.get_provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_wan.operators import wan
from airflow_provider_wan.operators.base import WanVideoOperator
from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.sandbox.__main__ import parser as sandbox_parser
from airflow_provider_wan.sandbox.front.control import CHANGES
from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.world.directives import NAMES
from airflow_provider_wan.sensors.wan import WanTaskSensor
from airflow_provider_wan.telemetry.metrics import Metric
from airflow_provider_wan.transfers.wan_to_object_storage import WanVideoToObjectStorageOperator

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_wan"
MODES = [value for value in vars(wan).values() if isinstance(value, type) and issubclass(value, WanVideoOperator)]


OF_SEVERAL_ACCOUNTS = {"running_limit", "queue_limit"}
"""Fields of the connection that a page of their own explains."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def code_in(page: str) -> set[str]:
    """The words that stand in `code` on a page."""
    return {word for span in re.findall(r"`([^`\n]+)`", text_of(page)) for word in re.findall(r"[\w.-]+", span)}


def facts_of_vendors() -> list[str]:
    """The rows and the points of the page about the vendors, each as one line."""
    page = text_of("docs/vendors.md").partition("## What each can do")[2].partition("## Webhooks")[0]
    page = re.sub(r"\n  (?=\S)", " ", page)
    rows = [line for line in page.splitlines() if line.startswith("|") and not line.startswith(("| ---", "| | "))]
    return [row for row in rows if row.split("|")[-2].strip() != "known"] + re.findall(r"^\* .*", page, re.MULTILINE)


@pytest.mark.parametrize("fact", facts_of_vendors(), ids=lambda fact: fact[2:40])
def test_each_fact_about_a_vendor_says_how_it_is_known(fact: str) -> None:
    mark = fact.split("|")[-2].strip() if fact.startswith("|") else fact.rpartition("(")[2].rstrip(")")
    assert re.match(r"(documented|seen|assumed)\b", mark), f"no mark: {fact}"


def test_facts_of_vendors_are_found() -> None:
    """So that a heading with another name does not leave the check above without anything to check."""
    assert len(facts_of_vendors()) >= 40


def parameters(kind: type) -> set[str]:
    named = inspect.signature(kind.__init__).parameters.values()
    return {item.name for item in named if item.kind is item.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "kind", [*MODES, WanTaskSensor, WanVideoToObjectStorageOperator], ids=lambda kind: kind.__name__
)
def test_every_parameter_is_documented(kind: type) -> None:
    assert parameters(kind) <= code_in("docs/operators.md")


def test_every_parameter_of_the_batch_is_documented() -> None:
    assert parameters(WanVideoBatchOperator) <= code_in("docs/batch.md")


@pytest.mark.parametrize("kind", MODES, ids=lambda kind: kind.__name__)
def test_the_table_marks_exactly_the_template_fields(kind: type[WanVideoOperator]) -> None:
    table = text_of("docs/operators.md").split("## Parameters of each mode")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    marks = {name: row[3].strip() == "T" for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert set(kind.template_fields) - set(kind.media_fields) == {
        name for name, is_marked in marks.items() if is_marked
    }


def test_the_table_shows_the_defaults() -> None:
    table = text_of("docs/operators.md").split("## Parameters of each mode")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    shown = {name: row[2].strip().strip("`").strip('"') for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    for name, item in inspect.signature(WanVideoOperator.__init__).parameters.items():
        if name in shown and isinstance(item.default, bool | int | str):
            assert shown[name] == str(item.default), name


def test_every_key_of_the_result_is_named() -> None:
    assert {*RESULT_FIELDS, "uri", "bytes", "sha256"} <= code_in("docs/operators.md")


def test_every_error_is_named() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WanError)]
    names = {kind.__name__ for kind in [*kinds, LedgerError]} - {"WanError"}
    assert names <= code_in("docs/troubleshooting.md")


def test_every_field_of_the_connection_is_documented() -> None:
    assert CONNECTION_FIELDS.keys() <= code_in("docs/connections.md")
    assert code_in("docs/accounts.md") >= OF_SEVERAL_ACCOUNTS


@pytest.mark.parametrize("name", VENDOR_NAMES)
def test_every_vendor_has_its_budget_and_host_in_the_table(name: str) -> None:
    vendor = vendor_of(name)
    row = next(line for line in text_of("docs/connections.md").splitlines() if line.startswith(f"| `{name}`"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[4].split()[0] == f"{vendor.queries_per_second:g}"
    assert cells[5].split()[0] == f"{vendor.submits_per_second:g}"
    assert vendor.default_host in text_of("docs/connections.md")


def test_every_metric_is_explained() -> None:
    assert {str(metric) for metric in Metric} <= {name.removesuffix(".") for name in code_in("docs/monitoring.md")}


def test_every_key_of_the_record_is_explained() -> None:
    assert set(Record.model_fields) - {"version"} <= code_in("docs/durability.md")


def test_every_flag_setting_order_and_change_of_the_sandbox_is_documented() -> None:
    flags = {flag.lstrip("-") for action in sandbox_parser()._actions for flag in action.option_strings} - {"h", "help"}
    words = {word.lstrip("-") for word in code_in("docs/sandbox.md")}
    assert flags <= words
    settings = set(Settings.model_fields) - {flag.replace("-", "_") for flag in flags} - {"api_keys"}
    assert settings <= words
    assert words >= NAMES
    assert set(CHANGES) <= words


def test_the_map_of_files_is_complete_and_true() -> None:
    told = code_in("docs/architecture.md")
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        if place.name.startswith("__") or {"sandbox", "batch", "vendors"} & set(place.parts):
            continue
        if place.parts[0] in ("sensors", "transfers", "decorators", "links"):
            continue
        assert place.name in told or str(place) in told or place.stem in told, place
    for name in told:
        if re.fullmatch(r"\w+\.py", name):
            assert list(PACKAGE.rglob(name)), name


def test_the_table_of_tests_names_every_folder() -> None:
    folders = {path.parent.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("*/test_*.py")}
    table = text_of("docs/architecture.md").split("## Tests")[1]
    named = set(re.findall(r"`tests/(\w+)/`", table))
    assert folders == named


def test_the_registry_file_names_what_exists() -> None:
    modules = set(re.findall(r"module: ([\w.]+)", text_of(".airflow-registry.yaml")))
    for module in modules:
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    info = get_provider_info()
    for kind in ("operators", "hooks", "sensors", "triggers"):
        assert {name for entry in info[kind] for name in entry["python-modules"]} <= modules


def test_the_log_lines_of_the_operations_page_are_those_of_the_code() -> None:
    said = {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    lines = text_of("docs/operations.md")
    told = [
        span
        for row in lines.splitlines()
        if row.startswith("| `")
        for span in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert len(told) > 15
    for line in told:
        for part in re.split(r"…|\d+|[():,;]", line):
            words = part.strip()
            if len(words) > 13:
                assert any(words in text for text in said), f"{words!r} of {line!r}"
