"""The gallery on a run of 1,000 mapped tasks and a batch of 3,000: the API server's work, the browser's memory."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil

from benchmarks.gallery_records import write_records
from benchmarks.homes import environment
from benchmarks.results import save
from tools.airflow_rest import wait_until
from tools.browser import Browser
from tools.databases import Sqlite
from tools.local_airflow import LocalAirflow
from tools.own_folder import own_folder

CHECKOUT = Path(__file__).resolve().parent.parent
DAG, MAPPED, ITEMS, SHOWN = "gallery_many", 1_000, 3_000, 500
POLLS = 20
PLUGIN = """
import sys, time
import airflow.plugins_manager, airflow.providers.common.compat.sdk
before = set(sys.modules)
began = time.perf_counter()
import airflow_provider_wan.plugins.gallery
print((time.perf_counter() - began) * 1000, len([name for name in set(sys.modules) - before if "wan" not in name]))
"""
WATCH = """
addEventListener("DOMContentLoaded", () => new MutationObserver((seen, watcher) => {
  if (document.querySelector(".card")) { window.firstCard = performance.now(); watcher.disconnect(); }
}).observe(document, { childList: true, subtree: true }));
"""
LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
REQUESTS = "return performance.getEntriesByType('resource').map(entry => entry.name)"
SCROLL = """
const done = arguments[0];
const step = () => {
  scrollBy(0, innerHeight);
  if (scrollY + innerHeight >= document.documentElement.scrollHeight - 2) return setTimeout(done, 1500);
  setTimeout(step, 250);
};
step();
"""


def import_of_plugin(home: str) -> dict[str, float]:
    """Import the plugin's module in fresh processes, beyond what a process with plugins has; the best of five."""
    said = [
        subprocess.run(
            [sys.executable, "-c", PLUGIN], env=environment(home), capture_output=True, text=True, check=True
        ).stdout.split()[-2:]
        for _ in range(5)
    ]
    return {"ms": min(float(ms) for ms, _ in said), "modules": min(int(count) for _, count in said)}


def of_server(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    """What the whole run, and a poll with nothing new, cost the API server."""
    server = psutil.Process(airflow.pids("api-server")[0])
    token = httpx.get(f"{airflow.url}/auth/token", trust_env=False).json()["access_token"]
    with httpx.Client(base_url=airflow.url, timeout=120, trust_env=False, cookies={"_token": token}) as client:

        def ask(path: str, times: int, **params: Any) -> dict[str, Any]:
            client.get(path, params=params).raise_for_status()
            before, waits = _cpu(server), []
            for _ in range(times):
                began = time.monotonic()
                answer = client.get(path, params=params)
                waits.append(time.monotonic() - began)
            cpu = (_cpu(server) - before) / times
            wire, size = answer.num_bytes_downloaded, len(answer.content)
            return {"cpu": cpu, "seconds": statistics.median(waits), "wire": wire, "bytes": size}

        videos = f"/wan-videos/api/dags/{DAG}/videos"
        since = client.get(videos, params={"run": run_id}).json()["next"]
        instances = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances"
        value = f"{instances}/mapped/xcomEntries/return_value"
        return {
            "whole": ask(videos, 5, run=run_id),
            "poll": ask(videos, POLLS, run=run_id, since=since),
            "rest_instances": ask(instances, POLLS, limit=50),
            "rest_value": ask(value, POLLS, map_index=7, deserialize=True),
        }


def of_browser(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    """How soon cards are there, which requests they make, what a tab with 500 of them holds beyond an empty one."""
    page = f"{airflow.url}/wan-videos/?dag={DAG}&run={quote(run_id, safe='')}"
    with _signed_in(airflow) as browser:
        browser.open(f"{airflow.url}/wan-videos/static/icon.svg")
        _settle(browser)
        empty = browser.renderer_bytes()
    found: dict[str, Any] = {}
    with _signed_in(airflow) as browser:
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        waits = []
        for _ in range(5):
            browser.open(page)
            first = browser.wait("return window.firstCard", timeout=60)
            waits.append((first - browser.run(LOADED)) / 1000)
        found["first_card"] = statistics.median(waits)
    with _signed_in(airflow) as browser:
        browser.open(f"{page}&by=mapped&size={SHOWN}&sort=order")
        browser.wait(f"return document.querySelectorAll('.card').length === {SHOWN}", timeout=60)
        _settle(browser)
        found["memory_at_first"] = browser.renderer_bytes() - empty
        browser.run_async(SCROLL)
        _settle(browser)
        found["memory_scrolled"] = browser.renderer_bytes() - empty
        names = browser.run(REQUESTS)
        found["requests"] = {kind: sum(f"/{kind}/" in name for name in names) for kind in ("media", "api", "static")}
        found["posters_drawn"] = browser.run("return document.querySelectorAll('.stage img').length")
    return found


@contextmanager
def _signed_in(airflow: LocalAirflow) -> Iterator[Browser]:
    token = httpx.get(f"{airflow.url}/auth/token", trust_env=False).json()["access_token"]
    with Browser() as browser:
        browser.cdp("Network.setCookie", name="_token", value=token, url=airflow.url)
        yield browser


def _settle(browser: Browser) -> None:
    """Wait until the memory stands still."""
    last = 0

    def stands() -> bool:
        nonlocal last
        now = browser.renderer_bytes()
        stands_now, last = abs(now - last) < 1_000_000, now
        return stands_now

    wait_until(stands, 60, "the tab's memory stands still", every=1)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with own_folder(CHECKOUT / ".run", "bench-gallery") as home:
        store = home / "store"
        env = {"AIRFLOW__WAN__GALLERY_ROOTS": f"file://{store}", "PYTHONPATH": str(CHECKOUT)}
        airflow = LocalAirflow(
            home / "airflow",
            [CHECKOUT / "benchmarks" / "dags"],
            env=env,
            components=("api-server", "dag-processor"),
        )
        with airflow:
            run_id = airflow.rest.trigger(DAG)
            airflow.terminate("dag-processor")
            assert isinstance(airflow.database, Sqlite)
            write_records(airflow.database.path, run_id, store, MAPPED, ITEMS)
            found = {
                "server": of_server(airflow, run_id),
                "browser": of_browser(airflow, run_id),
                "plugin": import_of_plugin(str(home)),
            }
    print(found, flush=True)
    save("gallery", {"mapped": MAPPED, "items": ITEMS, "shown": SHOWN, **found})


if __name__ == "__main__":
    main()
