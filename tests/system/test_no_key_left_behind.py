"""Runs last: what all the other tests left behind holds no API key."""

from __future__ import annotations

import pytest
from harness import API_KEYS

from tools.local_airflow import LocalAirflow


@pytest.mark.parametrize("name", API_KEYS)
def test_no_key_stands_in_database_logs_xcoms_state_store_or_files(airflow: LocalAirflow, name: str) -> None:
    """Connections came from the environment, so the database has no reason to know a key at all."""
    assert airflow.rest.triggered  # something ran before
    assert airflow.places_of(API_KEYS[name]) == []


def test_no_trigger_held_a_prompt(airflow: LocalAirflow) -> None:
    assert [place for place in airflow.places_of("[sandbox ") if place.startswith("trigger.")] == []
