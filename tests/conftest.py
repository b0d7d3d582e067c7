"""Read before anything imports Airflow: a home folder of its own, so that no test touches the user's.

Also how many examples a property is tried with: few and always the same ones by default, many new ones with
``--hypothesis-profile=thorough``. Tests marked ``thorough`` run with that profile only.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

_home = tempfile.mkdtemp(prefix="wan-tests-airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

_slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile(
    "quick", max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=_slow
)
settings.register_profile("thorough", max_examples=250, deadline=None, print_blob=True, suppress_health_check=_slow)
settings.load_profile("quick")


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # The first run of a DAG in a process takes ten times as long as the next ones: one process runs them all.
        if "airflow_database" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("database"))
    if settings.get_current_profile_name() == "thorough":
        return
    kept, left_out = [], []
    for item in items:
        (left_out if item.get_closest_marker("thorough") else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
