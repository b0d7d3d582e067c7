"""How long the executor's workers are held: the figure that deferring is about."""

from __future__ import annotations

import threading
import time
from typing import Self

from tools.local_airflow import LocalAirflow


class WorkerMeter:
    """Looks at the LocalExecutor workers every `every` seconds and adds up the time in which they are held.

    The workers say in their process titles what they do, except on macOS, where all figures stay 0.
    """

    def __init__(self, airflow: LocalAirflow, every: float = 0.2) -> None:
        self.held_seconds = 0.0
        self.most_at_once = 0
        self._airflow = airflow
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._done.wait(self._every):
            now = time.monotonic()
            busy = len(self._airflow.busy_worker_pids())
            self.held_seconds += busy * (now - last)
            self.most_at_once = max(self.most_at_once, busy)
            last = now
