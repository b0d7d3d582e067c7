"""The browser that tests look through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import browser

DRIVER = """#!/bin/sh
echo "$$" >> "{log}"
[ "$(wc -l < "{log}")" -lt {good} ] && exit 1
echo "ChromeDriver was started successfully on port 4711."
"""


@pytest.mark.parametrize(("good", "is_started"), [(1, True), (3, True), (99, False)])
def test_a_driver_whose_port_is_taken_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int, is_started: bool
) -> None:
    log = tmp_path / "started"
    script = tmp_path / "chromedriver"
    script.write_text(DRIVER.format(log=log, good=good))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if is_started:
        driver, port = browser._driver()
        driver.communicate(timeout=60)
        assert port == "4711"
        assert len(log.read_text().split()) == good
    else:
        with pytest.raises(RuntimeError, match="before it listened"):
            browser._driver()
