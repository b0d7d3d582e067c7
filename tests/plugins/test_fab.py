"""The gallery under the FAB auth manager: its roles see no plugin tabs, and reach the page by the link of a task.

Needs ``pip install apache-airflow-providers-fab``, which the project's own environments are without.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_wan.links.gallery import GENERATION_KEY, generation, page_address
from airflow_provider_wan.sandbox.video.render import render
from tools.airflow_rest import AirflowRest
from tools.browser import Browser, why_missing
from tools.local_airflow import LocalAirflow

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
pytestmark = pytest.mark.skipif(
    find_spec("airflow.providers.fab") is None, reason="no apache-airflow-providers-fab: pip install it to run this"
)
PEOPLE = """
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

FILMS = [("can_read", name) for name in ("DAG:films", "Task Instances", "XComs", "DAG Runs", "Website")]
with get_application_builder() as builder:
    manager = builder.sm
    manager.bulk_sync_roles([{"role": "Films", "perms": FILMS}, {"role": "Tabs", "perms": [("can_read", "Plugins")]}])
    for name, roles in {
        "boss": ["Admin"], "viewer": ["Viewer"], "user": ["User"], "op": ["Op"], "films": ["Films"],
        "tabs": ["Viewer", "Tabs"], "public": ["Public"],
    }.items():
        found = [manager.find_role(role) for role in roles]
        assert manager.add_user(name, name, name, f"{name}@example.com", found, password=name), name
"""
ROUTES = ("api/dags/{dag}/videos", "api/dags/{dag}/videos?run={run}", "media/{dag}?run={run}&task=film")


class Fab(NamedTuple):
    airflow: LocalAirflow
    runs: dict[str, str]
    bytes: bytes

    def token(self, name: str) -> str:
        rest = AirflowRest(self.airflow.url, (name, name))
        try:
            return rest.token()
        finally:
            rest.close()

    def as_(self, name: str) -> httpx.Client:
        cookies = {"_token": self.token(name)}
        return httpx.Client(base_url=f"{self.airflow.url}/", cookies=cookies, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fab]:
    home = tmp_path_factory.mktemp("fab")
    store = home / "store"
    store.mkdir()
    render({"path": f"{store}/film.mp4", "width": 320, "height": 180, "seconds": 1, "lines": [], "prompt": "A boat"})
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__WAN__GALLERY_ROOTS": f"file://{store}",
        "PYTHONPATH": str(CHECKOUT),
    }
    airflow = LocalAirflow(home / "airflow", [HERE / "dags"], env=env, components=("api-server", "dag-processor"))
    airflow.rest = AirflowRest(airflow.url, ("boss", "boss"))
    with airflow:
        made = subprocess.run(
            [sys.executable, "-c", PEOPLE], env=airflow.environment(), cwd=home, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr[-2000:]
        runs = {dag: airflow.rest.trigger(dag) for dag in ("films", "others")}
        shown = generation("submitted", {"prompt": "A boat", "mode": "text_to_video"}, handle={"task_id": "t-1"})
        result = {"task_id": "t-1", "uri": f"file://{store}/film.mp4", "status": "succeeded"}
        for dag, run in runs.items():
            link = page_address(airflow.url, dag, run, "film", -1)
            for key, value in ((GENERATION_KEY, shown), ("return_value", result), ("_link_WanVideoLink", link)):
                path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/film/xcomEntries"
                airflow.rest.call("POST", path, json={"key": key, "value": value, "map_index": -1})
            airflow.rest.mark(dag, run, "film", "success")
        yield Fab(airflow, runs, (store / "film.mp4").read_bytes())


def links_of(http: httpx.Client, dag: str, run: str) -> Any:
    return http.get(f"api/v2/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/film/links")


@pytest.mark.parametrize("name", ["viewer", "user", "films"])
def test_who_sees_no_tabs_gets_the_page_by_the_tasks_link(fab: Fab, name: str) -> None:
    with fab.as_(name) as http:
        assert http.get("api/v2/plugins").status_code == 403
        link = links_of(http, "films", fab.runs["films"]).json()["extra_links"]["Generated video"]
        page = http.get(link)
        assert page.status_code == 200
        assert "static/main.js" in page.text
        (card,) = http.get(f"wan-videos/api/dags/films/videos?task=film&run={quote(fab.runs['films'])}").json()["cards"]
        assert (card["state"], card["prompt"]) == ("done", "A boat")
        media = http.get("wan-videos/media/films", params={"run": fab.runs["films"], "task": "film"})
        assert (media.status_code, media.content) == (200, fab.bytes)


@pytest.mark.parametrize("name", ["op", "tabs", "boss"])
def test_the_permission_to_read_plugins_shows_the_tabs(fab: Fab, name: str) -> None:
    with fab.as_(name) as http:
        plugins = http.get("api/v2/plugins", params={"limit": 100}).json()["plugins"]
    assert "wan_gallery" in {plugin["name"] for plugin in plugins}


@pytest.mark.parametrize("route", ROUTES)
def test_who_may_read_one_dag_sees_nothing_of_another(fab: Fab, route: str) -> None:
    with fab.as_("films") as films, fab.as_("viewer") as viewer:
        for dag, status in (("films", 200), ("others", 403)):
            path = f"wan-videos/{route.format(dag=dag, run=quote(fab.runs[dag], safe=''))}"
            assert films.get(path).status_code == status
            assert viewer.get(path).status_code == 200


def test_the_overview_shows_the_dags_that_the_viewer_may_read(fab: Fab) -> None:
    seen = {}
    for name in ("films", "viewer"):
        with fab.as_(name) as http:
            seen[name] = {card["dag"] for card in http.get("wan-videos/api/videos").json()["cards"]}
    assert seen == {"films": {"films"}, "viewer": {"films", "others"}}


def test_a_role_without_permissions_gets_403_of_every_route(fab: Fab) -> None:
    with fab.as_("public") as http:
        for route in (*ROUTES, "api/videos"):
            assert http.get(f"wan-videos/{route.format(dag='films', run=quote(fab.runs['films']))}").status_code == 403


def test_without_a_session_the_page_leads_to_fabs_login_and_back(fab: Fab) -> None:
    page = page_address(fab.airflow.url, "films", fab.runs["films"], "film")
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as http:
        answer = http.get(page)
        assert "/auth/login" in str(answer.url)
        assert 'name="password"' in answer.text


@pytest.mark.skipif(why_missing() is not None, reason=why_missing() or "")
def test_a_viewers_browser_shows_the_video(fab: Fab) -> None:
    with Browser() as browser:
        browser.cdp("Network.setCookie", name="_token", value=fab.token("viewer"), url=fab.airflow.url)
        browser.open(page_address(fab.airflow.url, "films", fab.runs["films"], "film"))
        browser.wait("return document.querySelector('.card[data-state=done] canvas.picture')", timeout=60)
        browser.cdp("Network.setCookie", name="_token", value=fab.token("films"), url=fab.airflow.url)
        browser.open(page_address(fab.airflow.url, "others", fab.runs["others"]))
        browser.wait("return document.querySelector('.empty:not([hidden])').innerText.includes('may not')", timeout=60)
