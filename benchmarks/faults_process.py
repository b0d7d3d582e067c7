"""Makes a number of videos in one way, each in a process of its own with Airflow's retries; the job as JSON on stdin.

With ``kills`` each of the first attempts is ended by SIGKILL at a random moment, as a worker that is evicted.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from benchmarks.fault_contenders import WAYS, configure

RETRIES = 4
FORK = multiprocessing.get_context("fork")


def attempts(name: str, given: dict[str, Any], index: int, folder: Path) -> None:
    """Airflow's loop around one task: attempt, wait, attempt again; writes down how it ended."""
    kills = given["kills"]
    lots = random.Random(f"{given['seed']}/{index}")
    outcome = "no attempt ended"
    for _ in range(kills):
        process = FORK.Process(target=attempt, args=(name, given, index, folder))
        process.start()
        process.join(lots.uniform(0, given["kill_within"]))
        process.kill()
        process.join()
        if (folder / "done").exists():
            break
    for _ in range(0 if (folder / "done").exists() else RETRIES + 1):
        try:
            attempt(name, given, index, folder)
        except AirflowFailException as error:
            outcome = str(error)
            break
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
            time.sleep(given["retry_seconds"])
        else:
            break
    if not (folder / "done").exists():
        (folder / "failed").write_text(outcome)


def attempt(name: str, given: dict[str, Any], index: int, folder: Path) -> None:
    WAYS[name][0](f"Take {index} of {name}", folder, given["url"])
    (folder / "done").touch()


def main() -> None:
    name = sys.argv[1]
    logging.disable(logging.ERROR)
    given = json.loads(sys.stdin.readline())
    configure(name, given["url"])
    folders = [Path(given["folder"]) / str(index) for index in range(given["n"])]
    processes = []
    for index, folder in enumerate(folders):
        folder.mkdir()
        processes.append(FORK.Process(target=attempts, args=(name, given, index, folder)))
        processes[-1].start()
    deadline = time.monotonic() + given["patience"]
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()


if __name__ == "__main__":
    main()
