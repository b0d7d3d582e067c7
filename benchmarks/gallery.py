"""The gallery on a run of 1,000 mapped tasks and a batch of 3,000: the API server's work, the browser's memory.

Then the same of videos that lie in an object store, streamed and by redirect, and of those that only the vendor has.
"""

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

from benchmarks.gallery_media import BUCKET, Store, of_redirects, of_streams, store
from benchmarks.gallery_records import beat, clip_in, report, write_records
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
MADE = 20
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
STANDS = 8
"""Seconds."""

KINDS = {"media": "/media/", "api": "/api/", "static": "/static/", "vendor": "clip.mp4?n="}
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


def of_server(airflow: LocalAirflow, run_id: str, folder: Path) -> dict[str, Any]:
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
        assert isinstance(airflow.database, Sqlite)
        database = airflow.database.path
        found = {
            "whole": ask(videos, 5, run=run_id),
            "poll": ask(videos, POLLS, run=run_id, since=since),
            "rest_instances": ask(instances, POLLS, limit=50),
            "rest_value": ask(value, POLLS, map_index=7, deserialize=True),
        }
        beat(database, run_id)
        found["poll_running"] = ask(videos, POLLS, run=run_id, since=since)
        report(database, run_id, folder, ITEMS, MADE)
        found["poll_reporting"] = ask(videos, POLLS, run=run_id, since=since)
        return found


def of_browser(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    """How soon after the page's own load the first card is there, in seconds, and what ``of_tab`` tells."""
    with _signed_in(airflow) as browser:
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        waits = []
        for _ in range(5):
            browser.open(_page(airflow, run_id))
            first = browser.wait("return window.firstCard", timeout=60)
            waits.append((first - browser.run(LOADED)) / 1000)
    return {"first_card": statistics.median(waits), **of_tab(airflow, run_id)}


def of_tab(airflow: LocalAirflow, run_id: str) -> dict[str, Any]:
    """What a tab with 500 cards of a run holds beyond an empty one, and which requests they make."""
    with _signed_in(airflow) as browser:
        browser.open(f"{airflow.url}/wan-videos/static/icon.svg")
        empty = _settled(browser)
    found: dict[str, Any] = {}
    with _signed_in(airflow) as browser:
        browser.open(f"{_page(airflow, run_id)}&by=mapped&size={SHOWN}&sort=order")
        browser.wait(f"return document.querySelectorAll('.card').length === {SHOWN}", timeout=60)
        found["memory_at_first"] = _settled(browser) - empty
        browser.run_async(SCROLL)
        found["memory_scrolled"] = _settled(browser) - empty
        names = browser.run(REQUESTS)
        found["requests"] = {kind: sum(part in name for name in names) for kind, part in KINDS.items()}
        found["posters_drawn"] = browser.run("return document.querySelectorAll('.stage canvas').length")
        found["videos_held"] = browser.run("return document.querySelectorAll('.stage video').length")
    return found


def _page(airflow: LocalAirflow, run_id: str) -> str:
    return f"{airflow.url}/wan-videos/?dag={DAG}&run={quote(run_id, safe='')}"


@contextmanager
def _signed_in(airflow: LocalAirflow) -> Iterator[Browser]:
    token = httpx.get(f"{airflow.url}/auth/token", trust_env=False).json()["access_token"]
    with Browser() as browser:
        browser.cdp("Network.setCookie", name="_token", value=token, url=airflow.url)
        yield browser


def _settled(browser: Browser) -> int:
    """Wait until the memory has stood still for some seconds, and return it."""
    seen: list[int] = []

    def stands() -> int | None:
        seen.append(browser.renderer_bytes())
        last = seen[-STANDS:]
        return last[-1] if len(last) == STANDS and max(last) - min(last) < 1_000_000 else None

    return wait_until(stands, 120, "the tab's memory stands still", every=1)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def measure(home: Path, folder: Path, bucket: Store) -> dict[str, Any]:
    """Measure three runs: with local files, with files in the object store, with videos that only the vendor has."""
    env = bucket.env | {
        "AIRFLOW__WAN__GALLERY_ROOTS": f"file://{folder}, s3://{BUCKET}",
        "PYTHONPATH": str(CHECKOUT),
    }
    dags = [CHECKOUT / "benchmarks" / "dags"]
    large = {"task": "mapped", "index": MAPPED - 1}
    with LocalAirflow(home / "airflow", dags, env=env, components=("api-server", "dag-processor")) as airflow:
        run_id, stored, hosted = (airflow.rest.trigger(DAG) for _ in range(3))
        airflow.terminate("dag-processor")
        assert isinstance(airflow.database, Sqlite)
        database = airflow.database.path
        write_records(database, run_id, folder, MAPPED, ITEMS)
        write_records(database, hosted, folder, MAPPED, 0, bucket.hosted)
        # The last one of the run is the large one.
        last = f"mapped-{MAPPED - 1}"
        write_records(
            database, stored, folder, MAPPED, 0, lambda name: bucket.stored("large" if name == last else name)
        )
        found = {
            "browser": of_browser(airflow, run_id),
            "server": of_server(airflow, run_id, folder),
            "hosted": of_tab(airflow, hosted),
            "streamed": of_streams(airflow, f"/wan-videos/media/{DAG}", {"run": stored, **large}),
            "plugin": import_of_plugin(str(home)),
        }
    env["AIRFLOW__WAN__GALLERY_REDIRECT"] = "True"
    with LocalAirflow(home / "airflow", dags, env=env, components=("api-server",), keep_home=True) as airflow:
        found["redirected"] = of_tab(airflow, stored)
        found["redirects"] = of_redirects(airflow, f"/wan-videos/media/{DAG}", {"run": stored, **large})
    return found


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with own_folder(CHECKOUT / ".run", "bench-gallery") as home:
        folder = home / "store"
        names = [f"mapped-{number}" for number in range(MAPPED)]
        with store(clip_in(folder), names) as bucket:
            found = measure(home, folder, bucket)
    print(found, flush=True)
    save("gallery", {"mapped": MAPPED, "items": ITEMS, "shown": SHOWN, **found})


if __name__ == "__main__":
    main()
