"""A home folder for Airflow that is read when Airflow is imported: the user's own must not be touched."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def environment(home: str) -> dict[str, str]:
    """The variables of a process that uses Airflow's classes without its services."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return env | {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }


def make_own() -> None:
    """Give this process a home that ends with it; call before anything imports Airflow."""
    home = tempfile.mkdtemp(prefix="wan-bench-airflow-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(environment(home))
