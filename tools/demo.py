"""`make demo`: videos of all modes on a real Airflow, made by the sandbox instead of a paid vendor.

Exit codes: 0 when every task succeeded, 1 when anything failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tools.airflow_rest import AirflowWaitTimeout, wait_until
from tools.demo_screen import Screen, Step, duration, table
from tools.local_airflow import LocalAirflow
from tools.own_folder import own_folder
from tools.process_family import ProcessFamily
from tools.worker_meter import WorkerMeter

CHECKOUT = Path(__file__).resolve().parent.parent
WORKERS = 2  # fewer than videos in flight, to show that a deferred task needs none
RESULT_COLUMNS = ("task", "mode", "seconds", "status", "file")


@dataclass
class Options:
    dag_id: str
    out: Path
    generation_seconds: str
    timeout: float
    keep: bool
    dags: Path | None = None
    """A folder of the user's own, in the place of the examples: nothing in it is started."""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    screen = Screen(sys.stdout)
    try:
        with ExitStack() as stack:
            home = stack.enter_context(own_folder(CHECKOUT / ".run", "demo"))
            return run(options, home, screen, stack)
    except KeyboardInterrupt:
        screen.say("stopped by Ctrl-C; nothing is left running")
        return 130
    except (AirflowWaitTimeout, RuntimeError, httpx.HTTPError) as error:
        screen.say(f"failed: {error}")
        return 1


def parse(arguments: list[str] | None) -> Options:
    line = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    line.add_argument("--dag", default="wan_demo", help="the example DAG to run (%(default)s)")
    line.add_argument("--keep", action="store_true", help="leave Airflow running, with its UI, until Ctrl-C")
    line.add_argument("--out", type=Path, default=CHECKOUT / "out" / "demo", help="where the videos go")
    line.add_argument(
        "--generation-seconds", default="4:10", help="how long the sandbox takes for one video (%(default)s)"
    )
    line.add_argument("--dags", type=folder, help="a folder with DAGs of your own, in the place of the examples")
    line.add_argument("--timeout", type=float, default=300, help="seconds that the DAG run may take (%(default)g)")
    given = line.parse_args(arguments)
    keep = given.keep or given.dags is not None
    return Options(given.dag, given.out.resolve(), given.generation_seconds, given.timeout, keep, given.dags)


def folder(text: str) -> Path:
    """Return the folder that was named on the command line."""
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is not a folder; name the one that your DAG files are in")
    return path


def run(options: Options, home: Path, screen: Screen, stack: ExitStack) -> int:
    """Start everything, run the DAG, report; what is started is stopped by `stack`."""
    screen.say("Wan videos on a real Airflow. The local sandbox plays the vendor: no key, no network, no bill.")
    if options.dags is None:
        screen.say("This takes about a minute: ~15 s to start Airflow, then the videos.")
    family = ProcessFamily()
    stack.callback(family.stop)
    sandbox_url = start_sandbox(family, home, options.generation_seconds)
    screen.step(f"sandbox on {sandbox_url} (what it would have billed: {sandbox_url}/sandbox/ledger)")
    airflow = LocalAirflow(
        home / "airflow",
        [options.dags or CHECKOUT / "dags_examples"],
        env={
            "AIRFLOW_CONN_WAN_DEFAULT": connection(sandbox_url),
            "AIRFLOW_VAR_WAN_STORE": f"file://{options.out}/store",  # for the examples that store their videos
            "AIRFLOW__WAN__GALLERY_ROOTS": f"file://{options.out}/store",  # so that the gallery plays them
        },
        parallelism=WORKERS,
        family=family,
        say=screen.step,
    )
    stack.enter_context(airflow)
    screen.step(f"Airflow is up: {airflow.url} (no login)")

    if options.dags is not None:
        failed = show_dags(options.dags, airflow, screen)
    else:
        failed = make_videos(options, airflow, sandbox_url, screen)
    if options.keep:
        screen.say(
            f"The videos are at {airflow.url}/wan-videos/\n"
            f"Airflow stays up at {airflow.url}, sandbox at {sandbox_url}. Ctrl-C stops both."
        )
        keep_running(airflow)
    screen.step("stopping")
    return 1 if failed else 0


def show_dags(folder: Path, airflow: LocalAirflow, screen: Screen) -> bool:
    """Say which DAGs of a folder Airflow has found, and which files it could not import; returns whether any failed."""

    def found() -> tuple[list[str], dict[str, str]] | None:
        airflow.check_alive()
        dags = sorted(dag["dag_id"] for dag in airflow.rest.get("/dags", limit=1000)["dags"])
        errors = airflow.rest.import_errors()
        return (dags, errors) if dags or errors else None

    try:
        dags, errors = wait_until(found, 60, f"a DAG of {folder} is read", every=0.5)
    except AirflowWaitTimeout:
        screen.say(f"No DAG was found in {folder} so far; files that appear there are read within a minute")
        return False
    screen.say(f"DAGs of {folder}: {', '.join(dags) or 'none'}; unpause and trigger them in the UI")
    for file, error in errors.items():
        screen.say(f"FAILED: {file} could not be imported\n{error}")
    return bool(errors)


def keep_running(airflow: LocalAirflow) -> None:
    """Return at Ctrl-C, which is how one is meant to leave; raises when a component ends by itself."""
    try:
        while True:
            time.sleep(1)
            airflow.check_alive()
    except KeyboardInterrupt:
        return


def connection(sandbox_url: str) -> str:
    """`wan_default`: with a real key, only these fields would be different."""
    fields = {
        "conn_type": "wan",
        "host": sandbox_url,
        "password": "sk-sandbox-no-real-key",
        "extra": {"vendor": "dashscope"},
    }
    return json.dumps(fields)


def start_sandbox(family: ProcessFamily, home: Path, generation_seconds: str) -> str:
    """Start the sandbox on a free port and return its URL."""
    log = home / "sandbox.log"
    log.unlink(missing_ok=True)
    process = family.spawn(
        [
            *(sys.executable, "-m", "airflow_provider_wan.sandbox"),
            *("--port", "0", "--generation-seconds", generation_seconds),
        ],
        env=os.environ,
        log=log,
        cwd=CHECKOUT,
    )

    def announced() -> str | None:
        text = log.read_text()
        if process.poll() is not None:
            raise RuntimeError(f"the sandbox ended with {process.returncode}\n{text[-2000:]}")
        return next((word for word in text.split() if word.startswith("http://")), None)

    return wait_until(announced, 30, f"the sandbox listens; its log is {log}", every=0.1)


def make_videos(options: Options, airflow: LocalAirflow, sandbox_url: str, screen: Screen) -> bool:
    """Run the DAG, fetch its videos, print the table; returns whether anything failed."""
    with WorkerMeter(airflow) as meter:
        run_id = airflow.rest.trigger(options.dag_id)
        screen.step(f"DAG {options.dag_id} is running")
        state, in_flight = watch(airflow, options, run_id, screen)
    rows, problems, model_seconds = collect(airflow, options, run_id)
    screen.say("\n" + table(RESULT_COLUMNS, rows))
    ledger = httpx.get(f"{sandbox_url}/sandbox/ledger", trust_env=False).json()
    screen.say(
        f"\nThe model worked {model_seconds:.0f} s in sum; Airflow's workers were held for"
        f" {meter.held_seconds:.1f} s in sum, mostly by starting task processes."
        f"\nThere are {WORKERS} workers, up to {in_flight} videos were in flight;"
        " a model that takes minutes would hold them no longer."
        f"\nA vendor would have billed {len(ledger['billed'])} generations"
        f" ({ledger['billed_seconds']:g} s of video)."
    )
    if state != "success":
        problems.insert(0, f"the DAG run ended as {state}")
    for problem in problems:
        screen.say(f"\nFAILED: {problem}")
    if problems:
        screen.say(f"\nTask logs: {airflow.home / 'logs'}\nComponent logs: {airflow.logs}")
    return bool(problems)


def watch(airflow: LocalAirflow, options: Options, run_id: str, screen: Screen) -> tuple[str, int]:
    """Show the tasks' states until the run ends; returns its state and the most tasks that were deferred."""
    end = time.monotonic() + options.timeout
    most_deferred = 0
    while True:
        state = str(airflow.rest.run(options.dag_id, run_id)["state"])
        steps = [Step.of(task) for task in airflow.rest.tasks(options.dag_id, run_id)]
        screen.progress(steps)
        most_deferred = max(most_deferred, sum(step.state == "deferred" for step in steps))
        if state in ("success", "failed"):
            return state, most_deferred
        if time.monotonic() > end:
            return f"unfinished ({state}) after {options.timeout:g} s", most_deferred
        airflow.check_alive()
        time.sleep(0.5)


def collect(airflow: LocalAirflow, options: Options, run_id: str) -> tuple[list[tuple[str, ...]], list[str], float]:
    """Download every task's video; returns the table's rows, what failed, and the model's seconds in sum."""
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    model_seconds = 0.0
    for task in sorted(airflow.rest.tasks(options.dag_id, run_id), key=lambda task: task["start_date"] or "~"):
        step = Step.of(task)
        if step.state != "success":
            rows.append((step.name, "", "", step.state or "", ""))
            if step.state == "failed":
                log = airflow.rest.task_log(options.dag_id, run_id, task["task_id"], map_index=task["map_index"])
                problems.append(f"{step.name}; the end of its log:\n" + "\n".join(log.splitlines()[-15:]))
            continue
        result = video_of(airflow, options.dag_id, run_id, task)
        if result is None:  # a task that makes no video
            continue
        try:
            file = download(result["video_url"], options.out / f"{step.file_name}.mp4")
            shown = str(file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) else file)
        except (httpx.HTTPError, OSError) as error:
            problems.append(f"{step.name}: its video could not be fetched: {error!r}")
            shown = "-"
        seconds = duration(result.get("submitted_at"), result.get("finished_at"))
        model_seconds += seconds or 0
        mode = str(result.get("mode") or "").replace("_", " ")
        rows.append((step.name, mode, "" if seconds is None else f"{seconds:.1f}", "succeeded", shown))
    if not any(row[4] for row in rows):
        problems.append("no task produced a video")
    return rows, problems, model_seconds


def video_of(airflow: LocalAirflow, dag_id: str, run_id: str, task: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a task that made a video, else None."""
    try:
        value = airflow.rest.xcom(dag_id, run_id, task["task_id"], map_index=task["map_index"])
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return None
    return value if isinstance(value, dict) and value.get("video_url") else None


def download(url: str, file: Path) -> Path:
    """Fetch a video; the file appears only when it is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    with httpx.stream("GET", url, timeout=60, trust_env=False) as response, partial.open("wb") as sink:
        response.raise_for_status()
        for block in response.iter_bytes():
            sink.write(block)
    return partial.replace(file)


if __name__ == "__main__":
    sys.exit(main())
