"""The Grafana dashboard asks for metrics that exist, and shows every one of them."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wan.telemetry.metrics import Metric

FILE = Path(__file__).resolve().parents[2] / "docs" / "dashboards" / "grafana.json"
PREFIX = "airflow_"
TIMERS = {Metric.QUEUE_TIME, Metric.RUN_TIME, Metric.DETECTION_TIME}
TAGS = {"vendor", "model", "currency", "quantile", "__name__"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def expressions(dashboard: dict[str, Any]) -> list[str]:
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [item["definition"] for item in dashboard["templating"]["list"] if "definition" in item]


def in_prometheus(metric: Metric) -> str:
    """The name that statsd_exporter gives a metric: every sign that is no letter, digit or underscore becomes one."""
    return PREFIX + re.sub(r"\W", "_", metric)


def test_it_shows_every_metric_and_no_other(dashboard: dict[str, Any]) -> None:
    asked = {name for text in expressions(dashboard) for name in re.findall(rf"{PREFIX}\w+", text)}
    # The class of the failure follows, whatever it is.
    assert asked == {in_prometheus(metric) + ("_" if metric is Metric.FAILED else "") for metric in Metric}


def test_counters_are_rates_and_timers_are_quantiles(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            is_timer = any(in_prometheus(timer) in target["expr"] for timer in TIMERS)
            assert ("quantile" in target["expr"]) == is_timer, panel["title"]
            assert bool(re.search(r"\b(rate|increase)\(", target["expr"])) != is_timer, panel["title"]


def test_it_groups_and_filters_by_tags_that_are_sent(dashboard: dict[str, Any]) -> None:
    for text in expressions(dashboard):
        groups = re.findall(r"\bby \(([^)]*)\)", text)
        labels = {label.strip() for group in groups for label in group.split(",")}
        labels |= set(re.findall(r"[{,]\s*(\w+)\s*=~", text))
        assert labels <= TAGS, text


def test_each_panel_says_what_it_shows_and_covers_no_other(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
