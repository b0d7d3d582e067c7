"""Who may import whom: one table of rooms, and nothing that is not in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_wan as package

PACKAGE = "airflow_provider_wan"
ROOT = Path(package.__path__[0])
FILES = sorted(ROOT.rglob("*.py"))

DOES_IO = frozenset({"httpx", "asyncio", "socket", "time", "logging", "threading"})
GROUND = "client.requests client.tasks client.errors client.account client.exchange client.observers client.urls client"
PURE = "client.rules client.vendors client.schedule client.recovery client.costs client.routing"
CLIENT = f"{GROUND} {PURE} client.transport client.polling client.webhooks"
WORKER = f"{CLIENT} durable delivery inputs hooks triggers links telemetry worker worker.failing"


@dataclass(frozen=True)
class Room:
    """What a room may import of the package, and which modules it never imports.

    :param in_calls: rooms that only a function may import, so that a DAG's parse does not.
    """

    imports: str = ""
    never: frozenset[str] = frozenset()
    in_calls: str = ""


NO_AIRFLOW = frozenset({"airflow"})

ROOMS: dict[str, Room] = {
    "": Room(GROUND, DOES_IO | NO_AIRFLOW),
    **dict.fromkeys(GROUND.split(), Room(GROUND, frozenset({"httpx", "asyncio"}) | NO_AIRFLOW)),
    "client.rules": Room(GROUND, DOES_IO | NO_AIRFLOW),
    "client.costs": Room(f"{GROUND} client.rules", frozenset({"httpx", "asyncio"}) | NO_AIRFLOW),
    "client.routing": Room(GROUND, DOES_IO | NO_AIRFLOW),
    "client.vendors": Room(f"{GROUND} client.rules", DOES_IO | NO_AIRFLOW),
    "client.schedule": Room(f"{GROUND} client.vendors", DOES_IO | NO_AIRFLOW),
    "client.recovery": Room(f"{GROUND} client.vendors client.rules", DOES_IO | NO_AIRFLOW),
    "client.transport": Room(f"{GROUND} client.vendors", NO_AIRFLOW),
    "client.polling": Room(f"{GROUND} {PURE} client.transport", NO_AIRFLOW),
    "client.webhooks": Room(f"{GROUND} client.vendors", NO_AIRFLOW),
    "durable": Room(CLIENT, NO_AIRFLOW),
    "delivery": Room(CLIENT),
    "inputs": Room(f"{CLIENT} delivery durable"),
    "telemetry": Room(f"{GROUND} client.costs"),
    "policies": Room(GROUND),
    "hooks": Room(f"{CLIENT} provider telemetry", in_calls="inputs"),
    "triggers": Room(f"{CLIENT} hooks"),
    "worker": Room(f"{WORKER} operators.parameters"),
    "worker.failing": Room(CLIENT),
    "batch": Room(f"{WORKER} operators.parameters"),
    "operators.parameters": Room(f"{GROUND} client.rules client.vendors client.costs", in_calls="policies"),
    **dict.fromkeys(
        ("operators", "sensors", "transfers", "decorators"),
        Room(f"{GROUND} client.rules client.vendors links operators operators.parameters", in_calls="worker batch"),
    ),
    "links": Room(GROUND),
    "plugins": Room(f"{GROUND} delivery links"),
    "provider": Room(),
    "__main__": Room("cli"),
    "cli": Room(f"{CLIENT} hooks batch"),
    "sandbox": Room("sandbox"),
}
"""Rooms are folders or, where one file of a folder is a room of its own, files."""

NOT_YET: frozenset[tuple[str, str]] = frozenset()
"""Arrows (file, room) that are not in the table and are about to go; an entry that holds nothing any more fails."""


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Return the room of a module below the package: the longest name in the table that it begins with."""
    if module == "__main__":
        return "cli"
    if module == "get_provider_info":
        return "provider"
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in ROOMS and (name != "client" or length == len(parts)):
            return name
    return "" if not module else f"(no room: {module})"


@dataclass(frozen=True)
class Arrow:
    file: str
    target: str
    in_call: bool


def imports_of(tree: ast.AST, in_call: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """All imports but those for types alone, and whether only a call carries them out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, in_call
        elif isinstance(node, ast.expr) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            continue
        else:
            yield from imports_of(node, in_call or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def arrows_of(file: Path) -> list[Arrow]:
    found = []
    for node, in_call in imports_of(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{file}: an import that does not name its module in full"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name
                if (ROOT.parent / name.replace(".", "/")).with_suffix(".py").exists()
                or (ROOT.parent / name.replace(".", "/")).is_dir()
                else str(node.module)
                for name in below
            ]
        found += [Arrow(name_of(file), name, in_call) for name in dict.fromkeys(names)]
    return found


@cache
def arrows() -> list[Arrow]:
    """All of the package; read when a test asks, because each of several processes collects all tests."""
    return [arrow for file in FILES for arrow in arrows_of(file)]


def inside(target: str) -> str | None:
    """Return the module below the package that an arrow leads to, if it does."""
    return target[len(PACKAGE) :].lstrip(".") if target == PACKAGE or target.startswith(f"{PACKAGE}.") else None


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_is_in_a_room_of_the_table(file: Path) -> None:
    assert room_of(name_of(file)) in ROOMS


def outside_the_table() -> set[tuple[str, str]]:
    wrong = set()
    for arrow in arrows():
        module = inside(arrow.target)
        if module is None:
            continue
        source, target = room_of(arrow.file), room_of(module)
        room = ROOMS[source]
        allowed = {source, *room.imports.split(), *(room.in_calls.split() if arrow.in_call else ())}
        if target not in allowed:
            wrong.add((arrow.file, target))
    return wrong


def test_no_arrow_leads_out_of_the_table() -> None:
    assert sorted(outside_the_table() - NOT_YET) == []


def test_no_exception_is_kept_that_is_not_needed() -> None:
    assert sorted(NOT_YET - outside_the_table()) == []


def test_no_room_imports_what_it_never_does() -> None:
    wrong = [
        (arrow.file, arrow.target)
        for arrow in arrows()
        if room_of(arrow.file) in ROOMS and arrow.target.split(".")[0] in ROOMS[room_of(arrow.file)].never
    ]
    assert wrong == []


def test_nothing_imports_the_sandbox() -> None:
    assert [
        arrow
        for arrow in arrows()
        if (inside(arrow.target) or "").startswith("sandbox") and not arrow.file.startswith("sandbox")
    ] == []


def test_there_is_no_circle_of_imports() -> None:
    """Of files, as they are imported; what a function imports when it is called closes no circle."""
    graph: dict[str, set[str]] = defaultdict(set)
    for arrow in arrows():
        module = inside(arrow.target)
        if module and not arrow.in_call and module != arrow.file:
            graph[arrow.file].add(module)
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph.get(name, ())):
                walk(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


def test_importing_client_and_durable_loads_no_airflow() -> None:
    modules = [f"{PACKAGE}.{name_of(file)}" for file in FILES if name_of(file).split(".")[0] in ("client", "durable")]
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'airflow'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"
