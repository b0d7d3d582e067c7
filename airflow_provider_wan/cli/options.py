"""The commands and their options, as data: Airflow's parser and the plain one are built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """One argument, in the words of ``argparse``."""

    flags: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """One command; ``function`` is the path of what it runs."""

    name: str
    help: str
    function: str
    options: tuple[Option, ...]


CONNECTION = Option(
    ("--conn", "--conn-id"), {"dest": "conn_id", "help": "connection whose vendor, region and own prices hold"}
)
VENDOR = Option(
    ("--vendor",), {"help": "vendor, instead of a connection (dashscope, gccai, powertokens, freepik, openai)"}
)
REGION = Option(("--region",), {"help": "region of the account (DashScope)"})
PRICES = Option(("--prices",), {"help": "path or URI of a JSON file of prices that come before the shipped ones"})
OUTPUT = Option(
    ("-o", "--output"),
    {
        "choices": ("table", "json", "yaml", "plain"),
        "default": "table",
        "metavar": "(table, json, yaml, plain)",
        "help": "Output format. Allowed values: json, yaml, plain, table (default: table)",
    },
)
VERBOSE = Option(("-v", "--verbose"), {"action": "store_true", "help": "Make logging output more verbose"})

GROUP = "wan"
GROUP_HELP = "Wan video generation: prices and estimates; nothing is sent to a vendor"
COMMANDS = (
    Command(
        "prices",
        "Show the prices per second of video, with their dates and sources",
        "airflow_provider_wan.cli.commands.prices",
        (
            CONNECTION,
            VENDOR,
            REGION,
            Option(("--model",), {"help": "model, or a pattern such as 'wan2.7-*'"}),
            PRICES,
            OUTPUT,
            VERBOSE,
        ),
    ),
    Command(
        "estimate",
        "Check a file of requests and say what its videos will cost; exit code 2 above --max-cost",
        "airflow_provider_wan.cli.commands.estimate",
        (
            Option(("file",), {"help": "path or URI of a .csv, .jsonl or .json file, as the batch operator takes it"}),
            CONNECTION,
            VENDOR,
            REGION,
            PRICES,
            Option(("--defaults",), {"help": "JSON object of request fields for rows that do not have their own"}),
            Option(("--max-cost",), {"help": 'most that may be paid, such as 100 or "100 USD"'}),
            Option(
                ("--on-unknown-price",),
                {
                    "choices": ("fail", "allow"),
                    "default": "fail",
                    "help": "with --max-cost: what to do where no price is known (default: fail)",
                },
            ),
            OUTPUT,
            VERBOSE,
        ),
    ),
)
