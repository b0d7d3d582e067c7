"""A headless Chromium by the WebDriver protocol, spoken with httpx: no further dependency.

Needs ``chromium`` and ``chromedriver`` (Debian: ``apt-get install chromium chromium-driver``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}


TRIES = 5


def why_missing() -> str | None:
    """Return what has to be installed for a browser, ``None`` where it is there."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(missing)} (Debian: apt-get install chromium chromium-driver)" if missing else None


def _driver() -> tuple[subprocess.Popen[str], str]:
    """Start a driver; return it and its port. It takes a free IPv4 port, and ends where the IPv6 one is taken."""
    for _ in range(TRIES):
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        assert driver.stdout is not None
        for line in driver.stdout:
            if found := re.search(r"successfully on port (\d+)", line):
                return driver, found[1]
        driver.stdout.close()
        driver.wait(10)
    raise RuntimeError(f"chromedriver ended {TRIES} times before it listened")


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        self._profile = tempfile.mkdtemp(prefix="wan-chromium-")
        self._driver, port = _driver()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        arguments = [*FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        options: dict[str, Any] = {"args": arguments}
        wanted = {
            "capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        }
        self._session = f"/session/{self._call('POST', '/session', wanted)['sessionId']}"
        if dark:
            self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._call("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait(10)
            if self._driver.stdout:
                self._driver.stdout.close()
            self._http.close()
            shutil.rmtree(self._profile, ignore_errors=True)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        content = json.dumps(body if body is not None else {}) if method == "POST" else None
        answer = self._http.request(method, path, content=content, headers={"Content-Type": "application/json"}).json()
        value = answer["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{value['error']}: {value['message'][:500]}")
        return value

    def cdp(self, command: str, **params: Any) -> Any:
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *args: Any) -> Any:
        """Run the body of a function in the page; ``arguments`` are its arguments."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script: str, *args: Any) -> Any:
        """As ``run``, for a script that calls its last argument with the result."""
        return self._call("POST", f"{self._session}/execute/async", {"script": script, "args": list(args)})

    def wait(self, script: str, *args: Any, timeout: float = 30) -> Any:
        """Ask until the script returns something true."""
        end = time.monotonic() + timeout
        while not (value := self.run(script, *args)):
            assert time.monotonic() < end, f"not within {timeout:g} s: {script}; the page says: {self.text()[:800]}"
            time.sleep(0.1)
        return value

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def press(self, *keys: str) -> None:
        for key in keys:
            code = KEYS.get(key, key)
            actions = [{"type": "keyDown", "value": code}, {"type": "keyUp", "value": code}]
            self._call(
                "POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]}
            )

    def frame(self, selector: str | None) -> None:
        """Go into an iframe, or (``None``) back to the page around it."""
        if selector is None:
            self._call("POST", f"{self._session}/frame", {"id": None})
            return
        found = self._call("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        self._call("POST", f"{self._session}/frame", {"id": found})

    def shot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def renderer_bytes(self) -> int:
        """The memory of the tab's own process (PSS), after a garbage collection."""
        self.cdp("HeapProfiler.collectGarbage")
        tabs = [process for process in psutil.Process(self._driver.pid).children(recursive=True) if _is_tab(process)]
        return sum(process.memory_full_info().pss for process in tabs)

    def complaints(self) -> list[str]:
        """The console's errors since the last call."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def _is_tab(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        line = process.cmdline()
        return "--type=renderer" in line and "--extension-process" not in line
    return False
