"""Videos that lie in an object store or at the vendor: the API server's memory and work, the browser's memory."""

from __future__ import annotations

import json
import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import psutil
from moto.server import ThreadedMotoServer

from tools.local_airflow import LocalAirflow

BUCKET, MB = "videos", 1_000_000
LARGE = 32
"""MB: this server reads the whole file for each part of it that is asked for."""
STREAMS, REDIRECTS, RANGES = 20, 100, 200


class Store(NamedTuple):
    """A server that speaks S3 on another origin than Airflow's, and gives to everybody: the vendor's part as well."""

    url: str
    client: Any

    @property
    def env(self) -> dict[str, str]:
        """Return the connection ``bench_s3`` to it."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        return {"AIRFLOW_CONN_BENCH_S3": json.dumps(connection)}

    def hosted(self, name: str) -> dict[str, str]:
        """Return what a record says of a video that only the vendor has."""
        address = f"{self.url}/{BUCKET}/clip.mp4?n={name}"
        return {"video_url": address, "url_expires_at": "2099-01-01T00:00:00+00:00"}

    def stored(self, name: str) -> dict[str, str]:
        """Return what a record says of a video that lies in the store."""
        return {"uri": f"s3://bench_s3@{BUCKET}/{name}.mp4"}


@contextmanager
def store(clip: Path, names: list[str]) -> Iterator[Store]:
    """A store with the clip under all names, and a large file that begins as one."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    url = f"http://{address}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET)
    body = clip.read_bytes()
    for name in ["clip", *names]:
        client.put_object(Bucket=BUCKET, Key=f"{name}.mp4", Body=body)
    large = clip.with_name("large.mp4")
    with large.open("wb") as file:
        file.write(body)
        file.truncate(LARGE * MB)
    client.upload_file(str(large), BUCKET, "large.mp4")
    large.unlink()
    try:
        yield Store(url, client)
    finally:
        server.stop()


def of_streams(airflow: LocalAirflow, media: str, params: dict[str, Any]) -> dict[str, Any]:
    """Many read the large file at once through the API server: fast ones, slow ones that stop, small parts."""
    return {
        "whole": _watched(airflow, media, params, STREAMS, _read_whole),
        "stalled": _watched(airflow, media, params, STREAMS, _read_little_and_wait),
        "ranges": _watched(airflow, media, params, RANGES, _read_part),
    }


def of_redirects(airflow: LocalAirflow, media: str, params: dict[str, Any]) -> dict[str, Any]:
    """What it costs to lead a browser to the store."""
    return _watched(airflow, media, params, REDIRECTS, _redirected, at_once=4)


def _read_whole(client: httpx.Client, media: str, params: dict[str, Any], number: int) -> int:
    count = 0
    with client.stream("GET", media, params=params) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            count += len(block)
    assert count == LARGE * MB
    return count


def _read_little_and_wait(client: httpx.Client, media: str, params: dict[str, Any], number: int) -> int:
    with client.stream("GET", media, params=params) as answer:
        answer.raise_for_status()
        first = next(answer.iter_raw())
        time.sleep(10)
    return len(first)


def _read_part(client: httpx.Client, media: str, params: dict[str, Any], number: int) -> int:
    first = number % LARGE * MB
    answer = client.get(media, params=params, headers={"Range": f"bytes={first}-{first + MB - 1}"})
    assert (answer.status_code, len(answer.content)) == (206, MB)
    return len(answer.content)


def _redirected(client: httpx.Client, media: str, params: dict[str, Any], number: int) -> int:
    answer = client.get(media, params=params)
    assert answer.status_code == 307
    return len(answer.content)


def _watched(
    airflow: LocalAirflow,
    media: str,
    params: dict[str, Any],
    times: int,
    ask: Callable[[httpx.Client, str, dict[str, Any], int], int],
    at_once: int | None = None,
) -> dict[str, Any]:
    """Ask so often, all at once unless said; the API server's memory beyond what it had, at its worst, and its work."""
    server = psutil.Process(airflow.pids("api-server")[0])
    token = airflow.rest.token()
    failures: list[BaseException] = []
    sizes, waits, next_number, lock = [], [], iter(range(times)), threading.Lock()

    def work() -> None:
        limits = httpx.Timeout(300)
        with httpx.Client(base_url=airflow.url, timeout=limits, trust_env=False, cookies={"_token": token}) as client:
            while True:
                with lock:
                    number = next(next_number, None)
                if number is None:
                    return
                began = time.monotonic()
                try:
                    sizes.append(ask(client, media, params, number))
                except BaseException as failure:  # raised below, in the thread that measures
                    failures.append(failure)
                waits.append(time.monotonic() - began)

    def memory() -> int:
        return int(server.memory_info().rss)

    before, cpu = memory(), _cpu(server)
    threads = [threading.Thread(target=work) for _ in range(at_once or times)]
    for thread in threads:
        thread.start()
    worst = before
    while any(thread.is_alive() for thread in threads):
        worst = max(worst, memory())
        time.sleep(0.05)
    if failures:
        raise failures[0]
    return {
        "times": times,
        "bytes": sum(sizes),
        "memory": worst - before,
        "cpu": _cpu(server) - cpu,
        "seconds": statistics.median(waits),
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
