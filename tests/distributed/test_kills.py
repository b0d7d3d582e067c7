"""Every video is made once and delivered once while machines die: the sandbox's ledger equals what was delivered.

`LAB_SIZE=full` runs 60 mapped generations and a batch of 200; its table is in docs/scale.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab

IS_FULL = os.environ.get("LAB_SIZE") == "full"
MAPPED, BATCH = (60, 200) if IS_FULL else (20, 60)
TIMEOUT = 900 if IS_FULL else 420
FROZEN = 40
"""Seconds: twice what Airflow waits before it takes a component for dead."""


@pytest.mark.parametrize("ledger", ["task state", "S3"])
def test_each_video_is_paid_and_delivered_once_while_components_die(lab: Lab, ledger: str) -> None:
    where: dict[str, Any] = {"ledger_path": f"s3://lab_s3@lab/{lab.mark}"} if ledger == "S3" else {}
    total = MAPPED + BATCH
    lab.note("both runs start")
    mapped, batch = lab.start("lab_mapped", MAPPED, **where), lab.start("lab_batch", BATCH, **where)

    lab.wait_for_created(total // 10)
    triggerer = next(name for name in lab.airflow.running("triggerer"))
    lab.kill(triggerer, "a triggerer")

    lab.wait_for_created(total // 4)
    worker, other = lab.airflow.running("worker")
    _kill_in_the_middle_of_a_submission(lab, worker)

    lab.wait_for_created(total // 2)
    lab.kill(lab.airflow.running("scheduler")[0], "a scheduler")

    lab.wait_for_created(total * 6 // 10)
    lab.kill(lab.airflow.running("api-server")[0], "an API server")

    lab.wait_for_created(total * 7 // 10)
    thawing = lab.freeze(other, FROZEN, "the other worker")

    assert lab.end("lab_mapped", mapped, TIMEOUT) == "success"
    assert lab.end("lab_batch", batch, TIMEOUT) == "success"
    thawing.join()
    lab.note("both runs have ended")
    print(f"\n{ledger}\n{lab.table()}")

    results = lab.results("lab_mapped", mapped, MAPPED)
    items = lab.manifest("lab_batch")
    delivered = [result["task_id"] for result in (*results, *items)]
    assert len(delivered) == total
    assert sorted(delivered) == sorted(lab.created()) == sorted(lab.billed())
    assert lab.cancels() == []
    for result in (*results, *items):
        assert Path(result["uri"].removeprefix("file://")).stat().st_size == result["bytes"]


def _kill_in_the_middle_of_a_submission(lab: Lab, worker: str) -> None:
    """The vendor has made a task and holds its answer back when the worker dies."""
    lab.sandbox.configure(answer_delay=4)
    lab.wait_for_created(len(lab.created()) + 2)
    lab.kill(worker, "a worker in the middle of submissions")
    lab.sandbox.configure(answer_delay=0)
