"""The fixtures of the tests that run operators without Airflow's processes."""

from tests.airflow_fixtures import *  # noqa: F403
