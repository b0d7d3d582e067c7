"""Start processes that cannot outlive their owner.

Each process is started in a session of its own. Whatever it forks stays in that session, even when its parent
dies or it moves to another process group (Airflow's task runners do), so "all that belongs to us" is "every
process in one of our sessions". A small guard process holds the other end of a pipe: when the owner ends in
any way, SIGKILL included, the pipe closes and the guard kills what is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil


def session_members(sessions: Iterable[int]) -> list[int]:
    """Living processes of these sessions; zombies are not counted, they only wait to be reaped."""
    wanted = set(sessions)
    return [pid for pid in psutil.pids() if _session(pid) in wanted and alive(pid)]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


class ProcessFamily:
    """Processes that are started together and end together."""

    def __init__(self) -> None:
        self._leaders: list[subprocess.Popen[bytes]] = []
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "tools.process_family"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
        """Start a process in its own session; its output is appended to the file `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leaders.append(process)
        self.adopt(process.pid)
        return process

    def adopt(self, session: int) -> None:
        """Let the guard also end this session, which something else has started, when the owner is gone."""
        assert self._guard.stdin is not None
        self._guard.stdin.write(b"%d\n" % session)
        self._guard.stdin.flush()

    def pids(self) -> list[int]:
        """Every living process of the family, the guard excluded."""
        return session_members(process.pid for process in self._leaders)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a process and everything in its session."""
        while not _wait_empty([process], 0):  # again, for what was forked in between
            send(session_members([process.pid]), signal.SIGKILL)
            _wait_empty([process], 1)

    def terminate(self, processes: Iterable[subprocess.Popen[bytes]], grace: float) -> None:
        """SIGTERM the leaders, wait `grace` seconds for their sessions to empty, SIGKILL what is left."""
        chosen = list(processes)
        sessions = [process.pid for process in chosen]
        send(session_members(sessions), signal.SIGCONT)  # a frozen process would not see the SIGTERM
        send([process.pid for process in chosen if process.poll() is None], signal.SIGTERM)
        if not _wait_empty(chosen, grace):
            send(session_members(sessions), signal.SIGKILL)
            if not _wait_empty(chosen, 10):
                raise RuntimeError(f"processes survived SIGKILL: {session_members(sessions)}")

    def stop(self, grace: float = 3) -> None:
        """End the whole family; returns only when no process is left."""
        try:
            self.terminate(self._leaders, grace)
        finally:
            self._close_guard()

    def _close_guard(self) -> None:
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            self._guard.stdin.close()
        self._guard.wait()


def _wait_empty(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        ended = [process.poll() is not None for process in processes]
        if all(ended) and not session_members(process.pid for process in processes):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)


def guard() -> None:
    """Read session ids until the owner is gone, then kill every process in them."""
    sessions = [int(line) for line in sys.stdin.buffer if line.strip()]
    for _ in range(20):
        members = session_members(sessions)
        if not members:
            return
        send(members, signal.SIGKILL)
        time.sleep(0.1)


if __name__ == "__main__":
    guard()
