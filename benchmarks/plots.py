"""Plots of the fan-out: queries per video and detection latency against the number of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# Text stays text, and the same measurements give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "wan", "font.size": 10})

from matplotlib import pyplot  # noqa: E402 - after its back end is chosen

COLOURS = {
    "sdk threads": "#b0b0b0",
    "blocking": "#d08770",
    "to_thread": "#b48ead",
    "HttpEvent": "#8f9fb3",
    "wan": "#1f6feb",
    "wan, no list": "#2da44e",
    "wan batch": "#79b8ff",
}


def draw(data: dict[str, Any], folder: Path) -> list[Path]:
    """Write both plots; return their paths."""
    delivered = [row for row in data["rows"] if row["delivered"] and row["name"] in COLOURS]
    return [
        _plot(
            folder / "queries_per_video.svg",
            "queries per video delivered (pages of the task list included)",
            {
                name: [(row["n"], row["requests"] / row["delivered"]) for row in _of(delivered, name)]
                for name in COLOURS
            },
            limit=1.0,
        ),
        _plot(
            folder / "detection_latency.svg",
            "mean seconds from a task's end to its event (of those delivered)",
            {name: [(row["n"], row["mean"]) for row in _of(delivered, name)] for name in COLOURS},
            limit=data["interval"] / 2,
        ),
    ]


def _of(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return sorted((row for row in rows if row["name"] == name), key=lambda row: row["n"])


def _plot(path: Path, title: str, lines: dict[str, list[tuple[int, float]]], limit: float) -> Path:
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for name, points in lines.items():
        if points:
            style = "-" if name.startswith("wan") else "--"
            axes.plot(*zip(*points, strict=True), style, marker="o", markersize=4, color=COLOURS[name], label=name)
    axes.axhline(limit, color="black", linewidth=0.8, linestyle=":", label=f"limit ({limit:g})")
    axes.set(xscale="log", yscale="log", xlabel="tasks in flight", title=title)
    axes.set_xticks([20, 100, 300, 1000], ["20", "100", "300", "1,000"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
