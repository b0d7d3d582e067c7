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
        line("the same while the batch runs: CPU", server["poll_running"]["cpu"] * 1000, 50, "ms"),
        line("the same while the batch runs: on the wire", server["poll_running"]["wire"] / 1000, 5, "kB", 1),
        line("a poll that brings a changed part of the batch: CPU", server["poll_reporting"]["cpu"] * 1000, 50, "ms"),
        line("tab with 500 cards, when opened", browser["memory_at_first"] / 1e6, 60, "MB"),
        line("the same, scrolled to its end", browser["memory_scrolled"] / 1e6, 60, "MB"),
        *_tabs(data, line),
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
            *_media(data),
            f"The whole run in one answer: {whole['cpu']:.2f} s of CPU, {whole['wire'] / 1000:,.0f} kB on the wire. "
            f"Through Airflow's own REST API the same values are {data['mapped']:,} calls of "
            f"{server['rest_value']['cpu'] * 1000:.0f} ms, {by_rest:.0f} s of CPU, beside the lists of instances "
            f"({server['rest_instances']['cpu'] * 1000:.0f} ms for 50): it has no call for many XComs with values.",
        ]
    )


KINDS = {"hosted": "videos that only the vendor has", "redirected": "videos in an object store, by redirect"}


def _tabs(data: dict[str, Any], line: Any) -> list[list[str]]:
    lines = []
    for kind, words in KINDS.items():
        if kind not in data:
            continue
        what = f"tab with 500 cards of {words}, scrolled to its end"
        if data[kind]["videos_held"] or data[kind]["posters_drawn"]:
            lines.append(line(what, data[kind]["memory_scrolled"] / 1e6, 60, "MB"))
        else:  # its memory says nothing of a page with videos
            lines.append([what, "<= 60 MB", "the browser showed none", "not measured"])
    return lines


def _media(data: dict[str, Any]) -> list[str]:
    """What the API server does for files in an object store; nothing where it was not measured."""
    if "streamed" not in data:
        return []
    streams = {
        "whole files, read to the end": data["streamed"]["whole"],
        "whole files, each left standing after its first block": data["streamed"]["stalled"],
        "parts of 1 MB": data["streamed"]["ranges"],
        "redirects": data["redirects"],
    }
    rows = [
        [
            words,
            found["times"],
            f"{found['bytes'] / 1e6:,.0f} MB",
            f"{found['memory'] / 1e6:,.0f} MB",
            f"{found['cpu'] * 1000 / found['times']:,.0f} ms",
        ]
        for words, found in streams.items()
    ]
    return [
        "A file of 32 MB in an object store (moto, on the same machine), asked for by all at once, redirects by four "
        "at a time. Memory is the API server's beyond what it had before, at its worst. What only the vendor has never "
        "comes through the API server.",
        table(["", "requests", "sent", "more memory", "CPU of each"], rows),
        "Frames of another origin may not be read, so cards near the window hold a paused video where others have a "
        f"picture: by redirect {data['redirected']['videos_held']} of them at the end of {data['shown']} cards.",
    ]
