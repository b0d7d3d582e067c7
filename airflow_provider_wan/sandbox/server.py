"""Runs the sandbox: embedded in a thread, or in the foreground for the command line."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate
from types import TracebackType
from typing import Any, TypeVar

import uvicorn

from airflow_provider_wan.sandbox.app import SandboxApp
from airflow_provider_wan.sandbox.front.control import apply
from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.world.clock import Clock

T = TypeVar("T")
HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """Signals when it listens; its Date header may go wrong."""

    on_started: Callable[[], None]
    skew: Callable[[], float]

    async def on_tick(self, counter: int) -> bool:
        over = await super().on_tick(counter)
        self.date()
        return over

    def date(self) -> None:
        """Put the vendor's time in place of this machine's."""
        headers = self.server_state.default_headers
        if self.skew() and any(name == b"date" for name, _ in headers):
            shown = formatdate(time.time() + self.skew(), usegmt=True).encode()
            self.server_state.default_headers = [(b"date", shown), *(h for h in headers if h[0] != b"date")]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()


class Sandbox:
    """The vendors' APIs on a loopback port; a context manager. ``settings`` are those of ``Settings``.

    >>> with Sandbox(generation_seconds=1) as sandbox:
    ...     print(sandbox.url)  # doctest: +SKIP
    """

    def __init__(self, port: int = 0, *, clock: Clock | None = None, **settings: Any) -> None:
        self._port = port
        self.settings = Settings(**settings)
        self.app = SandboxApp(self.settings, lambda: self.url, clock)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._happened = threading.Condition()
        self._events = 0

    # Life --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base URL, ``http://127.0.0.1:PORT``."""
        if self._socket is None:
            raise RuntimeError("the sandbox is not running")
        return f"http://{HOST}:{self._socket.getsockname()[1]}"

    def base_url(self, vendor: str) -> str:
        """Return where a vendor's API is: what a connection to it has as its host."""
        return f"{self.url}/openai" if vendor == "openai" else self.url

    def start(self) -> Sandbox:
        """Listen, in a thread of its own; raises ``OSError`` if the port is taken."""
        server = self._prepare()
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(server, ready), name="wan-sandbox", daemon=True)
        self._thread.start()
        try:
            ready.result(timeout=30)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server, its renderer and its files."""
        if self._server is not None:
            self._server.should_exit = True
            # Requests that hang on purpose (held downloads, delays) must not hold the exit.
            self._server.force_exit = True
        if self._thread is not None:
            self._thread.join(timeout=30)
        if self._socket is not None:
            self._socket.close()
        self.app.renderer.close()
        # The ledger can still be read; webhooks, which need the loop, are over.
        self.app.world.on_change = lambda task: None
        self._server = self._thread = self._socket = self._loop = None

    def serve_forever(self, on_ready: Callable[[str], None]) -> None:
        """Serve in the foreground until SIGINT or SIGTERM."""
        server = self._prepare()
        try:
            # uvicorn raises the signals that it caught once more when it has ended; our handlers make that harmless,
            # so that the renderer and the files are cleared away.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            asyncio.run(self._serve(server, lambda: on_ready(self.url)))
        finally:
            self.stop()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Looking in, from any thread ---------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """Return the ledger, as ``GET /sandbox/ledger`` does."""
        return self._call(self.app.world.report)

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks, as ``GET /sandbox/tasks`` does."""
        return self._call(lambda: [self.app.control.shown(task) for task in self.app.world.all_tasks()])

    def uploads(self) -> list[dict[str, Any]]:
        """Return what was uploaded or fetched, as ``GET /sandbox/uploads`` does."""
        return self._call(self.app.control.uploads)

    def configure(self, **settings: Any) -> None:
        """Change settings at once; raises pydantic's ``ValidationError``."""
        self._call(lambda: self.app.configure(settings))

    def reset(self) -> None:
        """Forget everything and return to the settings of the start."""
        self._call(self.app.reset)

    def change(self, task_id: str, change: str, **given: Any) -> None:
        """``finish``, ``fail`` (``code``, ``message``), ``cancel``, ``expire`` or ``release`` a task.

        Raises ``KeyError`` for an unknown task or change, ``NotPossible`` when the state forbids it.
        """

        def work() -> None:
            if not apply(self.app.world, self.app.world.tasks[task_id], change, given):
                raise KeyError(change)

        self._call(work)
        self._pulse()

    def wait_for(self, true: Callable[[dict[str, Any]], bool], timeout: float = 20.0) -> dict[str, Any]:
        """Wait until ``true`` holds of the ledger, and return it; raises ``TimeoutError`` after ``timeout`` seconds.

        Looks again at each request and each task that ends, so it costs nothing in between.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self._events
            ledger = self.ledger()
            if true(ledger):
                return ledger
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the ledger did not come to what was awaited within {timeout:g} s")
            due = self._call(self.app.world.next_event) - self.app.world.now()
            with self._happened:
                self._happened.wait_for(lambda: self._events != seen, min(left, max(due, 0.005)))  # noqa: B023

    # Inside ------------------------------------------------------------------------------------------------

    def _prepare(self) -> _Server:
        # The protocol is named because asyncio switches Nagle's delay off only on sockets that say TCP; with it,
        # every answer takes 40 ms longer.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, self._port))
        except OSError:
            self._socket.close()
            self._socket = None
            raise
        self.app.gateway.on_request = lambda vendor, kind, outcome: self._pulse()
        config = uvicorn.Config(
            self.app.asgi(),
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            lifespan="off",
            ws="none",
        )
        self._server = server = _Server(config)
        server.skew = lambda: self.settings.clock_skew_seconds
        self.app.on_configure = server.date
        return server

    def _run(self, server: _Server, ready: Future[None]) -> None:
        try:
            asyncio.run(self._serve(server, lambda: ready.set_result(None)))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            if not ready.done():
                ready.set_exception(error)

    async def _serve(self, server: _Server, on_ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        listener = self._socket
        if listener is None:
            raise RuntimeError("the sandbox has no socket")
        server.on_started = on_ready
        await server.serve([listener])

    def _call(self, work: Callable[[], T]) -> T:
        """Do ``work`` on the server's loop, which owns the world, and return its result."""
        loop = self._loop
        if loop is None or self._thread is None:
            return work()

        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), loop).result(timeout=30)

    def _pulse(self) -> None:
        with self._happened:
            self._events += 1
            self._happened.notify_all()
