"""``python -m airflow_provider_wan.sandbox``: the sandbox from the command line."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

# The vendors' real limits (DashScope's: 20 queries and 5 submissions a second), for load tests.
VENDOR_LIMITS = {"query_qps": 20, "submit_qps": 5, "running_limit": 5, "queue_limit": 500, "answer_delay": 0.15}

NO_VIDEOS = (
    "Videos cannot be downloaded here, all else works: to render them, pip install 'airflow-provider-wan[sandbox]'"
)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser; what is not given keeps the default of ``Settings``."""
    line = argparse.ArgumentParser(
        prog="python -m airflow_provider_wan.sandbox",
        description="A local stand-in for DashScope, GCCAI/APIMart, PowerTokens, Freepik/Magnific and servers with "
        "OpenAI's /v1/videos. Nothing is billed; the videos are real test cards. It listens on loopback only.",
        argument_default=argparse.SUPPRESS,
    )
    add = line.add_argument
    add("--port", type=int, default=8765, help="0 takes a free one (default: %(default)s)")
    add("--generation-seconds", metavar="S[:T]", help="how long a generation runs: 2, or 2:6 for a draw in between")
    add("--pending-seconds", type=float, metavar="S", help="how long each waits before it may run (0)")
    add("--running-limit", type=int, metavar="N", help="how many run at once per account and model (5)")
    add("--queue-limit", type=int, metavar="N", help="how many may wait per account and model (500)")
    add("--query-qps", type=float, metavar="N", help="queries a second per account and endpoint; 0 = no limit (0)")
    add("--submit-qps", type=float, metavar="N", help="submissions a second per account and model; 0 = no limit (0)")
    add("--answer-delay", type=float, metavar="S", help="how long each answer takes (0)")
    add("--vendor-limits", action="store_true", help=f"the vendors' real limits: {_limits()}")
    add("--expire-after", type=float, metavar="S", help="life of tasks and result URLs (86400)")
    add("--page-size-max", type=int, metavar="N", help="largest page of a task list (100)")
    add("--render", choices=("full", "small"), help="small: one tiny video per length, for load tests (full)")
    add("--api-key", action="append", dest="api_keys", metavar="K", help="accept this key only; may be repeated")
    late = line.add_mutually_exclusive_group()
    late.add_argument(
        "--late-validation", action="store_true", help="take invalid DashScope bodies and fail the task (default)"
    )
    late.add_argument(
        "--immediate-validation",
        action="store_false",
        dest="late_validation",
        help="refuse invalid DashScope bodies at once, naming the field",
    )
    add("--strict-fields", action="store_true", help="refuse fields that are not documented where they stand")
    add("--seed", type=int, metavar="N", help="seed of all draws (0)")
    add("--drop-answer-rate", type=float, metavar="P", help="share of submissions whose answer is lost (0)")
    add("--task-failure-rate", type=float, metavar="P", help="share of tasks that fail (0)")
    add("--task-failure-code", metavar="CODE", help="the code they fail with (InternalError)")
    add("--set", action="append", type=_setting, dest="more", metavar="NAME=JSON", help="any other setting")
    return line


def _limits() -> str:
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in VENDOR_LIMITS.items())


def _setting(text: str) -> tuple[str, Any]:
    import json

    name, _, value = text.partition("=")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    from airflow_provider_wan.sandbox.server import Sandbox

    given = vars(parser().parse_args(arguments))
    port, more = given.pop("port"), given.pop("more", [])
    if find_spec("av") is None:
        sys.stderr.write(f"{NO_VIDEOS}\n")
    limits = VENDOR_LIMITS if given.pop("vendor_limits", False) else {}
    try:
        sandbox = Sandbox(port, **{**limits, **given, **dict(more)})
        sandbox.serve_forever(_ready)
    except ValidationError as error:
        for problem in error.errors():
            sys.stderr.write(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {port}: {error.strerror or error}\n")
        return 1
    return 0


def _ready(url: str) -> None:
    sys.stdout.write(f"Wan sandbox on {url} (ledger: {url}/sandbox/ledger)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
