"""Paid and delivered under every fault that the sandbox knows, from the prompt to the file.

Every way gets what Airflow gives each task: four retries. The books of the sandbox say what would have been billed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.tasks import Mode, TaskHandle, utc_now
from airflow_provider_wan.client.transport.client import WanClient
from benchmarks.fault_contenders import WAYS, vendor_of
from benchmarks.homes import environment
from benchmarks.results import save
from benchmarks.sandbox_process import KEY, SandboxProcess

VIDEOS = 20
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|Take \d+|[0-9a-f-]{36}")
"""What differs from video to video in a message."""

AT_ONCE = 5
PATIENCE = 420.0
"""Seconds until a way that still tries is stopped."""


@dataclass(frozen=True)
class Fault:
    """One disturbance: settings of the sandbox, from the start or after some seconds."""

    what: str
    settings: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)
    kills: int = 0
    retry_seconds: float = 1.0
    """Between two attempts; Airflow's default is five minutes."""
    concerns_submit: bool = False


FAULTS = {
    "none": Fault("nothing goes wrong"),
    "answer lost": Fault(
        "a quarter of the submissions make a task, but their answer is lost",
        {"drop_answer_rate": 0.25},
        concerns_submit=True,
    ),
    "never arrived": Fault(
        "a quarter of the submissions are cut off before they make a task",
        {"drop_before_rate": 0.25},
        concerns_submit=True,
    ),
    "500 after create": Fault(
        "a quarter of the submissions make a task and answer 500",
        {"error_after_create_rate": 0.25},
        concerns_submit=True,
    ),
    "429 storm": Fault(
        "half of all calls answer 429", {"error_rates": {call: {"429": 0.5} for call in ("submit", "query", "list")}}
    ),
    "5xx": Fault(
        "503 to 30 % of the submissions, 500 to 40 % of the queries",
        {"error_rates": {"submit": {"503": 0.3}, "query": {"500": 0.4}, "list": {"500": 0.4}}},
    ),
    "malformed": Fault("a quarter of all answers are not the vendor's JSON", {"malformed_rate": 0.25}),
    "outage": Fault("the vendor is gone for 60 s once all tasks run", later={"outage": 60}, retry_seconds=20.0),
    "bad downloads": Fault(
        "of the downloads, 15 break off and 10 are an HTML page", {"truncate_downloads": 15, "html_downloads": 10}
    ),
    "task failures": Fault("a quarter of the tasks fail at the vendor (not billed)", {"task_failure_rate": 0.25}),
    "SIGKILL": Fault(
        "the task's process is killed up to three times at a random moment", kills=3, concerns_submit=True
    ),
}
LATER = 3.0
KILL_WITHIN = 5.0


def cases() -> list[tuple[str, str]]:
    """Gateways are compared where their means of recovery differ."""
    return [
        (fault, way)
        for fault in FAULTS
        for way in WAYS
        if vendor_of(way) == "dashscope" or FAULTS[fault].concerns_submit
    ]


def run_case(case: tuple[str, str]) -> dict[str, Any]:
    name, way = case
    fault = FAULTS[name]
    settings = {"generation_seconds": "3:6", "running_limit": 1000, **fault.settings}
    with tempfile.TemporaryDirectory() as folder, SandboxProcess(**settings) as sandbox:
        given = {
            "url": sandbox.url,
            "folder": folder,
            "n": VIDEOS,
            "patience": PATIENCE,
            "kills": fault.kills,
            "retry_seconds": fault.retry_seconds,
            "kill_within": KILL_WITHIN,
            "seed": 7,
        }
        argv = [sys.executable, "-m", "benchmarks.faults_process", way]
        began = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, env=environment(f"{folder}/home"))
        assert process.stdin is not None
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.close()
        if fault.later:
            threading.Thread(target=_later, args=(sandbox, fault.later), daemon=True).start()
        process.wait(PATIENCE + 60)
        seconds = time.monotonic() - began
        row = {"seconds": seconds, **judged(way, Path(folder), sandbox)}
    print(f"{name:>16} {way:>16}: {row}", flush=True)
    return {"fault": name, "way": way, **row}


def _later(sandbox: SandboxProcess, settings: dict[str, Any]) -> None:
    """Change the settings some seconds after the first task was made."""
    done = threading.Event()
    while not sandbox.tasks():
        done.wait(0.2)
    done.wait(LATER)
    sandbox.configure(**settings)


def judged(way: str, folder: Path, sandbox: SandboxProcess) -> dict[str, Any]:
    """Compare the files with the true video, and both with the books."""
    billed = Counter(entry["prompt"] for entry in sandbox.ledger()["billed"])
    true = _true_video(way, sandbox)
    delivered, damaged, reasons = set(), 0, Counter[str]()
    for index in range(VIDEOS):
        prompt = f"Take {index} of {way}"
        place = folder / str(index)
        video = place / "video.mp4"
        if (place / "done").exists():
            if video.read_bytes() == true:
                delivered.add(prompt)
            else:
                damaged += 1
        elif (place / "failed").exists():
            reasons[MOMENT.sub("...", (place / "failed").read_text())[:200]] += 1
        else:
            reasons["not done in time"] += 1
    return {
        "billed": billed.total(),
        "delivered": len(delivered),
        "twice": billed.total() - len(billed),
        "lost": sum(prompt not in delivered for prompt in billed),
        "damaged": damaged,
        "reasons": dict(reasons),
    }


def _true_video(way: str, sandbox: SandboxProcess) -> bytes | None:
    """Download one finished task's video undisturbed: the sandbox serves the same to all of one length."""
    sandbox.configure(
        error_rates={}, malformed_rate={}, outage=0, truncate_downloads=0, html_downloads=0, drop_answer_rate=0
    )
    billed = sandbox.ledger()["billed"]
    if not billed:
        return None
    task = billed[0]
    account = Account(
        vendor=vendor_of(way), base_url=sandbox.url, api_key=SecretStr(KEY), queries_per_second=10, submits_per_second=1
    )
    handle = TaskHandle(
        vendor=account.vendor,
        task_id=task["task_id"],
        mode=Mode(task["mode"]),
        model=task["model"],
        submitted_at=utc_now(),
    )
    with WanClient(account) as client:
        url = client.get_task(handle).video_url
    # A signed URL refuses a second authorization; the API's own content endpoint asks for one.
    headers = {} if "Signature" in str(url) else {"Authorization": f"Bearer {KEY}"}
    answer = httpx.get(str(url), headers=headers, follow_redirects=True, timeout=60, trust_env=False)
    return answer.raise_for_status().content


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--fault", action="append", choices=FAULTS, help="only these faults, and do not save")
    line.add_argument("--way", action="append", choices=WAYS, help="only these ways, and do not save")
    given = line.parse_args(arguments)
    chosen = [
        case
        for case in cases()
        if (not given.fault or case[0] in given.fault) and (not given.way or case[1] in given.way)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(run_case, chosen))
    if not (given.fault or given.way):
        save("faults", {"rows": rows, "videos": VIDEOS})


if __name__ == "__main__":
    main()
