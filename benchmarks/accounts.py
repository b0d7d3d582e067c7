"""200 generations over 1, 2 and 4 accounts, each with DashScope's own limits: is the throughput the sum of the quotas?

``python -m benchmarks.accounts``, about five minutes; ``--faults`` has one account of five without money, one whose key
is refused, one that is throttled, one that loses a tenth of its answers and one that goes away in the middle.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import homes
from benchmarks.page import number, table
from benchmarks.results import save
from benchmarks.sandbox_process import REAL_LIMITS, SandboxProcess

ITEMS = 200
SECONDS = 6
RUNNING = 5
ACCOUNTS = (1, 2, 4)


def key_of(name: str) -> str:
    return f"sk-bench-{name}-4dd1f0c97a"


def connect(url: str, names: list[str]) -> None:
    for name in names:
        found = {"conn_type": "wan", "host": url, "password": key_of(name), "extra": {"vendor": "dashscope"}}
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(found)


def batch_over(names: list[str], items: int, folder: Path) -> Any:
    from airflow_provider_wan.operators.batch import WanVideoBatchOperator
    from benchmarks.driver import FileStore, Run

    make = functools.partial(
        WanVideoBatchOperator,
        task_id="make",
        requests=[{"prompt": f"Shot {index}", "resolution": "720P", "duration": 5} for index in range(items)],
        wan_conn_id=names,
        route="spread",
        max_in_flight=items,
        poll_interval=1,
        timeout=1800,
        manifest_path=f"file://{folder}/manifest.jsonl",
    )
    return Run(make, FileStore(folder))


def run_batch(accounts: int, items: int) -> dict[str, Any]:
    names = [f"wan_{index}" for index in range(accounts)]
    settings = {"generation_seconds": SECONDS, "running_limit": RUNNING, **REAL_LIMITS}
    with tempfile.TemporaryDirectory() as place, SandboxProcess(**settings) as sandbox:
        folder = Path(place)
        known_at(folder)
        connect(sandbox.url, names)
        result = batch_over(names, items, folder).attempt()
        return measured(sandbox, result) | {"accounts": accounts, "items": items}


def run_faults(items: int) -> dict[str, Any]:
    names = [f"wan_{index}" for index in range(5)]
    settings = {"generation_seconds": SECONDS, "running_limit": RUNNING, "drop_answer_rate": 0.1, "seed": 7}
    with tempfile.TemporaryDirectory() as place, SandboxProcess(**settings, **REAL_LIMITS) as sandbox:
        folder = Path(place)
        known_at(folder)
        connect(sandbox.url, names)
        trouble = {key_of("wan_0"): "unpaid", key_of("wan_1"): "refused", key_of("wan_2"): "throttled"}
        sandbox.configure(account_trouble=trouble)

        def go_away() -> None:
            while not any(task["status"] == "SUCCEEDED" for task in sandbox.tasks()):
                time.sleep(0.5)
            sandbox.configure(account_trouble=trouble | {key_of("wan_3"): "unpaid"})

        threading.Thread(target=go_away, daemon=True).start()
        result = batch_over(names, items, folder).attempt()
        return measured(sandbox, result) | {"accounts": "5, with faults", "items": items}


def known_at(folder: Path) -> None:
    """Keep what is known of accounts within this run."""
    from airflow_provider_wan.worker import known

    known.local_root = lambda: str(folder / "known")  # type: ignore[assignment]
    known.PROCESS.clear()


def measured(sandbox: SandboxProcess, result: dict[str, Any]) -> dict[str, Any]:
    ledger, tasks = sandbox.ledger(), sandbox.tasks()
    billed = {task["task_id"] for task in ledger["billed"]}
    prompts = Counter(task["prompt"] for task in ledger["created"] if task["task_id"] in billed)
    began = min(datetime.fromisoformat(task["created"]) for task in tasks)
    ended = max(datetime.fromisoformat(task["ended"]) for task in tasks if task["ended"])
    return {
        "seconds": (ended - began).total_seconds(),
        "delivered": result["succeeded"],
        "billed": len(billed),
        "twice": sum(count > 1 for count in prompts.values()),
        "submits": ledger["requests"]["dashscope"]["submit"],
        "by_account": {name: figures["counts"] for name, figures in result.get("accounts", {}).items()},
    }


def section(data: dict[str, Any]) -> str:
    """The part of the results page."""
    rows = data["rows"]
    first = rows[0]
    lines = [
        [
            str(row["accounts"]),
            number(row["seconds"], 0),
            number(row["items"] / row["seconds"] * 60, 0),
            f"{first['seconds'] / row['seconds']:.2f}" if isinstance(row["accounts"], int) else "",
            f"{row['delivered']}/{row['items']}",
            str(row["billed"]),
            str(row["twice"]),
            str(row["submits"].get("429", 0)),
        ]
        for row in rows
    ]
    head = ["accounts", "seconds", "videos a minute", "times one", "delivered", "billed", "paid twice", "429s"]
    return "\n\n".join(
        [
            "## Several accounts",
            f"{first['items']} generations of {SECONDS} s in one batch, spread; each account runs {RUNNING} at once "
            "and takes 5 submissions and 20 queries a second. Seconds from the first submission to the last end at the "
            "vendor. With faults: one account without money, one whose key is refused, one throttled, one that goes "
            "away in the middle; a tenth of all answers to submissions is lost.",
            table(head, lines),
        ]
    )


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, default=ITEMS, help="generations (default: %(default)s)")
    line.add_argument("--accounts", type=int, action="append", help="only with so many, and do not save")
    line.add_argument("--faults", action="store_true", help="only the run with faults, and do not save")
    given = line.parse_args(arguments)
    homes.make_own()
    logging.disable(logging.ERROR)
    rows = [run_batch(accounts, given.n) for accounts in given.accounts or (() if given.faults else ACCOUNTS)]
    if not given.accounts:
        rows.append(run_faults(given.n))
    for row in rows:
        print(json.dumps(row), flush=True)
    if given.n == ITEMS and not given.accounts and not given.faults:
        save("accounts", {"rows": rows})


if __name__ == "__main__":
    main()
