"""``airflow wan``: Airflow's parser knows it, and other commands do not pay for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_wan.cli.options import COMMANDS

pytestmark = pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"),
    reason="this Airflow takes no commands from providers",
)

PROBE = """
import json, sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_provider_wan.cli.definition import get_wan_cli_commands
(group,) = get_wan_cli_commands()
commands = {action.name: [flag for arg in action.args for flag in arg.flags] for action in group.subcommands}
print(json.dumps([commands, sorted(set(sys.modules) - before)]))
"""


def test_the_definition_imports_nothing_that_airflow_has_not() -> None:
    said = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=120)
    commands, loaded = json.loads(said.stdout.splitlines()[-1])
    assert set(loaded) - {"airflow_provider_wan"} == {
        "airflow_provider_wan.cli",
        "airflow_provider_wan.cli.definition",
        "airflow_provider_wan.cli.options",
    }
    assert list(commands) == [command.name for command in COMMANDS] == ["prices", "estimate"]
    assert "--max-cost" in commands["estimate"]


def test_airflow_runs_the_command(tmp_path: Path) -> None:
    file = tmp_path / "shots.jsonl"
    file.write_text('{"prompt": "A boat", "duration": 5}\n')
    argv = [sys.executable, "-m", "airflow", "wan", "estimate", str(file), "--max-cost", "0.5 USD", "-o", "json"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    )
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["sums"] == [{"amount": 0.75, "currency": "USD"}]
    assert "The video would cost 0.75 USD; max_cost is 0.50 USD" in done.stderr
