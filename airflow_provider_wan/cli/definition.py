"""The commands as Airflow's parser takes them (provider metadata ``cli``, Airflow 3.2 and newer).

This module is imported whenever an ``airflow`` command starts, so it imports nothing that Airflow has not yet.
"""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_wan.cli.options import COMMANDS, GROUP, GROUP_HELP


def get_wan_cli_commands() -> list[GroupCommand]:
    """Return the group ``airflow wan``."""
    actions = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=lazy_load_command(command.function),
            args=tuple(Arg(option.flags, **option.details) for option in command.options),
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=GROUP, help=GROUP_HELP, subcommands=actions)]
