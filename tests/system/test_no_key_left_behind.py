"""Runs last in each half: what all the other tests left behind holds no API key."""

from __future__ import annotations

import pytest

from tools.local_airflow import LocalAirflow

from .harness import API_KEYS

both_halves = pytest.mark.parametrize("half", ["first half", "second half"])


@both_halves
def test_no_key_stands_in_database_logs_xcoms_state_store_or_files(airflow: LocalAirflow, half: str) -> None:
    """Connections came from the environment, so the database has no reason to know a key at all."""
    assert airflow.rest.triggered  # something ran before
    found = {name: airflow.places_of(key) for name, key in API_KEYS.items()}
    assert {name: places for name, places in found.items() if places} == {}


@both_halves
def test_no_trigger_held_a_prompt(airflow: LocalAirflow, half: str) -> None:
    assert [place for place in airflow.places_of("[sandbox ") if place.startswith("trigger.")] == []
