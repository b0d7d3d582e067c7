"""The page's part on the gallery."""

from __future__ import annotations

from typing import Any

from benchmarks.page import table, verdict


def section(data: dict[str, Any]) -> str:
    server, browser, plugin = data["server"], data["browser"], data["plugin"]
    whole, poll = server["whole"], server["poll"]
    by_rest = data["mapped"] * server["rest_value"]["cpu"]

    def line(what: str, measured: float, limit: float, unit: str, digits: int = 0) -> list[str]:
        shown = f"{measured:,.{digits}f} {unit}"
        return [what, f"<= {limit:,.{digits}f} {unit}", shown, verdict(measured, limit)]

    lines = [
        line("first cards after the page's own load", browser["first_card"], 1, "s", 2),
        line("a poll with nothing new: CPU of the API server", poll["cpu"] * 1000, 50, "ms"),
        line("a poll with nothing new: on the wire", poll["wire"] / 1000, 5, "kB", 1),
        line("tab with 500 cards, when opened", browser["memory_at_first"] / 1e6, 60, "MB"),
        line("the same, scrolled to its end", browser["memory_scrolled"] / 1e6, 60, "MB"),
        line("import of the plugin in other processes", plugin["ms"], 1, "ms", 2),
        line("modules that it brings beside its own", plugin["modules"], 0, ""),
    ]
    return "\n\n".join(
        [
            "## The gallery",
            f"A run of {data['mapped']:,} mapped tasks and a batch of {data['items']:,}, written into the database "
            "of a real API server (SQLite), and Chromium without a GPU. Memory is the renderer process's (PSS) beyond "
            "that of an empty tab.",
            table(["", "wanted", "measured", "verdict"], lines),
            f"The whole run in one answer: {whole['cpu']:.2f} s of CPU, {whole['wire'] / 1000:,.0f} kB on the wire. "
            f"Through Airflow's own REST API the same values are {data['mapped']:,} calls of "
            f"{server['rest_value']['cpu'] * 1000:.0f} ms, {by_rest:.0f} s of CPU, beside the lists of instances "
            f"({server['rest_instances']['cpu'] * 1000:.0f} ms for 50): it has no call for many XComs with values.",
        ]
    )
