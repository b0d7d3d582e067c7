"""Drives a soak as Airflow's scheduler would: hands steps to workers and triggers to a triggerer, and kills both.

It keeps what Airflow's database keeps: which step is due, and the serialized triggers. All work at the vendor is done
by other processes; a killed one is started again with what is open.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.sandbox_process import SandboxProcess, connection

from .pipes import Child
from .settings import Moment, Soak, conn_id
from .tally import Tally, Verdict, judged

OVER = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


@dataclass
class Video:
    """One Airflow task: what is open of it."""

    key: str
    vendor: str
    prompt: str
    since: str = ""
    event: dict[str, Any] | None = None
    trigger: Any = None
    attempts: int = 0
    has_waited: bool = False
    is_landed: bool = False

    def job(self) -> dict[str, Any]:
        return {
            "id": self.key,
            "vendor": self.vendor,
            "prompt": self.prompt,
            "since": self.since,
            "event": self.event,
        }


class Run:
    """One soak; ``run`` returns when every video is landed or given up."""

    def __init__(self, soak: Soak, sandbox: SandboxProcess, folder: Path) -> None:
        self.tally = Tally()
        self._soak = soak
        self._sandbox = sandbox
        self._folder = folder
        (folder / "videos").mkdir()
        self._videos = {
            f"{vendor}-{number}": Video(f"{vendor}-{number}", vendor, soak.prompt(vendor, number))
            for number in range(soak.each)
            for vendor in soak.vendors
        }
        self._due: asyncio.PriorityQueue[tuple[bool, int, Video]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._moments = list(soak.moments)
        self._triggerer: Child | None = None
        self._workers: dict[int, Child] = {}
        self._hands: dict[int, dict[str, Video]] = {index: {} for index in range(soak.workers)}
        self._later: set[asyncio.TimerHandle] = set()
        self._over = asyncio.Event()
        self._began = 0.0

    async def run(self) -> Tally:
        """Run to the end.

        :raises TimeoutError: when not everything is decided in time; the tally tells how far it came.
        :raises RuntimeError: when a child ended by itself.
        """
        self._began = time.monotonic()
        for video in self._videos.values():
            self._attempt(video)
        serving = [asyncio.create_task(self._serve_triggerer())]
        serving += [asyncio.create_task(self._serve_worker(index)) for index in self._hands]
        over = asyncio.create_task(self._over.wait())
        try:
            done, _ = await asyncio.wait(
                [over, *serving], timeout=self._soak.patience_of_all, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            if over not in done:
                raise TimeoutError(f"not decided in time: {self._open()[:10]}; {self.tally}")
        finally:
            self.tally.seconds = time.monotonic() - self._began
            await self._end([over, *serving])
        return self.tally

    async def _end(self, serving: list[asyncio.Task[Any]]) -> None:
        for handle in self._later:
            handle.cancel()
        self._over.set()
        for child in self._children():
            child.kill()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.gather(*(child.gone() for child in self._children()))

    def _children(self) -> Iterator[Child]:
        yield from self._workers.values()
        if self._triggerer is not None:
            yield self._triggerer

    def _open(self) -> list[str]:
        return [key for key, video in self._videos.items() if not video.is_landed and key not in self.tally.lost]

    # -- processes ------------------------------------------------------------------------------------

    def _env(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        for vendor in self._soak.vendors:
            name = f"AIRFLOW_CONN_{conn_id(vendor).upper()}"
            env[name] = connection(self._sandbox.url, vendor, **self._soak.connection)
        return env

    async def _start(self, module: str, name: str) -> Child:
        given = {"folder": str(self._folder), **self._soak.for_children()}
        return await Child.start(module, given, self._folder / f"{name}.log", self._env())

    async def _serve_triggerer(self) -> None:
        while not self._over.is_set():
            self._triggerer = await self._start("triggerer", "triggerer")
            for video in self._videos.values():
                if video.trigger is not None:
                    self._trigger(video)
            async for message in self._triggerer.messages():
                self._hear_event(self._videos[message["id"]], message)
            await self._triggerer.gone()

    async def _serve_worker(self, index: int) -> None:
        hands = self._hands[index]
        while not self._over.is_set():
            child = self._workers[index] = await self._start("worker", f"worker-{index}")
            free = asyncio.Semaphore(self._soak.slots)
            feeding = asyncio.create_task(self._feed(child, hands, free))
            try:
                async for message in child.messages():
                    video = hands.pop(message["id"])
                    free.release()
                    self._hear_worker(video, message)
            finally:
                feeding.cancel()
            await child.gone()
            for video in [*hands.values()]:
                # As the scheduler does with tasks whose worker's heartbeat is missing.
                del hands[video.key]
                self._failed(video, "the worker was killed", is_retryable=True)

    async def _feed(self, child: Child, hands: dict[str, Video], free: asyncio.Semaphore) -> None:
        while True:
            await free.acquire()
            _, _, video = await self._due.get()
            hands[video.key] = video
            child.send(video.job())

    # -- what is due ----------------------------------------------------------------------------------

    def _attempt(self, video: Video) -> None:
        video.attempts += 1
        video.since, video.event, video.trigger = datetime.now(UTC).isoformat(), None, None
        self._put(video)

    def _put(self, video: Video) -> None:
        """Let a worker have it: finished ones first, in the order of their coming."""
        self._due.put_nowait((video.event is None, next(self._order), video))

    def _trigger(self, video: Video) -> None:
        self.tally.counts["triggers started"] += 1
        if self._triggerer is not None:
            self._triggerer.send({"id": video.key, "trigger": video.trigger})

    def _hear_worker(self, video: Video, message: dict[str, Any]) -> None:
        self.tally.counts["adopted"] += bool(message.get("adopted"))
        match message["outcome"]:
            case "deferred":
                video.trigger, video.has_waited = message["trigger"], True
                self._trigger(video)
            case "searching":
                self.tally.come_backs[kind(message["why"])] += 1
                video.trigger = message["trigger"]
                self._trigger(video)
            case "come back":
                self.tally.come_backs[kind(message["why"])] += 1
                self._in(message["seconds"], lambda: self._put(video))
            case "landed":
                video.is_landed = True
            case _:
                self._failed(video, message["why"], is_retryable=message["retryable"])
        self._look_at_the_time()

    def _hear_event(self, video: Video, message: dict[str, Any]) -> None:
        video.trigger = None
        if "error" in message:
            self._failed(video, message["error"], is_retryable=True)
        else:
            video.event = message["event"]
            self._put(video)

    def _failed(self, video: Video, why: str, *, is_retryable: bool) -> None:
        self.tally.failures[kind(why)] += 1
        if is_retryable and video.attempts <= self._soak.retries:
            self._in(self._soak.retry_delay, lambda: self._attempt(video))
        else:
            self.tally.lost[video.key] = why

    def _in(self, seconds: float, do: Any) -> None:
        def now() -> None:
            self._later.discard(handle)
            do()

        handle = asyncio.get_running_loop().call_later(seconds, now)
        self._later.add(handle)

    # -- what goes wrong ------------------------------------------------------------------------------

    def _look_at_the_time(self) -> None:
        total = len(self._videos)
        come = {
            "waiting": sum(video.has_waited for video in self._videos.values()),
            "landed": sum(video.is_landed for video in self._videos.values()),
        }
        for moment in [*self._moments]:
            if come[moment.stage] >= moment.share * total:
                self._moments.remove(moment)
                self._let_happen(moment)
        if not self._open():
            self._over.set()

    def _let_happen(self, moment: Moment) -> None:
        match moment.what:
            case "outage":
                self.tally.counts["outages"] += 1
                self._sandbox.configure(outage=moment.seconds)
            case "kill triggerer":
                self._in(moment.seconds, self._kill_triggerer)
            case "kill worker":
                self._in(moment.seconds, self._kill_worker)

    def _kill_triggerer(self) -> None:
        if self._triggerer is not None:
            self.tally.counts["triggerers killed"] += 1
            self._triggerer.kill()

    def _kill_worker(self) -> None:
        index = max(self._hands, key=lambda index: len(self._hands[index]))
        if child := self._workers.get(index):
            self.tally.counts["workers killed"] += 1
            child.kill()


def kind(why: str) -> str:
    """What a message says, whichever task it is about."""
    return re.sub(r"\d+", "N", re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|task_\w+", "ID", why))[:120]


async def soaked(soak: Soak, folder: Path) -> tuple[Tally, list[Verdict]]:
    """Run a soak in an empty folder; return what it counted and each vendor's verdict."""
    with SandboxProcess(**soak.sandbox) as sandbox:
        tally = await Run(soak, sandbox, folder).run()
        books = await _last_books(sandbox)
    return tally, [judged(soak, vendor, folder, books) for vendor in soak.vendors]


async def _last_books(sandbox: SandboxProcess) -> dict[str, Any]:
    """The books when all tasks have ended: one that nobody knows of may still run, and would be billed."""
    while True:
        books = sandbox.ledger()
        if all(task["status"] in OVER for task in books["created"]):
            return books
        await asyncio.sleep(0.2)
