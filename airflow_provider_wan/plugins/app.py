"""The gallery's app: the page, its data, the stored files. Every route asks Airflow who is there.


Airflow authenticates no plugin's app by itself, so each route names its own dependencies.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from airflow_provider_wan.plugins.headers import MEDIA_HEADERS, PlainHeaders, page_policy
from airflow_provider_wan.plugins.media import NotPlayable, Reader, Span, StorageTrouble, close, span_of
from airflow_provider_wan.plugins.places import Place, RefusedPlace, allowed, roots_of
from airflow_provider_wan.plugins.reading import Scope, read_cards, read_video

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=10)
"""Clocks of Airflow's machines differ a little: this much is asked for again."""
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
READS_VIDEOS = [
    Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
]
Id = Annotated[str, Query(min_length=1, max_length=500)]
MaybeId = Annotated[str | None, Query(max_length=500)]
MaybeIndex = Annotated[int | None, Query(ge=-1)]


def build_app() -> FastAPI:
    """Return the app that Airflow mounts."""
    app = FastAPI(title="Wan videos", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(PlainHeaders)
    static = {entry.name: entry for entry in files(__package__).joinpath("static").iterdir()}
    reader = Reader()

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        try:
            await get_user(request, None, None)
        except HTTPException:
            return _to_login(request)
        headers = {"Content-Security-Policy": page_policy(request.url.hostname), "Cache-Control": "no-cache"}
        return Response(static["index.html"].read_bytes(), media_type=TYPES["html"], headers=headers)

    @app.get("/static/{name}")
    def file(name: str, user: GetUserDep) -> Response:
        kind = TYPES.get(name.rpartition(".")[2])
        if name not in static or kind is None:
            raise HTTPException(404, "No such file")
        return Response(static[name].read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/api/videos")
    def recent(user: GetUserDep, since: datetime | None = None) -> Response:
        """Return the recent videos of all DAGs that the viewer may read."""
        return _answer(Scope(_readable_dags(user)), since)

    @app.get("/api/dags/{dag_id}/videos", dependencies=READS_VIDEOS)
    def of_dag(
        dag_id: str, run: MaybeId = None, task: MaybeId = None, index: MaybeIndex = None, since: datetime | None = None
    ) -> Response:
        """Return the videos of a DAG, of a run, of a task, of a mapped task instance."""
        _require_name(dag_id)
        return _answer(Scope([dag_id], run, task, index), since)

    @app.api_route("/media/{dag_id}", methods=["GET", "HEAD"], dependencies=READS_VIDEOS)
    async def media(
        request: Request,
        dag_id: str,
        run: Id,
        task: Id,
        index: Annotated[int, Query(ge=-1)] = -1,
        n: Annotated[int | None, Query(ge=0, le=100_000)] = None,
        item: Annotated[str, Query(max_length=500)] = "",
    ) -> Response:
        """Stream the stored video of a task instance, or of one item of a batch."""
        _require_name(dag_id)
        video = await reader.run(lambda: read_video(dag_id, run, task, index, n, item))
        if video is None:
            raise HTTPException(404, "This task has stored no video")
        roots = _roots()
        try:
            place = allowed(video.uri, roots)
        except RefusedPlace as refused:
            raise HTTPException(403, f"The place of this video {refused}") from None
        wants_redirect = conf.getboolean("wan", "gallery_redirect", fallback=False)
        try:
            opened = await reader.open(place, sign=wants_redirect)
        except FileNotFoundError:
            raise HTTPException(404, "The stored video is not there any more") from None
        except NotPlayable:
            raise HTTPException(415, "The stored file is not an MP4 video") from None
        except StorageTrouble as trouble:
            log.warning("A stored video of %s/%s/%s could not be opened: %s", dag_id, run, task, trouble.__cause__)
            raise HTTPException(502, f"The storage could not be read ({trouble})") from None
        if opened.signed_url is not None:
            close(opened)
            return RedirectResponse(opened.signed_url, 307, headers={"Cache-Control": "private, max-age=600"})
        etag = f'"{video.sha256 or opened.size}"'
        headers = MEDIA_HEADERS | {
            "ETag": etag,
            "Content-Disposition": f"inline; filename*=UTF-8''{_file_name(video.name)}",
        }
        is_current = request.headers.get("if-range", etag) == etag
        try:
            span = span_of(request.headers.get("range"), opened.size) if is_current else None
        except ValueError:
            close(opened)
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{opened.size}"})
        asked = span or Span(0, opened.size - 1)
        headers["Content-Length"] = str(asked.length)
        if span:
            headers["Content-Range"] = f"bytes {span.first}-{span.last}/{opened.size}"
        status = 206 if span else 200
        if request.method == "HEAD":
            close(opened)
            return Response(status_code=status, headers=headers, media_type="video/mp4")
        return StreamingResponse(reader.blocks(opened, asked), status, headers, media_type="video/mp4")

    return app


def _roots() -> tuple[Place, ...]:
    try:
        return roots_of(conf.get("wan", "gallery_roots", fallback=""))
    except RefusedPlace as refused:
        raise HTTPException(500, f"An entry of [wan] gallery_roots {refused}") from None


def _answer(scope: Scope, since: datetime | None) -> Response:
    now = datetime.now(UTC)
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    found = read_cards(scope, since)
    body = {"cards": found.cards, "now": now.isoformat(), "next": (now - OVERLAP).isoformat(), "cut": found.is_cut}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)
    return Response(
        text.encode("utf-8", "replace"), media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _readable_dags(user: Any) -> set[str]:
    manager = get_auth_manager()
    for entity in (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM):
        if not manager.is_authorized_dag(method="GET", access_entity=entity, user=user):
            raise HTTPException(403, "Forbidden")
    return set(manager.get_authorized_dag_ids(user=user))


def _require_name(dag_id: str) -> None:
    if dag_id == "~":
        # Airflow's word for "all DAGs": it passes the check of a viewer who may read only some.
        raise HTTPException(404, "Name one DAG")


def _to_login(request: Request) -> Response:
    """Lead to Airflow's login, and from there back to this page."""
    root = str(request.scope.get("root_path", "")).rpartition("/")[0]
    here = f"{root}/{_last_part(request)}/" + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{root}/api/v2/auth/login?{urlencode({'next': here})}", 307)


def _last_part(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rpartition("/")[2]


def _file_name(name: str) -> str:
    return quote(f"{name[:120]}.mp4", safe="")
