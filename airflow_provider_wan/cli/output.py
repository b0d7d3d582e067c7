"""How the commands print: tables for people as Airflow's own commands do, JSON with its numbers for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any


def show(data: Any, output: str) -> None:
    """Print a list of flat dicts (any JSON value for ``json`` and ``yaml``) in the format asked for."""
    if output == "json":
        # Airflow's console would turn the numbers into texts.
        say(json.dumps(data, ensure_ascii=False, indent=2))
        return
    if output == "yaml":
        import yaml  # type: ignore[import-untyped]

        say(yaml.safe_dump(data, allow_unicode=True, sort_keys=False).rstrip())
        return
    from airflow.cli.simple_table import AirflowConsole

    AirflowConsole().print_as(data, output)


def say(text: object) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{text}\n")


def show_footnotes(title: str, notes: Sequence[str]) -> None:
    """Print numbered notes below a table."""
    if notes:
        say(f"{title}:")
    for number, note in enumerate(notes, 1):
        say(f"  [{number}] {note}")
