"""The demo, which keeps its metadata in SQLite as a first look at Airflow does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_demo_makes_a_video_on_sqlite_and_leaves(tmp_path: Path) -> None:
    options = ["--dag", "wan_text_to_video", "--generation-seconds", "1", "--out", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "tools.demo", *options], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert len(list(tmp_path.glob("*.mp4"))) == 1
