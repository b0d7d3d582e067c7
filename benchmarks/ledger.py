"""What ``ledger_path`` costs per video: calls of the storage, bytes and milliseconds; a disk, and a server with S3."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_wan.operators.batch import WanVideoBatchOperator
from airflow_provider_wan.operators.wan import WanTextToVideoOperator
from airflow_provider_wan.worker.ledgers import ObjectStore
from benchmarks.page import number, table
from benchmarks.results import save
from benchmarks.sandbox_process import SandboxProcess, connection
from tests.driving import Driven, Instance

VIDEOS = 40
QUICK = {"poll_interval": 1, "resolution": "720P", "duration": 2}
ASKS = {"_create": "writes", "set": "writes", "_load": "reads", "keys": "listings"}


class Meter:
    """Counts what all ledgers of this process ask of their storage."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0

    @contextmanager
    def on(self) -> Iterator[Meter]:
        former = {name: getattr(ObjectStore, name) for name in ASKS}
        for name, call in former.items():
            setattr(ObjectStore, name, self._metered(ASKS[name], call))
        try:
            yield self
        finally:
            for name, call in former.items():
                setattr(ObjectStore, name, call)

    def _metered(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def metered(store: ObjectStore, *given: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(store, *given)
            finally:
                self.seconds += time.perf_counter() - began
                self.counts[kind] += 1
                if kind == "writes":
                    content = given[-1] if isinstance(given[-1], bytes) else json.dumps(given[-1]).encode()
                    self.counts["bytes"] += len(content)

        return metered


def one_by_one(ledger_path: str) -> None:
    for video in range(VIDEOS):
        given = {"prompt": f"alone {video}", "ledger_path": ledger_path} | QUICK
        run = Driven(lambda given=given: WanTextToVideoOperator(task_id="make", **given), store=None)
        run.instance = Instance(run_id=f"run {video}")
        run.run()


def as_batch(ledger_path: str) -> None:
    rows = [
        {"prompt": f"together {video}"} | {k: v for k, v in QUICK.items() if k != "poll_interval"}
        for video in range(VIDEOS)
    ]
    given = {"requests": rows, "ledger_path": ledger_path, "poll_interval": 1}
    Driven(lambda: WanVideoBatchOperator(task_id="shots", **given), store=None).run()


WAYS = {"one task each": one_by_one, "a batch": as_batch}


def measure(place: str, ledger_path: str) -> list[dict[str, Any]]:
    rows = []
    for way, work in WAYS.items():
        with Meter().on() as meter:
            work(ledger_path)
        per = {name: meter.counts[name] / VIDEOS for name in ("writes", "reads", "listings", "bytes")}
        rows.append({"place": place, "way": way, "ms": 1e3 * meter.seconds / VIDEOS, **per})
        print(rows[-1], flush=True)
    return rows


@contextmanager
def s3() -> Iterator[str]:
    """A server that speaks S3 in this process, as the connection ``my_s3``; gives the URI of a folder."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="films")
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    os.environ["AIRFLOW_CONN_MY_S3"] = json.dumps(
        {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    )
    try:
        yield "s3://my_s3@films/ledger"
    finally:
        server.stop()


def main(arguments: list[str] | None = None, *, full: bool = False) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with SandboxProcess(generation_seconds=0.2, running_limit=1000) as sandbox, tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_CONN_WAN_DEFAULT"] = connection(sandbox.url, "dashscope", submits_per_second=500)
        rows = measure("disk", f"file://{folder}/ledger")
        with s3() as root:
            rows += measure("S3 (moto, same machine)", root)
        billed = len(sandbox.ledger()["billed"])
    save("ledger", {"rows": rows, "videos": VIDEOS, "billed": billed, "delivered": VIDEOS * len(rows)})


def section(data: dict[str, Any]) -> str:
    lines = [
        [
            row["place"],
            row["way"],
            number(row["writes"]),
            number(row["reads"]),
            number(row["listings"]),
            number(row["bytes"]),
            number(row["ms"]),
        ]
        for row in data["rows"]
    ]
    head = ["storage", "videos", "writes", "reads", "listings", "bytes written", "ms in the storage"]
    return "\n\n".join(
        [
            "## What `ledger_path` costs per video",
            f"{data['videos']} videos at a time, counted where the ledger asks its storage; {data['billed']} billed "
            f"for {data['delivered']} delivered. A write is a small object. In tasks of their own one of them is "
            "refused on purpose (not on a disk), which proves that the storage creates exclusively; a batch asks that "
            "once in each worker.",
            table(head, lines),
        ]
    )


if __name__ == "__main__":
    main()
