"""The client knows nothing of Airflow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_wan.client as package

ROOT = Path(package.__path__[0])
FILES = sorted(ROOT.rglob("*.py"))


def _imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_of_the_client_imports_airflow_or_a_room_above_it(file: Path) -> None:
    above = [
        name
        for name in _imported(file)
        if name.split(".")[0] == "airflow"
        or (name.startswith("airflow_provider_wan") and not name.startswith("airflow_provider_wan.client"))
    ]
    assert above == []


def test_vendor_files_do_no_io() -> None:
    doers = {"httpx", "asyncio", "socket", "time", "logging", "threading"}
    found = {file.name: _imported(file) & doers for file in FILES if file.parent.name == "vendors"}
    assert len(found) >= 6
    assert {name for name, names in found.items() if names} == set()


def test_importing_the_client_does_not_load_airflow() -> None:
    script = (
        "import sys\n"
        "import airflow_provider_wan.client.transport.client, airflow_provider_wan.client.polling.poller\n"
        "import airflow_provider_wan.client.webhooks\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'airflow'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parents[1]
    )
    assert done.stdout.strip() == "[]"
