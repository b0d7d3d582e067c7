"""What README and docs show is run: Python blocks, JSON and CSV rows, shell commands, links, field tables."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_wan.batch.items import build_items
from airflow_provider_wan.client.vendors import vendor_of
from airflow_provider_wan.hooks.account import EXTRA_FIELDS
from airflow_provider_wan.sandbox.__main__ import parser as sandbox_parser
from airflow_provider_wan.sandbox.world.directives import parse as read_directives

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def blocks(page: Path, *kinds: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text()) if kind in kinds]


def of_all_pages(*kinds: str) -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(blocks(page, *kinds), 1):
            yield pytest.param(text, id=f"{page.name}-{number}")


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES if blocks(page, "python")])
def test_python_blocks_run_one_after_another(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {"__name__": "docs"}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), names)
    for dag in (value for value in names.values() if isinstance(value, DAG)):
        assert dag.tasks


@pytest.mark.parametrize("text", list(of_all_pages("python")))
def test_python_blocks_import_only_what_they_use(text: str) -> None:
    tree = ast.parse(text)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__"
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported <= used


@pytest.mark.parametrize("text", list(of_all_pages("json")))
def test_json_blocks_are_json(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("text", [*of_all_pages("jsonl"), *of_all_pages("csv")])
def test_batch_rows_are_accepted(text: str) -> None:
    rows: list[Any]
    if text.startswith("{"):
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(io.StringIO(text))]
    items = build_items(rows, {}, vendor_of("dashscope"), ()).items
    assert len(items) == len(rows)


@pytest.mark.parametrize("text", list(of_all_pages("bash")))
def test_shell_blocks_name_what_exists(text: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9.-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets
        if "airflow_provider_wan.sandbox" in words:
            sandbox_parser().parse_args(words[words.index("airflow_provider_wan.sandbox") + 1 :])
        for word in words:
            name, _, value = word.partition("=")
            if name.startswith("AIRFLOW_CONN_"):
                connection = json.loads(value)
                assert connection["conn_type"] == "wan"
                assert set(connection.get("extra", {})) <= set(EXTRA_FIELDS)


def test_make_targets_in_the_text_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9.-]*)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z][a-z0-9.-]*)`", page.read_text()):
            assert target in targets, f"{page.name}: make {target}"


def test_prompt_orders_in_the_text_are_understood() -> None:
    found = 0
    for page in PAGES:
        for mark in re.findall(r"\[sandbox [^\]…]*\]", page.read_text()):
            read_directives(mark)
            found += 1
    assert found > 5


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in {slug(title) for title in HEADING.findall(file.read_text())}, link


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
