"""``python -m airflow_provider_wan prices`` and ``… estimate``: the commands where ``airflow wan`` does not exist."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from airflow_provider_wan.cli.options import COMMANDS, GROUP_HELP


def parser() -> argparse.ArgumentParser:
    """Return the parser of the commands that ``airflow wan`` has."""
    top = argparse.ArgumentParser("python -m airflow_provider_wan", description=GROUP_HELP)
    below = top.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        one = below.add_parser(command.name, help=command.help, description=command.help)
        one.set_defaults(function=command.function)
        for option in command.options:
            one.add_argument(*option.flags, **option.details)
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    args = parser().parse_args(argv)
    module, _, name = args.function.rpartition(".")
    getattr(import_module(module), name)(args)


if __name__ == "__main__":
    main()
