"""A real Airflow on this machine, without Docker: four processes, a database and a home folder of their own.

    with LocalAirflow(Path(".run/mine"), [Path("dags_examples")]) as airflow:
        run_id = airflow.rest.trigger("wan_demo")
        airflow.rest.wait_for_run("wan_demo", run_id)

Everything stops when the block is left. Components can be killed, frozen and restarted one by one, which is
what the crash tests do.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from tools.airflow_rest import AirflowRest, AirflowWaitTimeout, wait_until
from tools.databases import Database, DatabaseBusy, Sqlite
from tools.process_family import ProcessFamily, send, session_members

COMPONENTS: Mapping[str, Sequence[str]] = {
    "api-server": ["api-server"],
    # Log servers would bind fixed ports; the API server reads the log files from disk.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}

JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""What Airflow's table `job` calls the components that report there."""

WORKER_TITLE = "airflow worker -- LocalExecutor"


class LocalAirflow:
    """Starts, watches and stops one Airflow.

    `home` is wiped at the start unless `keep_home`. `dag_folders` become one DAG bundle each. `database` is SQLite
    unless another one is given. `env` is added last to the environment of every component. `parallelism` is the number
    of tasks that run at once. `refresh_seconds` is how often DAG folders are looked through.
    `components` are the ones that are started, where not all are needed. `prefix` is the path below which it is served.
    """

    def __init__(
        self,
        home: Path,
        dag_folders: Sequence[Path],
        *,
        database: Database | None = None,
        env: Mapping[str, str] | None = None,
        parallelism: int = 4,
        refresh_seconds: int = 5,
        keep_home: bool = False,
        components: Sequence[str] = tuple(COMPONENTS),
        prefix: str = "",
        family: ProcessFamily | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.home = home.resolve()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{prefix}"
        self.rest = AirflowRest(self.url)
        self.database = database or Sqlite(self.home / "airflow.db")
        self._dag_folders = [folder.resolve() for folder in dag_folders]
        self._extra_env = dict(env or {})
        self._parallelism = parallelism
        self._refresh_seconds = refresh_seconds
        self._keep_home = keep_home
        self._components = tuple(components)
        self._family = family or ProcessFamily()
        self._say = say
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._kinds: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._jwt_secret = secrets.token_urlsafe(64)

    # -- life ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:  # Ctrl-C while it starts must not leave processes either
            self.stop(grace=1)
            raise

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, timeout: float = 180) -> Self:
        """Create the database, start all components and wait until they report as healthy."""
        self.prepare(timeout)
        self._say(f"starting {', '.join(self._components)}")
        for component in self._components:
            self.start_component(component)
        self.wait_until_healthy(timeout)
        return self

    def prepare(self, timeout: float) -> None:
        """Make the home folder and the database."""
        if not self._keep_home:
            shutil.rmtree(self.home, ignore_errors=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        self._say("creating the metadata database")
        self.database.start(self._family)
        # Also writes airflow.cfg with the Fernet key, for which components started together would race.
        migrate = self._spawn("db-migrate", ["db", "migrate"])
        if migrate.wait(timeout):
            raise RuntimeError(f"airflow db migrate failed\n{self.component_log('db-migrate')}")
        self.database.migrated()

    def wait_until_healthy(self, timeout: float = 120) -> None:
        """Wait for a sign of life from every component since its start; fails at once when one has ended."""

        def healthy() -> bool:
            self.check_alive()
            return not self.silent()

        try:
            wait_until(healthy, timeout, "Airflow is healthy", every=0.5)
        except AirflowWaitTimeout as error:
            where = f"silent: {self.silent()}; logs in {self.logs}"
            raise AirflowWaitTimeout(f"{error}; {where}") from None

    def check_alive(self) -> None:
        """Raise RuntimeError, with the last lines of its log, when a component has ended by itself."""
        for component, process in self._running.items():
            if process.poll() is not None:
                log = self.component_log(component)
                raise RuntimeError(f"airflow {component} ended with {process.returncode}\n{log}")

    def silent(self) -> list[str]:
        """The running components that have given no sign of life since they were started."""
        beats = self.rest.heartbeats()
        running = [component for component in COMPONENTS if component in self._running]
        return [component for component in running if beats.get(component, 0) < self._since[component]]

    def stop(self, grace: float = 3) -> None:
        """End every process; what does not end within `grace` seconds is killed.

        The home folder is disposable, and a LocalExecutor worker of 3.3.2 now and then misses its farewell, for
        which the scheduler would wait for ever.
        """
        self.rest.close()
        try:
            self._family.terminate(self._running.values(), grace)
            self.database.stop()  # before the guard goes, which would kill it
        finally:
            self._family.stop(grace)
        self._running.clear()

    # -- components ---------------------------------------------------------------------------------------

    def start_component(self, component: str, alias: str | None = None) -> int:
        """Start a component, or one more of its kind under the name `alias`; returns its pid."""
        name = alias or component
        if name in self._running:
            raise ValueError(f"{name} is already running")
        self._kinds[name] = component
        self._since[name] = time.time()
        self._running[name] = self._spawn(name, self._arguments(component))
        return self._running[name].pid

    def kill(self, component: str) -> None:
        """SIGKILL a component with everything it has forked, the running tasks of a scheduler included.

        Airflow takes it for dead at once, as if its health check threshold had passed. That threshold can so be
        long, and a machine that stands still for a minute makes no living component look dead.
        """
        self._family.kill(self._running.pop(component))
        self._presume_dead(component)

    def terminate(self, component: str, grace: float = 10) -> None:
        """SIGTERM a component and wait until it and its children are gone."""
        self._family.terminate([self._running.pop(component)], grace)

    def freeze(self, component: str) -> None:
        """SIGSTOP a component and its children: alive, but it does nothing, and Airflow takes it for dead."""
        while True:
            send(self.pids(component), signal.SIGSTOP)
            try:
                return self._presume_dead(component, 2)
            except DatabaseBusy:  # stopped in the middle of a write, it keeps the others from writing
                self.thaw(component)
                self._presume_dead(component)  # returns when that write is over

    def thaw(self, component: str) -> None:
        send(self.pids(component), signal.SIGCONT)

    def _presume_dead(self, component: str, timeout: float = 60) -> None:
        """Age the last sign of life of every process of this kind; one that lives soon gives another."""
        if job_type := JOB_TYPES.get(self._kinds[component]):
            self.database.presume_dead(job_type, timeout)

    def repair(self) -> None:
        """Back to one running process of each kind, after whatever a test did."""
        for name, process in list(self._running.items()):
            self.thaw(name)
            if name not in COMPONENTS or process.poll() is not None:
                self.kill(name)
        missing = [component for component in self._components if component not in self._running]
        for component in missing:
            self.start_component(component)
        if missing:
            self.wait_until_healthy()

    def pids(self, component: str) -> list[int]:
        """The component's process and all that it has forked."""
        return session_members([self._running[component].pid])

    def worker_pids(self) -> list[int]:
        """LocalExecutor workers: they live on between tasks, and supervise the task that they run."""
        children = psutil.Process(self._running["scheduler"].pid).children()  # a task is a grandchild
        return [child.pid for child in children if title(child.pid).startswith(WORKER_TITLE)]

    def busy_worker_pids(self) -> list[int]:
        """The workers that are held by a task now."""
        return [pid for pid in self.worker_pids() if not title(pid).endswith("<idle>")]

    def task_pid(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> int | None:
        """The process in which this task instance's own code runs now, if it does."""
        wanted = f"airflow worker -- {self.rest.task(dag_id, run_id, task_id, map_index)['id']}"
        return next((pid for pid in self.pids("scheduler") if title(pid) == wanted), None)

    def wait_for_task_pid(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, timeout: float = 60
    ) -> int:
        """Wait until the task's own code runs in a process, and return its pid."""
        return wait_until(
            lambda: self.task_pid(dag_id, run_id, task_id, map_index), timeout, f"{task_id} runs", every=0.05
        )

    def component_log(self, name: str, lines: int = 60) -> str:
        """The last lines that a component wrote."""
        path = self.logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # -- what is on disk ----------------------------------------------------------------------------------

    @property
    def logs(self) -> Path:
        """The folder of the components' own logs (task logs are in `home/logs`)."""
        return self.home / "components"

    def places_of(self, text: str) -> list[str]:
        """Where a text (such as an API key) stands in the home folder: table columns, logs, other files."""
        files = [path for path in self.home.rglob("*") if path.is_file() and not self.database.owns(path)]
        found = [str(path) for path in files if text.encode() in path.read_bytes()]
        return found + self.database.columns_containing(text)

    # -- how a component is run ---------------------------------------------------------------------------

    def _arguments(self, kind: str) -> Sequence[str]:
        return COMPONENTS[kind]

    def _spawn(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return self._family.spawn(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment(name),
            log=self.logs / f"{name}.log",
            cwd=self.home,
        )

    def environment(self, component: str = "") -> dict[str, str]:
        """The variables of a component: this process's without its Airflow settings, plus ours."""
        # Without byte code each of the many processes compiles Airflow again, and starts take twice as long.
        dropped = ("AIRFLOW", "PYTHONDONTWRITEBYTECODE", "_AIRFLOW")
        env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        bundles = [
            {
                "name": folder.name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder), "refresh_interval": self._refresh_seconds},
            }
            for folder in self._dag_folders
        ]
        options = {
            "CORE__DAGS_FOLDER": str(self._dag_folders[0]),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__PARALLELISM": str(self._parallelism),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__TEST_CONNECTION": "Enabled",
            "DATABASE__SQL_ALCHEMY_CONN": self.database.url(component),
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": self._jwt_secret,
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "DAG_PROCESSOR__REFRESH_INTERVAL": str(self._refresh_seconds),
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": str(self._refresh_seconds),
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            # A supervisor that just misses the end of its task looks again after one such interval (5 s by
            # default), and keeps the worker until then.
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        env |= {f"AIRFLOW__{key}": value for key, value in options.items()}
        env |= {
            "AIRFLOW_HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}",
            "NO_PROXY": "127.0.0.1,localhost",  # a proxy must not see the tasks' calls to the API server
            "no_proxy": "127.0.0.1,localhost",
        }
        return env | self._extra_env


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def title(pid: int) -> str:
    """What a process is called now; empty when it is gone."""
    try:
        return " ".join(psutil.Process(pid).cmdline()).strip()
    except psutil.Error:
        return ""
