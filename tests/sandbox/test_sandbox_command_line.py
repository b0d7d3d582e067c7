from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from airflow_provider_wan.sandbox import Sandbox
from airflow_provider_wan.sandbox import __main__ as command_line

from .conftest import Wire, probe

MODULE = [sys.executable, "-m", "airflow_provider_wan.sandbox"]


@contextmanager
def running(*flags: str, tmp: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "TMPDIR": str(tmp)}
    process = subprocess.Popen(
        [*MODULE, "--port", "0", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.stderr.read() if process.stderr else ""
        yield process, line.split()[3]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_serves_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running("--generation-seconds", "0.01", "--set", "page_size_max=7", tmp=tmp_path) as (process, url):
        settings = httpx.get(f"{url}/sandbox/settings").json()
        assert (settings["generation_seconds"], settings["page_size_max"]) == ([0.01, 0.01], 7)
        headers = {"Authorization": "Bearer sk-x", "X-DashScope-Async": "enable"}
        body = {"model": "wan2.7-t2v", "input": {"prompt": "x"}, "parameters": {"duration": 2}}
        path = "/api/v1/services/aigc/video-generation/video-synthesis"
        task_id = httpx.post(url + path, json=body, headers=headers).json()["output"]["task_id"]
        httpx.post(f"{url}/sandbox/tasks/{task_id}/finish")
        video = httpx.get(f"{url}/api/v1/tasks/{task_id}", headers=headers).json()["output"]["video_url"]
        assert probe(httpx.get(video).content).seconds == 2.0
        assert list(tmp_path.iterdir())
        process.send_signal(number)
        _, errors = process.communicate(timeout=15)
        assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == [], "the rendered files are gone"


def test_listens_on_loopback_only(sandbox: Sandbox) -> None:
    port = httpx.URL(sandbox.url).port
    assert port is not None
    # Another address of this machine: answered if the sandbox listened on all of them.
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_port_that_is_taken(sandbox: Sandbox) -> None:
    port = str(httpx.URL(sandbox.url).port)
    done = subprocess.run([*MODULE, "--port", port], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"cannot listen on port {port}" in done.stderr


def test_wrong_setting(tmp_path: Path) -> None:
    done = subprocess.run([*MODULE, "--generation-seconds", "6:2"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "generation_seconds" in done.stderr


def test_imports_neither_airflow_nor_the_provider_client() -> None:
    code = (
        "import sys, airflow_provider_wan.sandbox as s; s.Sandbox; "
        "strange = ('airflow.', 'airflow_provider_wan.client'); "
        "bad = [m for m in sys.modules if m == 'airflow' or m.startswith(strange)]; "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_embedded_sandbox_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with Sandbox(generation_seconds=0, render="small") as sandbox:
        wire = Wire(sandbox)
        url = wire.finished("x")["output"]["video_url"]
        assert wire.plain.get(url).status_code == 200
        renderer = sandbox.app.renderer
        process, directory = renderer._process, renderer._directory
        assert process is not None
        assert directory is not None
        wire.close()
    assert process.poll() is not None
    assert not directory.exists()
    assert set(threading.enumerate()) <= before
    assert len(sandbox.ledger()["billed"]) == 1, "the ledger can be read when it has ended"


def test_stop_does_not_wait_for_a_hanging_request() -> None:
    with Sandbox(answer_delay=60) as sandbox:
        wire = Wire(sandbox)
        with pytest.raises(httpx.ReadTimeout):
            wire.http.get("/api/v1/tasks", timeout=0.2)
        wire.close()


def test_waiting_for_what_never_comes_ends(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda ledger: bool(ledger["billed"]), timeout=0.1)


@pytest.mark.parametrize("is_installed", [True, False])
def test_without_its_extra_it_says_what_to_install_before_anything_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_installed: bool
) -> None:
    monkeypatch.setattr(command_line, "find_spec", lambda name: object() if is_installed else None)
    monkeypatch.setattr(Sandbox, "serve_forever", lambda self, on_ready: None)
    assert command_line.main(["--port", "0"]) == 0
    assert ("pip install 'airflow-provider-wan[sandbox]'" in capsys.readouterr().err) != is_installed
