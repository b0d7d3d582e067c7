"""The gallery in this Airflow's own API server, below a prefix: what every supported version has to agree on.

No task runs: what tasks write is put there through Airflow's public API.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_wan.links.gallery import GENERATION_KEY, generation
from airflow_provider_wan.sandbox.video.render import render
from tools.browser import Browser, why_missing
from tools.local_airflow import LocalAirflow

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PROMPT = '<img src=x onerror=alert(1)> \u202egnp.exe \u6cb3\u8fb9 "quotes"'
HOSTILE = {
    "passwd": "/etc/passwd",
    "file": "file:///etc/passwd",
    "outside": "s3://somebody-elses-bucket/x.mp4",
    "climbing": "file://{store}/../secret.mp4",
    "page": "file://{store}/page.mp4",
}
# One server is started, not one in each process that runs tests.
pytestmark = pytest.mark.xdist_group("server")
needs_browser = pytest.mark.skipif(why_missing() is not None, reason=why_missing() or "")


class Server(NamedTuple):
    airflow: LocalAirflow
    http: httpx.Client
    run_id: str
    hostile: dict[str, str]
    bytes: bytes

    def cards(self, path: str, **params: Any) -> dict[str, dict[str, Any]]:
        answer = self.http.get(f"wan-videos/api/{path}", params=params)
        answer.raise_for_status()
        return {card["task"]: card for card in answer.json()["cards"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("gallery")
    store = home / "store"
    store.mkdir()
    render({"path": f"{store}/film.mp4", "width": 320, "height": 180, "seconds": 1, "lines": [], "prompt": "A boat"})
    (home / "secret.mp4").write_bytes((store / "film.mp4").read_bytes())
    (store / "page.mp4").write_text("<script>alert(1)</script>")
    env = {"AIRFLOW__WAN__GALLERY_ROOTS": f"file://{store}", "PYTHONPATH": str(CHECKOUT)}
    with LocalAirflow(
        home / "airflow", [HERE / "dags"], env=env, components=("api-server", "dag-processor"), prefix="/airflow"
    ) as airflow:
        run_id = airflow.rest.trigger("films")
        made = {"task_id": "t-1", "uri": f"file://{store}/film.mp4", "video_url": "https://result.example.com/x.mp4"}
        shown = generation("submitted", {"prompt": PROMPT, "mode": "text_to_video"}, handle={"task_id": "t-1"})
        hostile = {name: uri.format(store=store) for name, uri in HOSTILE.items()}
        write(airflow, run_id, "film", GENERATION_KEY, shown)
        write(airflow, run_id, "film", "return_value", made | {"status": "succeeded"})
        airflow.rest.mark("films", run_id, "film", "success")
        with httpx.Client(base_url=f"{airflow.url}/", timeout=60, trust_env=False) as http:
            http.cookies.set("_token", http.get("auth/token").json()["access_token"])
            yield Server(airflow, http, run_id, hostile, (store / "film.mp4").read_bytes())


def write(airflow: LocalAirflow, run_id: str, task_id: str, key: str, value: Any) -> None:
    path = f"/dags/films/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries"
    airflow.rest.call("POST", path, json={"key": key, "value": value, "map_index": -1})


def test_a_users_own_class_is_found_wherever_one_looks(server: Server) -> None:
    for found in (
        server.cards("dags/films/videos", run=server.run_id),
        server.cards("dags/films/videos"),
        server.cards("videos"),
    ):
        assert found["film"]["state"] == "done"
        assert found["film"]["prompt"] == PROMPT
        assert found["film"]["operator"] == "BrandFilm"
        assert found["clip"]["state"] == "waiting"
        assert "not_ours" not in found


def test_the_stored_file_plays_with_ranges(server: Server) -> None:
    named = {"run": server.run_id, "task": "film"}
    whole = server.http.get("wan-videos/media/films", params=named)
    assert (whole.status_code, whole.content) == (200, server.bytes)
    part = server.http.get("wan-videos/media/films", params=named, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_an_xcom_that_names_what_is_not_its_own_is_refused(server: Server, name: str) -> None:
    """Roles that may edit XComs can write such ones through Airflow's API."""
    task_id = f"names_{name}"
    write(server.airflow, server.run_id, task_id, "return_value", {"task_id": "t-2", "uri": server.hostile[name]})
    answer = server.http.get("wan-videos/media/films", params={"run": server.run_id, "task": task_id})
    assert answer.status_code == (415 if name == "page" else 403)
    assert "root:" not in answer.text
    assert "<script>" not in answer.text


def test_nobody_is_let_in_with_a_forged_token(server: Server) -> None:
    forged = {"Authorization": "Bearer forged", "Cookie": ""}
    for path in ("api/videos", "api/dags/films/videos", "media/films?run=x&task=y", "static/main.js"):
        assert httpx.get(f"{server.airflow.url}/wan-videos/{path}", headers=forged, trust_env=False).status_code == 403


def test_airflow_lists_the_tabs(server: Server) -> None:
    plugins = server.airflow.rest.get("/plugins", limit=100)["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "wan_gallery"]
    views = {view["destination"] for view in ours["external_views"]}
    assert views == {"nav", "dag", "dag_run", "task_instance"}


@needs_browser
def test_the_tab_shows_the_video_below_a_prefix_and_on_a_wall_of_4k(server: Server) -> None:
    run = quote(server.run_id, safe="")
    with Browser() as browser:
        browser.cdp("Network.setCookie", name="_token", value=server.http.cookies["_token"], url=server.airflow.url)
        browser.open(f"{server.airflow.url}/dags/films/runs/{run}/plugin/wan-videos-run")
        browser.wait("return document.querySelector('iframe')", timeout=90)
        browser.frame("iframe")
        browser.wait("return document.querySelector('.card canvas.picture')", timeout=60)
        browser.frame(None)
        browser.resize(3840, 2160)
        browser.open(f"{server.airflow.url}/wan-videos/?dag=films&run={run}&open=films|{run}|film|-1|")
        browser.wait("const it = document.querySelector('dialog[open] video'); return it && it.videoWidth", timeout=60)
        assert browser.run("return getComputedStyle(document.documentElement).fontSize") == "18px"
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("return document.querySelector('.prompt').textContent") == PROMPT
        assert browser.run("return document.querySelectorAll('.card img').length") == 0
        link = browser.run("return document.querySelector('dialog .links a').href")
        assert link.startswith(f"{server.airflow.url}/dags/films/runs/")
