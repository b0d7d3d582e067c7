"""A batch of 3,000 in one Airflow task: how long workers are held, what is written, what is paid.

Time runs twenty times as fast as at the vendor (generations of 3 to 6 s, 80 submissions per second, polls each 0.75 s),
except the provider's own work, which weighs twenty times as much here as in reality.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import homes
from benchmarks.measuring import cpu_seconds
from benchmarks.results import save
from benchmarks.sandbox_process import SandboxProcess, connection

SCALE = 20
ITEMS = 3000
RUNNING = 100
WINDOW = 200
SUBMITS_PER_SECOND = 4 * SCALE
LIMITS = {"submit_qps": 5 * SCALE, "query_qps": 20 * SCALE, "answer_delay": 0.15 / SCALE}


def run_batch(items: int, *, is_stored: bool) -> dict[str, Any]:
    # Airflow may be imported only after its home folder is set, which main() does.
    from airflow_provider_wan.operators.batch import WanVideoBatchOperator
    from benchmarks.driver import FileStore, Run

    settings = {"generation_seconds": "3:6", "running_limit": RUNNING, "queue_limit": 500, **LIMITS}
    with tempfile.TemporaryDirectory() as place, SandboxProcess(**settings) as sandbox:
        folder = Path(place)
        extra = {"queries_per_second": 15 * SCALE, "submits_per_second": SUBMITS_PER_SECOND}
        os.environ["AIRFLOW_CONN_WAN_DEFAULT"] = connection(sandbox.url, "dashscope", **extra)
        rows = folder / "shots.jsonl"
        rows.write_text("".join(json.dumps({"prompt": f"Shot {number}"}) + "\n" for number in range(items)))
        store = FileStore(folder)
        make = functools.partial(
            WanVideoBatchOperator,
            task_id="make",
            requests=f"file://{rows}",
            defaults={"resolution": "720P", "duration": 5},
            max_in_flight=WINDOW,
            poll_interval=15 / SCALE,
            manifest_path=f"file://{folder}/manifest.jsonl",
            store_to=f"file://{folder}/videos" if is_stored else None,
        )
        run = Run(make, store)
        began, cpu = time.monotonic(), cpu_seconds()
        result = run.attempt()
        wall, used = time.monotonic() - began, cpu_seconds() - cpu
        manifest = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
        ledger = sandbox.ledger()
        return {
            "items": items,
            "stored": is_stored,
            "wall": wall,
            "held": run.on_worker,
            "rounds": run.deferrals + 1,
            "cpu": used,
            "billed": len(ledger["billed"]),
            "twice": len(ledger["duplicates"]),
            "delivered": result["succeeded"],
            "in_manifest": len({line["task_id"] for line in manifest if line.get("task_id")}),
            "files": sum(1 for _ in (folder / "videos").glob("*.mp4")) if is_stored else None,
            "writes": store.writes,
            "bytes": store.bytes,
            "largest": store.largest,
            "kept": store.size,
            "xcom": len(json.dumps(result)),
            "requests": ledger["requests"]["dashscope"],
            "submits_per_second": SUBMITS_PER_SECOND,
            "running": RUNNING,
            "scale": SCALE,
        }


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("-n", type=int, default=ITEMS, help="items (default: %(default)s)")
    given = line.parse_args(arguments)
    homes.make_own()
    logging.disable(logging.ERROR)
    rows = []
    for is_stored in (False, True):
        rows.append(run_batch(given.n, is_stored=is_stored))
        print(rows[-1], flush=True)
    if given.n == ITEMS:
        save("batch", {"rows": rows})


if __name__ == "__main__":
    main()
