"""How fast the pages of a list are thought to bring ends."""

from __future__ import annotations

import pytest

from airflow_provider_wan.client.schedule.sweeps import Yields

PAGES, STEP = 10, 1.35


def sweep(yields: Yields, began: float, *ends: int) -> float:
    """Look at page after page; return when the next sweep begins."""
    yields.turn()
    for number, found in enumerate(ends, 1):
        yields.learn(number, found, began + number * STEP)
    return began + len(ends) * STEP


def test_pages_that_bring_nothing_are_expected_to_bring_nothing() -> None:
    yields = Yields()
    sweep(yields, sweep(yields, 0.0, *[0] * PAGES), *[0] * PAGES)
    assert yields.per_second == 0.0


def test_steady_ends_are_counted_over_the_time_since_the_last_look() -> None:
    yields, began = Yields(), 0.0
    for _ in range(4):
        began = sweep(yields, began, *[27] * PAGES)
    assert yields.per_second == pytest.approx(27 / (PAGES * STEP), rel=0.01)


def test_first_ends_are_taken_as_fresh() -> None:
    yields, began = Yields(), 0.0
    for _ in range(3):
        began = sweep(yields, began, *[0] * PAGES)
    sweep(yields, began, 0, 0, 2)
    # Over the whole sweep since page 3 was looked at they would be a tenth of that.
    assert yields.per_second == pytest.approx(2 / STEP)


def test_single_ends_of_a_page_that_is_looked_at_alone_are_no_rush() -> None:
    yields = Yields()
    for number, found in enumerate([0, 1, 0, 0, 1, 0]):
        yields.turn()
        yields.learn(1, found, number * 13.5)
    assert yields.per_second <= 1 / 13.5
