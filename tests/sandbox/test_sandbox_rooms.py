"""The rooms of the sandbox import downwards only, and nothing of the provider."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_wan.sandbox as package

ROOT = Path(package.__path__[0])
PREFIX = "airflow_provider_wan.sandbox."
# Room to the rooms that it may use; a file beside the rooms may use all of them.
BELOW = {
    "settings": set(),
    "world": {"settings"},
    "video": {"settings", "world"},
    "front": {"settings", "world", "video"},
    "vendors": {"settings", "world", "video", "front"},
}
FILES = sorted(ROOT.rglob("*.py"))


def imported(file: Path) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    assert not any(node.level for node in nodes), "imports are written in full"
    return {str(node.module) for node in nodes if str(node.module).startswith("airflow_provider_wan")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_import_downwards(file: Path) -> None:
    names = imported(file)
    assert {name for name in names if not (name + ".").startswith(PREFIX)} == set()
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if room in BELOW:
        used = {name.removeprefix(PREFIX).split(".")[0] for name in names} - {room}
        assert used <= BELOW[room]


@pytest.mark.parametrize("room", BELOW)
def test_every_room_says_what_it_is_for(room: str) -> None:
    file = ROOT / room / "__init__.py" if (ROOT / room).is_dir() else ROOT / f"{room}.py"
    assert ast.get_docstring(ast.parse(file.read_text("utf-8")))


def test_no_file_is_needed_by_what_it_needs() -> None:
    graph = {}
    for file in FILES:
        place = file.relative_to(ROOT).with_suffix("")
        name = PREFIX + ".".join(place.parts).removesuffix(".__init__")
        graph[name] = imported(file)
    state: dict[str, str] = {}

    def visit(name: str) -> None:
        assert state.get(name) != "open", f"{name} needs itself"
        if name in state or name not in graph:
            return
        state[name] = "open"
        for other in graph[name]:
            visit(other)
        state[name] = "done"

    for name in graph:
        visit(name)
