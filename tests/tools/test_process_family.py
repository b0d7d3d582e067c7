"""No process outlives its owner, however the owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.airflow_rest import wait_until
from tools.process_family import ProcessFamily, session_members

CHECKOUT = Path(__file__).resolve().parents[2]

# Starts a child, which starts a grandchild in a process group of its own, as Airflow's task runners do; prints
# the session to look for, then waits.
OWNER = """
import os, signal, sys, time
from pathlib import Path
from tools.process_family import ProcessFamily
# What a shell starts in the background inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
family = ProcessFamily()
child = "import os, subprocess, sys, time\\n" \\
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\\n" \\
        "print('ready', flush=True); time.sleep(600)"
leader = family.spawn([sys.executable, "-c", child], env=os.environ, log=Path(sys.argv[1]), cwd=Path.cwd())
print(leader.pid, flush=True)
try:
    time.sleep(600)
finally:
    family.stop(grace=2)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Callable[[], tuple[subprocess.Popen[bytes], int]]:
    def start() -> tuple[subprocess.Popen[bytes], int]:
        log = tmp_path / "log"
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(log)],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        with process.stdout:
            session = int(process.stdout.readline())
        wait_until(lambda: log.exists() and b"ready" in log.read_bytes(), 30, "the child is ready")
        assert len(session_members([session])) == 2
        return process, session

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_ends(
    owner: Callable[[], tuple[subprocess.Popen[bytes], int]], number: signal.Signals
) -> None:
    process, session = owner()
    process.send_signal(number)
    process.wait(20)
    wait_until(lambda: not session_members([session]), 10, "the session is empty")


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    family = ProcessFamily()
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True);time.sleep(600)"
    )
    log = tmp_path / "log"
    process = family.spawn([sys.executable, "-c", stubborn], env=os.environ, log=log, cwd=tmp_path)
    wait_until(lambda: b"ready" in log.read_bytes(), 30, "the process is ready")
    family.stop(grace=0.5)
    assert process.returncode == -signal.SIGKILL
    assert family.pids() == []


def test_a_frozen_process_can_be_stopped(tmp_path: Path) -> None:
    family = ProcessFamily()
    process = family.spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env=os.environ,
        log=tmp_path / "log",
        cwd=tmp_path,
    )
    process.send_signal(signal.SIGSTOP)
    family.stop(grace=10)
    assert process.returncode == -signal.SIGTERM
