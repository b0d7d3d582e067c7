"""Landing a video: from the vendor's result host (its URLs die within a day) to object storage."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import WanError, WanResponseError, WanTransportError
from airflow_provider_wan.client.tasks import VideoTask
from airflow_provider_wan.client.transport.flows import back_off
from airflow_provider_wan.delivery.download import NotAVideo, Source, WanResultGone
from airflow_provider_wan.delivery.storage import Landed, copy, is_stored, write

log = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024**3
MAX_SECONDS = 1800.0
TRIES = 4


def land(
    task: VideoTask, target: str, account: Account, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS
) -> Landed:
    """Download the task's video and put it at ``target``, whole or not at all.

    :param target: an object-storage URI; one that ends with ``/`` gets ``<task_id>.mp4``.
    :param max_bytes: the largest video taken.
    :param max_seconds: the longest download, repetitions included.
    :raises WanResultGone: when the address has expired.
    :raises WanTransportError: when the download broke off, time after time.
    :raises WanResponseError: when what came is not a video, is too large or does not end.
    """
    uri = target_of(task, target)
    source = Source(task, account)
    until = time.monotonic() + max_seconds
    attempt = 0
    while True:
        try:
            with source.open(until) as response:
                return write(uri, source.video(response, max_bytes, until))
        except (WanTransportError, NotAVideo) as error:
            attempt += 1
            pause = back_off(attempt)
            if attempt >= TRIES or time.monotonic() + pause > until:
                raise
            log.warning("%s. The download is repeated", error)
        time.sleep(pause)


def target_of(task: VideoTask, target: str) -> str:
    """Return the URI of the task's video: ``target`` itself, or a file in it when it ends with ``/``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", task.task_id)
    return f"{target}{name}.mp4" if target.endswith("/") else target


def land_once(
    task: VideoTask,
    target: str,
    account: Account,
    stored: Mapping[str, Any] | None,
    *,
    max_seconds: float = MAX_SECONDS,
    log: Any = log,
) -> dict[str, Any]:
    """Put the task's video at ``target``, unless it is there already; return its ``uri``, ``bytes`` and ``sha256``.

    :param stored: where this very video was landed before, if it was; from there it is copied to another target.
    :raises WanError: as :func:`land` says.
    :raises Exception: whatever the storage raises.
    """
    uri = target_of(task, target)
    if stored is not None and is_stored(stored):
        if stored["uri"] == uri:
            log.info("The video is stored already at %s", uri)
            return dict(stored)
        try:
            landed = copy(stored, uri)
        except WanResponseError as error:
            log.warning("%s: it is downloaded again", error)
        else:
            log.info("Copied the video from %s to %s", stored["uri"], uri)
            return landed.to_dict()
    landed = land(task, uri, account, max_seconds=max_seconds)
    log.info("Stored the video at %s (%d bytes)", landed.uri, landed.bytes)
    return landed.to_dict()


def is_alive(task: VideoTask, account: Account) -> bool:
    """Whether the result can still be downloaded; asks its host for the first byte.

    The task is paid, so it takes more than a doubt to call it dead: a host that cannot be asked says nothing, nor does
    a refusal before the life of the address is over.
    """
    try:
        with Source(task, account).open(first_byte_only=True):
            return True
    except WanResultGone:
        return False
    except WanError as error:
        log.warning("%s: it is taken for alive", error.message)
        return True
