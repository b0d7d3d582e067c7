"""The gallery in a real Airflow: its data and files for a run, and the page in a real browser, by keyboard too.

The browser's part needs chromium and chromedriver (``tools/browser.sh`` installs them).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_wan.sandbox import Sandbox
from tools.airflow_rest import wait_until
from tools.browser import Browser, why_missing
from tools.local_airflow import LocalAirflow

DAG = "gallery_states"
needs_browser = pytest.mark.skipif(why_missing() is not None, reason=why_missing() or "")
# A preview begins a quarter of a second after the pointer has come.
LATER = "setTimeout(done => done(document.querySelectorAll('.stage video').length), 600, arguments[0])"
AXE = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations))"


@pytest.fixture(scope="module")
def run_id(shared_airflow: LocalAirflow, shared_sandbox: Sandbox) -> Iterator[str]:
    shared_sandbox.reset()
    run_id = shared_airflow.rest.trigger(DAG)
    yield run_id
    shared_airflow.rest.set_run_state(DAG, run_id, "failed")


@pytest.fixture(scope="module")
def http(shared_airflow: LocalAirflow) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{shared_airflow.url}/wan-videos/", timeout=60, trust_env=False) as client:
        token = httpx.get(f"{shared_airflow.url}/auth/token", trust_env=False).json()["access_token"]
        client.cookies.set("_token", token)
        yield client


def cards(http: httpx.Client, run_id: str, **params: Any) -> list[dict[str, Any]]:
    answer = http.get(f"api/dags/{DAG}/videos", params={"run": run_id, **params})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["cards"]
    return found


@pytest.fixture(scope="module")
def ended(http: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """The cards once all have ended but the two that take their time."""

    def all_ended() -> list[dict[str, Any]] | None:
        found = cards(http, run_id)
        is_open = [card for card in found if card["state"] in ("waiting", "starting", "running")]
        ends = {card["airflow"] for card in found if card["task"] == "doubtful"}
        return found if len(found) == 27 and len(is_open) <= 2 and ends == {"failed"} else None

    return wait_until(all_ended, 300, "the videos are made", every=1)


def test_every_kind_of_task_has_its_cards(ended: list[dict[str, Any]]) -> None:
    states = {(card["task"], card.get("item"), card["index"]): card["state"] for card in ended}
    assert states["subclass", None, -1] == "done"
    assert states["decorated", None, -1] == "done"
    assert [states["seasons", None, index] for index in range(4)] == ["done"] * 4
    assert states["moderated", None, -1] == "failed"
    assert states["slow", None, -1] == "running"
    assert states["doubtful", None, -1] == "in_doubt"
    assert states["batch", "shot-1", -1] == "done"
    assert states["batch", "bad", -1] == "failed"
    assert states["batch", "long", -1] == "running"
    assert "not_ours" not in {card["task"] for card in ended}


def test_nothing_secret_is_shown(ended: list[dict[str, Any]]) -> None:
    assert "secret-signature" not in str(ended)


def test_stored_files_play_with_ranges(http: httpx.Client, run_id: str, ended: list[dict[str, Any]]) -> None:
    item = next(card for card in ended if card.get("item") == "shot-3")
    named = {"run": run_id, "task": "batch", "n": item["n"], "item": "shot-3"}
    whole = http.get(f"media/{DAG}", params=named)
    assert len(whole.content) == item["bytes"]
    part = http.get(f"media/{DAG}", params=named, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert http.get(f"media/{DAG}", params=named | {"item": "another"}).status_code == 404


def test_a_poll_with_nothing_new_is_small(http: httpx.Client, run_id: str, ended: list[dict[str, Any]]) -> None:
    answer = http.get(f"api/dags/{DAG}/videos", params={"run": run_id, "since": "2999-01-01T00:00:00Z"})
    assert answer.json()["cards"] == []
    assert len(answer.content) < 300


def test_a_forged_token_sees_nothing(shared_airflow: LocalAirflow, run_id: str) -> None:
    """Who sends no token at all is made an admin by this Airflow, on its own routes too."""
    url, forged = f"{shared_airflow.url}/wan-videos", {"Authorization": "Bearer forged"}
    for path in (f"/api/dags/{DAG}/videos?run=x", "/api/videos", f"/media/{DAG}?run=x&task=y", "/static/main.js"):
        assert httpx.get(f"{url}{path}", headers=forged, trust_env=False).status_code == 403
    assert httpx.get(f"{url}/", headers=forged, trust_env=False).status_code == 307


# -- in a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(shared_airflow: LocalAirflow) -> Iterator[Browser]:
    with Browser() as browser:
        browser.open(f"{shared_airflow.url}/")
        browser.wait("return document.body.innerText.includes('Dags')", timeout=90)
        yield browser


def open_run(browser: Browser, airflow: LocalAirflow, run_id: str, more: str = "") -> None:
    browser.open(f"{airflow.url}/wan-videos/?dag={DAG}&run={quote(run_id, safe='')}{more}")
    browser.wait("return document.querySelectorAll('.card').length", timeout=90)


@needs_browser
@pytest.mark.usefixtures("ended")
def test_a_video_is_opened_played_and_left_by_keyboard(
    browser: Browser, shared_airflow: LocalAirflow, run_id: str
) -> None:
    open_run(browser, shared_airflow, run_id, "&state=done&by=seasons")
    browser.run("document.querySelector('.opener').focus()")
    browser.press("ArrowRight", "Enter")
    browser.wait("const v = document.querySelector('dialog[open] video'); return v && v.currentTime > 0.1", timeout=60)
    first = browser.run("return document.querySelector('dialog[open] h2').textContent")
    browser.press("ArrowRight")
    browser.wait("return document.querySelector('dialog[open] h2').textContent !== arguments[0]", first)
    assert "open=" in browser.run("return location.search")
    browser.press("Escape")
    browser.wait("return !document.querySelector('dialog[open]')")
    assert browser.run("return document.activeElement.className") == "opener"
    assert browser.complaints() == []


@needs_browser
@pytest.mark.usefixtures("ended")
def test_markup_in_a_prompt_stays_text(browser: Browser, shared_airflow: LocalAirflow, run_id: str) -> None:
    open_run(browser, shared_airflow, run_id, "&by=markup")
    assert browser.run("return document.querySelector('.prompt').textContent").startswith(
        "<img src=x onerror=alert(1)>"
    )
    assert browser.run("return document.querySelectorAll('.card img, .card b').length") == 0
    browser.run("document.querySelector('.opener').click()")
    browser.run("document.querySelector('dialog[open] details[data-name=again]').open = true")
    code = browser.wait("return document.querySelector('dialog[open] .code code')?.textContent")
    assert "onerror=alert(1)> \\u202egnp.exe" in code
    assert "\u202e" not in code


@needs_browser
@pytest.mark.usefixtures("ended")
def test_posters_are_pictures_and_no_decoder_stays(browser: Browser, shared_airflow: LocalAirflow, run_id: str) -> None:
    open_run(browser, shared_airflow, run_id, "&by=seasons")
    browser.wait("return document.querySelectorAll('.card canvas.picture').length === 4")
    assert browser.wait("return [...document.querySelectorAll('.picture')].every(it => it.width >= 320)")
    assert browser.run("return document.querySelectorAll('video').length") == 0
    pixels = """
        const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
        context.drawImage(document.querySelector('.picture'), 0, 0);
        const { data } = context.getImageData(0, 0, 300, 150);
        return new Set(data.filter((_, place) => place % 4 === 0)).size;
    """
    assert browser.run(pixels) > 20  # levels of red: a picture, not a plain surface
    assert browser.complaints() == []


@needs_browser
@pytest.mark.usefixtures("ended")
def test_a_card_far_from_the_window_is_light_and_still_reached_by_key(
    browser: Browser, shared_airflow: LocalAirflow, run_id: str
) -> None:
    browser.resize(360, 600)
    try:
        open_run(browser, shared_airflow, run_id)
        browser.wait("return document.querySelector('.card .stage')")
        assert browser.run("return document.querySelectorAll('.card').length") == 27
        last = "[...document.querySelectorAll('.card')].at(-1)"
        assert browser.run(f"return {last}.querySelectorAll('*').length") <= 2
        assert browser.run(f"return {last}.querySelector('button').textContent").startswith("Open ")
        height = "return document.documentElement.scrollHeight"
        before = browser.run(height)
        browser.run("document.querySelector('.opener').focus()")
        browser.press("End")
        browser.wait(f"return {last}.querySelector('.stage') && {last}.contains(document.activeElement)")
        browser.wait("return !document.querySelector('.card').querySelector('.stage')")
        assert abs(browser.run(height) - before) < 40
    finally:
        browser.resize(1400, 900)


@needs_browser
@pytest.mark.usefixtures("ended")
def test_the_tab_in_airflow_shows_the_run(browser: Browser, shared_airflow: LocalAirflow, run_id: str) -> None:
    browser.open(f"{shared_airflow.url}/dags/{DAG}/runs/{quote(run_id, safe='')}/plugin/wan-videos-run")
    browser.wait("return document.querySelector('iframe')", timeout=90)
    browser.frame("iframe")
    assert browser.wait("return document.querySelectorAll('.card').length", timeout=60) == 27
    browser.frame(None)


@needs_browser
@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible(browser: Browser, shared_airflow: LocalAirflow, run_id: str, width: int, theme: str) -> None:
    browser.resize(width, 900)
    browser.run("localStorage.setItem('theme', arguments[0])", theme)
    open_run(browser, shared_airflow, run_id)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    browser.run(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8") + "; window.axe = axe")
    for opens in ("0", "document.querySelector('.card[data-state=failed] .opener').click()"):
        browser.run(opens)
        found = browser.run_async(AXE)
        assert [(one["id"], one["impact"]) for one in found if one["impact"] in ("serious", "critical")] == []


@needs_browser
@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("task", "state", "badge", "words"),
    [
        ("expired", "expired", "Expired", "vendor's address has expired"),
        ("doubtful", "in_doubt", "In doubt", "not known"),
        ("moderated", "failed", "Failed", "DataInspectionFailed"),
        ("slow", "running", "Running", "vendor works on it"),
    ],
)
def test_what_cannot_be_played_says_why(
    browser: Browser, shared_airflow: LocalAirflow, run_id: str, task: str, state: str, badge: str, words: str
) -> None:
    open_run(browser, shared_airflow, run_id, f"&by={task}")
    browser.wait(f"return document.querySelector('.card[data-state={state}] .badge')")
    assert browser.run("return document.querySelector('.card .badge').textContent") == badge
    assert browser.run("return document.querySelectorAll('.card').length") == 1
    assert browser.run("return document.querySelector('.card .pick').hidden")
    browser.run("document.querySelector('.opener').click()")
    assert words in browser.run("return document.querySelector('dialog[open]').innerText")
    assert browser.run("return document.querySelectorAll('dialog[open] video').length") == 0


@needs_browser
@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("query", "words"),
    [
        (f"dag={DAG}&run=no-such-run", "No Wan videos in this run so far"),
        (f"dag={DAG}&task=not_ours", "No Wan video here"),
        (f"dag={DAG}&q=nothing-like-it", "No video matches the filters"),
    ],
)
def test_a_place_without_videos_says_so(browser: Browser, shared_airflow: LocalAirflow, query: str, words: str) -> None:
    browser.open(f"{shared_airflow.url}/wan-videos/?{query}")
    browser.wait("return document.querySelector('.empty:not([hidden])').innerText.includes(arguments[0])", words)
    assert browser.run("return document.querySelectorAll('.card').length") == 0


@needs_browser
@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_nothing_moves_for_who_asks_for_less_motion(
    browser: Browser, shared_airflow: LocalAirflow, run_id: str, motion: str
) -> None:
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": motion}])
    try:
        open_run(browser, shared_airflow, run_id, "&by=seasons")
        browser.wait("return document.querySelector('.card canvas.picture')")
        browser.run("document.querySelector('.opener').dispatchEvent(new Event('pointerenter'))")
        if motion == "reduce":
            assert browser.run_async(LATER) == 0
        else:
            browser.wait("return document.querySelector('.stage video')")
        assert bool(browser.run("return document.getAnimations().length")) == (motion != "reduce")
    finally:
        browser.cdp("Emulation.setEmulatedMedia", features=[])


@needs_browser
@pytest.mark.usefixtures("ended")
def test_two_videos_are_compared_by_keyboard(browser: Browser, shared_airflow: LocalAirflow, run_id: str) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            if browser.run("return document.activeElement.matches(arguments[0])", selector):
                return
            browser.press("Tab")
        raise AssertionError(f"no way to {selector} by the tab key")

    open_run(browser, shared_airflow, run_id, "&by=seasons&sort=order")
    browser.wait("return document.querySelectorAll('.card canvas.picture').length === 4")
    tab_to(".opener")
    browser.press("c", "ArrowRight", "c")
    browser.wait("return document.querySelector('.tray .main')")
    tab_to(".tray .main")
    browser.press("Enter")
    playing = "return [...document.querySelectorAll('dialog[open] video')].filter(it => it.currentTime > 0.1).length"
    browser.wait("return document.querySelectorAll('dialog.compare[open] video').length === 2")
    assert "spring" in browser.run("return document.querySelector('dialog[open]').innerText")
    browser.press("Enter")  # the button that plays has the focus
    browser.wait(f"{playing} === 2")
    browser.press("Escape")
    browser.wait("return !document.querySelector('dialog[open]')")
    assert browser.complaints() == []
