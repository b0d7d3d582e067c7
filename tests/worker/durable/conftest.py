"""The sandbox, attempts and short pauses of the room that does without Airflow."""

from tests.durable.conftest import *  # noqa: F403
