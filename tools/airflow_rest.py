"""The part of Airflow's REST API that tests, demo and benchmarks use, with waits that explain themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
Json = dict[str, Any]
LOCKED_PAUSES = (0.3, 0.7, 1.5, 3.0, 5.0)
"""Seconds between repeats of a call that SQLite refused: a reader cannot become a writer while another one writes, and
is told so at once, whatever the lock's time-out. Nothing has been written then."""

FINISHED = frozenset({"success", "failed"})
# What every line of a task log carries, and the parts that are placed by hand.
LOG_CONTEXT = frozenset(
    {"timestamp", "level", "event", "logger", "error_detail", "filename", "lineno"}
    | {"ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number"}
)
TASK_FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class AirflowWaitTimeout(AssertionError):
    """What was waited for did not happen in time; the message says what was seen last."""


def wait_until(ready: Callable[[], T | None], timeout: float, what: str, every: float = 0.25) -> T:
    """Ask until `ready` returns something true; raises AirflowWaitTimeout after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        if value := ready():
            return value
        if time.monotonic() >= end:
            raise AirflowWaitTimeout(f"not within {timeout:g} s: {what}")
        time.sleep(every)


class AirflowRest:
    """A client of one Airflow's public API (`/api/v2`), in the all-admins mode where no name and password is given."""

    def __init__(self, base_url: str, user: tuple[str, str] | None = None) -> None:
        self.base_url = base_url
        self._user = user
        self.triggered: list[tuple[str, str]] = []
        self._http = httpx.Client(base_url=base_url, timeout=90, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """One exchange with `/api/v2`; raises httpx.HTTPStatusError with Airflow's explanation."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        response = self._http.request(method, f"/api/v2{path}", **kwargs)
        if response.status_code == 401:  # the token has a lifetime
            self._log_in()
            response = self._http.request(method, f"/api/v2{path}", **kwargs)
        for pause in LOCKED_PAUSES:
            if response.status_code != 500 or "Database error" not in response.text:
                break
            time.sleep(pause)
            response = self._http.request(method, f"/api/v2{path}", **kwargs)
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {response.status_code} {response.text[:500]}",
                request=response.request,
                response=response,
            )
        return response.json() if response.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def _log_in(self) -> None:
        self._http.headers["Authorization"] = f"Bearer {self.token()}"

    def token(self) -> str:
        """Ask Airflow for a session; a browser holds it as the cookie `_token`."""
        if self._user is None:
            answer = self._http.get("/auth/token")
        else:
            answer = self._http.post("/auth/token", json=dict(zip(("username", "password"), self._user, strict=True)))
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    # -- the installation ---------------------------------------------------------------------------------

    def heartbeats(self) -> dict[str, float]:
        """The last sign of life by component (epoch seconds); one that never gave any is not in it."""
        try:
            response = self._http.get("/api/v2/monitor/health")
            response.raise_for_status()
        except httpx.TransportError:
            return {}
        beats = {"api-server": time.time()}
        for component in ("scheduler", "triggerer", "dag_processor"):
            health = response.json().get(component) or {}
            if beat := health.get(f"latest_{component}_heartbeat"):
                beats[component.replace("_", "-")] = datetime.fromisoformat(beat).timestamp()
        return beats

    def import_errors(self) -> dict[str, str]:
        """Stack trace by file name of the DAG files that could not be imported."""
        return {error["filename"]: error["stack_trace"] for error in self.get("/importErrors")["import_errors"]}

    def create_connection(self, conn_id: str, **fields: Any) -> None:
        self.call("POST", "/connections", json={"connection_id": conn_id, **fields})

    def delete_connection(self, conn_id: str) -> None:
        self.call("DELETE", f"/connections/{conn_id}")

    def connection(self, conn_id: str) -> Json:
        return self._object(f"/connections/{conn_id}")

    def create_pool(self, name: str, slots: int, *, include_deferred: bool = False) -> None:
        body = {"name": name, "slots": slots, "include_deferred": include_deferred}
        self.call("POST", "/pools", json=body)

    def asset_events(self, **filters: Any) -> list[Json]:
        return self._list("/assets/events", "asset_events", **filters)

    # -- DAGs and runs ------------------------------------------------------------------------------------

    def wait_for_dag(self, dag_id: str, timeout: float = 120) -> None:
        """Wait until the DAG processor has brought this DAG in; fails with its import errors."""

        def visible() -> bool:
            try:
                return bool(self.get(f"/dags/{dag_id}"))
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 404:
                    raise
                return False

        try:
            wait_until(visible, timeout, f"DAG {dag_id} is visible")
        except AirflowWaitTimeout as error:
            errors = "\n".join(f"{name}\n{trace}" for name, trace in self.import_errors().items())
            raise AirflowWaitTimeout(f"{error}\n{errors or 'no import errors were reported'}") from None

    def unpause(self, dag_id: str) -> None:
        self.wait_for_dag(dag_id)
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause the DAG when needed and start a run; returns its run id."""
        self.unpause(dag_id)
        # The id is ours, so that a call repeated for a locked database starts no second run.
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        try:
            self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:
                raise
        self.triggered.append((dag_id, run_id))
        return run_id

    def runs(self, dag_id: str) -> list[Json]:
        return self._list(f"/dags/{dag_id}/dagRuns", "dag_runs")

    def run(self, dag_id: str, run_id: str) -> Json:
        return self._object(f"/dags/{dag_id}/dagRuns/{run_id}")

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 240) -> str:
        """Wait for the end of a run; returns `success` or `failed`."""

        def finished() -> str | None:
            state = self.run(dag_id, run_id)["state"]
            return state if state in FINISHED else None

        try:
            return wait_until(finished, timeout, f"run {run_id} of {dag_id} ends")
        except AirflowWaitTimeout as error:
            states = {name(ti): ti["state"] for ti in self.tasks(dag_id, run_id)}
            raise AirflowWaitTimeout(f"{error}; its tasks: {states}") from None

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": state})

    def delete_run(self, dag_id: str, run_id: str, timeout: float = 60) -> None:
        """Delete a run that may have tasks which wait: queued again first, for no running one can be deleted."""

        def is_deleted() -> bool:
            self.set_run_state(dag_id, run_id, "queued")
            try:
                self.call("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}")
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 409:  # the scheduler was faster
                    raise
                return False
            return True

        wait_until(is_deleted, timeout, f"run {run_id} of {dag_id} is deleted", every=0.05)
        self.triggered.remove((dag_id, run_id))

    # -- task instances -----------------------------------------------------------------------------------

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return self._list(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Json:
        return self._object(_task_path(dag_id, run_id, task_id, map_index))

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str] = TASK_FINISHED,
        *,
        map_index: int = -1,
        timeout: float = 180,
        min_try: int = 1,
    ) -> Json:
        """Wait until a task instance is in one of `states` in its try number `min_try` or a later one."""
        seen: Json = {}

        def reached() -> Json | None:
            try:
                seen.update(self.task(dag_id, run_id, task_id, map_index))
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 404:  # a mapped instance appears when it is expanded
                    raise
                return None
            if seen["try_number"] < min_try:
                return None
            if seen["state"] in TASK_FINISHED - set(states):  # it will not come any more
                raise AirflowWaitTimeout(f"{dag_id}.{task_id} is not in {sorted(states)}")
            return seen if seen["state"] in states else None

        try:
            return wait_until(reached, timeout, f"{dag_id}.{task_id} is in {sorted(states)}", every=0.1)
        except AirflowWaitTimeout as error:
            last = f"last seen {seen.get('state')!r} in try {seen.get('try_number')}"
            log = self.task_log(dag_id, run_id, task_id, map_index=map_index) if seen else ""
            raise AirflowWaitTimeout(f"{error}; {last}\n{log}") from None

    def clear(
        self,
        dag_id: str,
        run_id: str,
        task_ids: Collection[str | tuple[str, int]],
        *,
        keep_task_state: bool | None = None,
    ) -> None:
        """Clear tasks of a run, finished or not; a pair names one mapped instance.

        `keep_task_state` is known from Airflow 3.4 on.
        """
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "reset_dag_runs": True,
        }
        if keep_task_state is not None:
            body["keep_task_state"] = keep_task_state
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Set a task instance to `failed`, `success` or `skipped`, as the buttons of the UI do."""
        path = _task_path(dag_id, run_id, task_id, map_index)
        self.call("PATCH", path, json={"new_state": state})

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> Json:
        """Choose an option of a task that asks a person, as *Required Actions* of the UI does; returns the question."""
        path = f"{_task_path(dag_id, run_id, task_id)}/-1/hitlDetails"
        question = self._object(path)
        self.call("PATCH", path, json={"chosen_options": [option], "params_input": {}})
        return question

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """A value that a task pushed; raises httpx.HTTPStatusError (404) when there is none."""
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{key}"
        return self.get(path, map_index=map_index, deserialize=True)["value"]

    def state_store(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Json:
        """The task state store of a task instance, as a dict (Airflow 3.3)."""
        path = f"{_task_path(dag_id, run_id, task_id)}/state-store"
        return {row["key"]: row["value"] for row in self._list(path, "task_state_store", map_index=map_index)}

    def links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        path = f"{_task_path(dag_id, run_id, task_id)}/links"
        links: dict[str, str | None] = self.get(path, map_index=map_index)["extra_links"]
        return links

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, try_number: int | None = None
    ) -> str:
        """The log of one try (the last one when not named), a line per event with its fields."""
        number = try_number or max(1, self.task(dag_id, run_id, task_id, map_index)["try_number"])
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{number}"
        content = self.get(path, map_index=map_index, full_content=True)["content"]
        return "\n".join(_log_line(entry) for entry in content)

    def _object(self, path: str) -> Json:
        answer: Json = self.get(path)
        return answer

    def _list(self, path: str, key: str, **params: Any) -> list[Json]:
        rows: list[Json] = []
        while True:
            page = self.get(path, limit=100, offset=len(rows), **params)
            rows += page[key]
            if not page[key] or len(rows) >= page["total_entries"]:
                return rows


def name(task: Mapping[str, Any]) -> str:
    """`task_id`, with the map index where there is one."""
    index = task["map_index"]
    return f"{task['task_id']}[{index}]" if index >= 0 else str(task["task_id"])


def _task_path(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
    return f"{path}/{map_index}" if map_index >= 0 else path


def _log_line(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    fields = " ".join(f"{key}={value}" for key, value in entry.items() if key not in LOG_CONTEXT)
    line = f"{entry.get('timestamp') or ''} {entry.get('level') or ''} {entry['event']} {fields}".strip()
    for error in entry.get("error_detail") or []:
        for frame in (error.get("frames") or [])[-6:]:
            line += f"\n    {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
        line += f"\n    {error.get('exc_type')}: {error.get('exc_value')}"
    return line
