"""One medium, made reachable by a person's own code through the hook."""

from __future__ import annotations

from os import PathLike
from typing import Any

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import ImageToVideoRequest, VideoRequest, with_stand_ins
from airflow_provider_wan.client.rules.content import MOST_BYTES
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.transport.client import WanClient
from airflow_provider_wan.client.urls import is_stored
from airflow_provider_wan.inputs.kept import KeptInputs
from airflow_provider_wan.inputs.kinds import mime_of
from airflow_provider_wan.inputs.probe import Look, look_at
from airflow_provider_wan.inputs.reach import NO_WAY, Media, reach, upload, ways_of
from airflow_provider_wan.inputs.sources import MediaSource, NotUsable


def media_url(client: WanClient, path: Any, request_or_model: VideoRequest | str | None, media: Media, log: Any) -> str:
    """Return an address that the vendor can fetch.

    :raises WanRequestError: for a file that cannot be used or made reachable.
    :raises WanError: when the storage does not answer or the upload fails.
    """
    written = _written(path)
    if not is_stored(written):
        return written
    source = MediaSource(written)
    look, model = _look(source), _model(client, request_or_model)
    # Which field it is for is not known; an image is asked for as a frame, for that decides on data URLs.
    request = ImageToVideoRequest(first_frame=written, model=model)
    way, why = ways_of(source, look, "first_frame", with_stand_ins(request), client.account, media)
    if way is None:
        rule = f"can be made reachable for {client.vendor.title}"
        raise WanRequestError(violations=[Violation("path", rule, f"{source.shown} ({why})", NO_WAY, hard=True)])
    return reach(source, look, way, model, client, KeptInputs(), log)


def upload_file(client: WanClient, path: Any, model: str | None, log: Any) -> str:
    """Hand a file to the vendor; return the address that it gives.

    :raises WanRequestError: for a file the vendor takes no upload of.
    :raises WanError: when the storage does not answer or the upload fails.
    """
    source, vendor = MediaSource(_written(path)), client.vendor
    look = _look(source)
    mime, size = mime_of(look.content.kind), look.content.bytes
    wrong = None
    if not any(mime.startswith(prefix) for prefix in vendor.upload_types):
        taken = ", ".join(vendor.upload_types) or "nothing"
        wrong = Violation("path", f"at {vendor.title} is of type: {taken}", mime, "host it at a public URL", hard=True)
    elif size > vendor.upload_bytes:
        rule = f"has at most {vendor.upload_bytes // (1024 * 1024)} MB at {vendor.title}"
        wrong = Violation("path", rule, f"{size} bytes", hard=True)
    if wrong:
        raise WanRequestError(violations=[wrong])
    return upload(source, look, _model(client, model), client, log)


def _written(path: Any) -> str:
    return str(path).strip() if isinstance(path, str | PathLike) else str(path)


def _look(source: MediaSource) -> Look:
    try:
        look = look_at(source, MOST_BYTES)
    except NotUsable as error:
        found = error.violation
        wrong = Violation("path", found.rule, found.given, found.fix, hard=True)
    else:
        if look.digest is not None:
            return look
        given = f"{look.content.bytes} bytes"
        wrong = Violation("path", f"holds something, and at most {MOST_BYTES // (1024 * 1024)} MB", given, hard=True)
    raise WanRequestError(violations=[wrong])


def _model(client: WanClient, request_or_model: VideoRequest | str | None) -> str:
    if isinstance(request_or_model, VideoRequest):
        return client.vendor.model_of(request_or_model)
    return request_or_model or client.vendor.default_models[Mode.IMAGE_TO_VIDEO]
