"""Every mode at every vendor: what arrives in Airflow, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.local_airflow import LocalAirflow

from .harness import VENDORS
from .runs import Cost, Run

MODES = ("text_to_video", "image_to_video", "reference_to_video", "video_edit")
STARTED = {vendor: ("case_modes", "a red kite", {"conn": f"wan_{vendor}"}) for vendor in VENDORS}


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_mode_at_every_vendor_ends_with_a_video(started: Callable[[str], Run], vendor: str) -> None:
    run = started(vendor)
    assert run.end(timeout=300) == "success"
    assert run.cost() == Cost(created=4, billed=4)
    for mode in MODES:
        result = run.result(mode)
        assert (result["vendor"], result["mode"], result["status"]) == (vendor, mode, "succeeded")
        assert result["video_url"] in result["video_urls"]
        assert run.mark in result["prompt"]
        assert result["task_id"] in {task["task_id"] for task in run.vendor_tasks() if task["mode"] == mode}
        # Each key is an XCom of its own, which is what op.output["video_url"] reads.
        assert run.result(mode, "video_url") == result["video_url"]
        assert run.link(mode) == run.page(mode)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_video_of_every_vendor_is_landed(airflow: LocalAirflow, sandbox: Sandbox, vendor: str) -> None:
    folder = airflow.home / "landed" / vendor
    run = Run(airflow, sandbox, "case_video", "lands", conn=f"wan_{vendor}", store_to=f"file://{folder}/")
    assert run.end() == "success"
    result = run.result()
    assert result["uri"] == f"file://{folder}/{result['task_id']}.mp4"
    content = Path(result["uri"].removeprefix("file://")).read_bytes()
    assert len(content) == result["bytes"]
    assert content[4:8] == b"ftyp"
    assert [path.name for path in folder.iterdir()] == [f"{result['task_id']}.mp4"]
    assert run.cost() == Cost(created=1, billed=1)
