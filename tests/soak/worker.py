"""A worker: carries out single steps of Airflow tasks, as the operator does, each with nothing but the stored record.

A step obtains the task (``Attempt``) or lands a finished one's video; its end is told in one message.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_wan.client.errors import WanError, WanQuotaError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.requests import TextToVideoRequest
from airflow_provider_wan.client.tasks import TaskStatus, VideoTask
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.delivery.landing import is_alive, land
from airflow_provider_wan.delivery.storage import is_stored
from airflow_provider_wan.durable import Attempt, Clue, ComeBack, Ledger, PaidCall
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.triggers.wan import WanSearchTrigger, WanTaskTrigger

from .pipes import take_stdout
from .settings import conn_id, timing_of
from .store import store_of

log = logging.getLogger("soak.worker")


class Step:
    """One step of one Airflow task; it shares nothing with the other steps but the folder."""

    def __init__(self, given: dict[str, Any], job: dict[str, Any]) -> None:
        self._given = given
        self._job = job
        self._folder = Path(given["folder"])
        self._ledger = Ledger(store_of(self._folder, job["id"], has_ledger=given["has_ledger"]))
        self._hook = WanHook(conn_id(job["vendor"]))

    def run(self) -> dict[str, Any]:
        """Return what became of it; a failed attempt is an answer too."""
        try:
            event = self._job.get("event")
            if event is None or "clue" in event:
                return self._obtain(Clue.of(event["clue"]) if event else None)
            return self._take(Ending.from_event(event))
        except WanQuotaError as error:
            pause = max(error.retry_after or 0.0, self._given["throttled_pause"])
            return {"outcome": "come back", "seconds": pause, "why": "throttled"}
        except WanError as error:
            return {"outcome": "failed", "retryable": error.retryable, "why": f"{type(error).__name__}: {error}"}
        except Exception as error:
            log.exception("%s", self._job["id"])
            return {"outcome": "failed", "retryable": True, "why": f"{type(error).__name__}: {error}"}
        finally:
            self._hook.close()

    def _obtain(self, clue: Clue | None) -> dict[str, Any]:
        job, account = self._job, self._hook.account
        request = TextToVideoRequest(prompt=job["prompt"], resolution="720P", duration=5)
        found = Attempt(
            call=PaidCall(
                client=self._hook.get_conn(),
                ledger=self._ledger,
                request=request,
                account_name=self._hook.wan_conn_id,
                patience=Patience(throttled=self._given["patience"]),
                log=log,
            ),
            is_alive=lambda task: is_alive(task, account),
            is_stored=is_stored,
            give_up=timedelta(seconds=self._given["patience_of_all"]),
            since=datetime.fromisoformat(job["since"]),
            timing=timing_of(self._given["timing"]),
            can_search_elsewhere=True,
            clue=clue,
        ).obtain()
        if isinstance(found, ComeBack) and found.sought is not None:
            deadline = datetime.fromisoformat(job["since"]) + timedelta(seconds=self._given["patience_of_all"])
            search = WanSearchTrigger(
                self._hook.wan_conn_id, found.sought.to_dict(), deadline.isoformat(), job["since"]
            )
            return {"outcome": "searching", "trigger": search.serialize(), "why": found.why}
        if isinstance(found, ComeBack):
            return {"outcome": "come back", "seconds": found.seconds, "why": found.why}
        if found.stored is not None:
            return {"outcome": "landed", "adopted": True}
        if found.task is not None and found.task.status is TaskStatus.SUCCEEDED:
            return self._land(found.task) | {"adopted": found.is_adopted}
        handle = found.handle
        trigger = WanTaskTrigger(
            self._hook.wan_conn_id,
            handle.to_dict(),
            (handle.submitted_at + timedelta(seconds=self._given["patience_of_all"])).isoformat(),
            self._given["poll_interval"],
            profile=f"{handle.model}/{request.resolution}/{request.duration}",
        )
        return {"outcome": "deferred", "trigger": trigger.serialize(), "adopted": found.is_adopted}

    def _take(self, ending: Ending) -> dict[str, Any]:
        if ending.status is not EndingStatus.SUCCESS:
            raise error_of(ending)
        return self._land(ending.task)

    def _land(self, task: VideoTask) -> dict[str, Any]:
        landed = land(task, f"file://{self._folder}/videos/{self._job['id']}.mp4", self._hook.account)
        record = self._ledger.read()
        if record is not None:
            self._ledger.write(record.model_copy(update={"finished": True, "stored": landed.to_dict()}))
        return {"outcome": "landed"}


def serve(given: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    with ThreadPoolExecutor(given["slots"]) as pool:
        for line in sys.stdin:
            pool.submit(one, given, json.loads(line), tell)


def one(given: dict[str, Any], job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    tell({"id": job["id"]} | Step(given, job).run())


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), take_stdout())
