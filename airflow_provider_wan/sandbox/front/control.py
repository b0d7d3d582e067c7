"""The sandbox's own API, ``/sandbox/…``: look into it and change it while it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.world.tasks import Task, TaskFailure
from airflow_provider_wan.sandbox.world.world import FAILURE_MESSAGES, NotPossible, World


class Control:
    """Routes for people and tests; they need no key, for the sandbox listens on loopback only."""

    def __init__(
        self,
        world: World,
        uploads: UploadStore,
        reset: Callable[[], None],
        configure: Callable[[dict[str, Any]], None],
    ) -> None:
        self._world = world
        self._uploads = uploads
        self._reset = reset
        self._configure = configure

    def routes(self) -> list[Route]:
        """Return the control paths."""
        return [
            Route("/sandbox/health", self._health),
            Route("/sandbox/ledger", self._ledger),
            Route("/sandbox/settings", self._settings, methods=["GET", "POST"]),
            Route("/sandbox/reset", self._forget, methods=["POST"]),
            Route("/sandbox/tasks", self._tasks),
            Route("/sandbox/uploads", self._inputs),
            Route("/sandbox/tasks/{task_id}", self._task),
            Route("/sandbox/tasks/{task_id}/{change}", self._change, methods=["POST"]),
        ]

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "tasks": len(self._world.tasks)})

    async def _ledger(self, request: Request) -> Response:
        return JSONResponse(self._world.report())

    async def _settings(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                changes = json.loads(await request.body())
                if not isinstance(changes, dict):
                    raise ValueError("a JSON object of settings is needed")
                self._configure(changes)
            except ValidationError as error:
                problems = [{"field": ".".join(map(str, e["loc"])), "rule": e["msg"]} for e in error.errors()]
                return JSONResponse({"error": "settings refused", "problems": problems}, 422)
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self._world.settings.model_dump(mode="json"))

    async def _forget(self, request: Request) -> Response:
        self._reset()
        return JSONResponse({"status": "reset"})

    async def _tasks(self, request: Request) -> Response:
        tasks = [self.shown(task) for task in self._world.all_tasks()]
        prompt = request.query_params.get("prompt")
        if prompt is not None:
            tasks = [task for task in tasks if prompt in task["prompt"]]
        return JSONResponse({"tasks": tasks, "total": len(tasks)})

    def uploads(self) -> list[dict[str, Any]]:
        """Return everything that was uploaded, or fetched from a signed address, as plain JSON values."""
        return [
            {
                "name": item.name,
                "media_type": item.media_type,
                "model": item.model,
                "bytes": len(item.content),
                "sha256": hashlib.sha256(item.content).hexdigest(),
            }
            for item in self._uploads.all
        ]

    async def _inputs(self, request: Request) -> Response:
        shown = self.uploads()
        return JSONResponse({"uploads": shown, "total": len(shown)})

    async def _task(self, request: Request) -> Response:
        task = self._world.tasks.get(request.path_params["task_id"])
        if task is None:
            return JSONResponse({"error": "no such task"}, 404)
        self._world.refresh(task)
        return JSONResponse(self.shown(task))

    async def _change(self, request: Request) -> Response:
        task = self._world.tasks.get(request.path_params["task_id"])
        if task is None:
            return JSONResponse({"error": "no such task"}, 404)
        change = request.path_params["change"]
        try:
            given = json.loads(await request.body() or b"{}")
            if not apply(self._world, task, change, given if isinstance(given, dict) else {}):
                return JSONResponse({"error": f"{change} is not one of {', '.join(CHANGES)}"}, 404)
        except NotPossible as error:
            return JSONResponse({"error": str(error)}, 409)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self.shown(task))

    def shown(self, task: Task) -> dict[str, Any]:
        """Return one task as plain JSON values."""
        order = task.order
        return {
            "task_id": task.id,
            "vendor": task.vendor,
            "mode": order.mode,
            "model": order.model,
            "prompt": order.prompt,
            "status": task.status.value,
            "held": task.held,
            "expired": self._world.gone(task),
            "key_fingerprint": task.account,
            "tier": order.tier,
            "ratio": order.ratio,
            "width": order.size[0],
            "height": order.size[1],
            "seconds": order.seconds,
            "input_seconds": order.input_seconds,
            "created": _iso(task.created),
            "started": _iso(task.started),
            "ended": _iso(task.ended),
            "failure": {"code": task.failure.code, "message": task.failure.message} if task.failure else None,
            "body": order.body,
            "ignored_fields": list(order.unknown_fields),
        }


CHANGES = ("finish", "fail", "cancel", "expire", "release")


def apply(world: World, task: Task, change: str, given: dict[str, Any]) -> bool:
    """Make one change to a task; ``False`` for a change that does not exist, raises ``NotPossible``."""
    match change:
        case "finish":
            world.finish(task)
        case "fail":
            code = str(given.get("code") or "InternalError")
            message = str(given.get("message") or FAILURE_MESSAGES.get(code, "The task failed."))
            world.fail(task, TaskFailure(code, message))
        case "cancel":
            world.drop(task)
        case "expire":
            world.expire(task)
        case "release":
            world.release(task)
        case _:
            return False
    return True


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
