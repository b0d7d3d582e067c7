"""One contender in a process of its own: ``python -m benchmarks.fan_out_process NAME``, the job as JSON on stdin.

Prints ``ready`` when everything is imported, and the measurements as JSON in the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from typing import Any

from airflow.sdk import BaseHook

from airflow_provider_wan.client.tasks import TaskHandle
from benchmarks.contenders import budget_of, contender, vendor_of
from benchmarks.contenders.base import Job
from benchmarks.measuring import StallMeter, cpu_seconds
from benchmarks.sandbox_process import KEY, connection


async def warm() -> None:
    """Look up a connection as triggers do: what Airflow imports for the first one is loaded already in a triggerer."""
    os.environ["AIRFLOW_CONN_WARM_UP"] = "http://127.0.0.1"
    await BaseHook.aget_connection("warm_up")


async def measure(name: str, given: dict[str, Any]) -> dict[str, Any]:
    await warm()
    told: dict[str, tuple[str, float]] = {}
    handles = [TaskHandle.of(handle) for handle in given["handles"]]
    subject = contender(name)
    job = Job(
        given["url"],
        KEY,
        handles,
        given["interval"],
        given["ends"],
        lambda task_id, word: told.setdefault(task_id, (word, time.time())) and None,
    )
    # As in a process that has run for a while: what it has imported is no longer new to the collector.
    gc.collect()
    meter = StallMeter()
    ticking = asyncio.create_task(meter.run())
    began, cpu = time.time(), cpu_seconds()
    is_over = True
    try:
        async with asyncio.timeout(given["patience"]):
            await subject.wait(job)
    except TimeoutError:
        is_over = False
    used = cpu_seconds() - cpu
    ticking.cancel()
    return {"told": told, "cpu": used, "seconds": time.time() - began, "is_over": is_over, **meter.report()}


def main() -> None:
    name = sys.argv[1]
    logging.disable(logging.WARNING)
    # The real standard output is for the result; what logs into it, whenever it was set up, goes to standard error.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender(name)
    print("ready", file=result, flush=True)
    given = json.loads(sys.stdin.readline())
    extra = {"queries_per_second": budget_of(name)}
    os.environ["AIRFLOW_CONN_WAN_DEFAULT"] = connection(given["url"], vendor_of(name), **extra)
    report = asyncio.run(measure(name, given))
    print(json.dumps(report), file=result, flush=True)
    # Threads may still wait for an answer or for a vendor that has nothing more to say.
    os._exit(0)


if __name__ == "__main__":
    main()
