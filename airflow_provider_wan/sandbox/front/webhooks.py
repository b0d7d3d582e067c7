"""Calls webhooks back at each change of state, signed as docs.magnific.com/webhooks says; loopback targets only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import math
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_wan.sandbox.world.tasks import Task
from airflow_provider_wan.sandbox.world.world import World

log = logging.getLogger(__name__)


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the ``webhook-signature`` header: HMAC-SHA256 over id, time and raw body, keyed with the raw secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def is_loopback(url: str) -> bool:
    """Tell whether a URL stays on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Webhooks:
    """Watches the tasks that want to be called back; sleeps until the next change is due."""

    def __init__(self, world: World, shape: Callable[[Task], dict[str, Any]]) -> None:
        self._world = world
        self._shape = shape
        self._queue: list[tuple[str, dict[str, Any]]] = []
        self._open = 0
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def changed(self, task: Task) -> None:
        """Note a change of state; the call is made by the watcher, in order."""
        url = task.order.webhook_url
        if task.vendor != "freepik" or not url or not is_loopback(url):
            return
        word = task.status.value
        if task.webhook_state == word:
            return
        self._open += (task.webhook_state is None) - task.over
        task.webhook_state = word
        self._queue.append((url, self._shape(task)))
        self._wake.set()
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._watch())

    def clear(self) -> None:
        """Stop watching and forget what was to be sent."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
        self._queue.clear()
        self._open = 0

    async def _watch(self) -> None:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            while self._open or self._queue:
                while self._queue:
                    await self._send(client, *self._queue.pop(0))
                self._wake.clear()
                due = self._world.next_event() - self._world.now()
                try:
                    await asyncio.wait_for(self._wake.wait(), None if math.isinf(due) else max(due, 0.0))
                except TimeoutError:
                    # Playing the due changes calls ``changed`` for each of them.
                    self._world.refresh_all()

    async def _send(self, client: httpx.AsyncClient, url: str, shape: dict[str, Any]) -> None:
        body = json.dumps(shape, separators=(",", ":")).encode()
        message_id, timestamp = "msg_" + secrets.token_hex(8), str(int(self._world.now()))
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self._world.settings.webhook_secret, message_id, timestamp, body),
        }
        try:
            answer = await client.post(url, content=body, headers=headers)
            self._world.billing.request("freepik", "webhook", str(answer.status_code))
        except httpx.HTTPError as error:
            self._world.billing.request("freepik", "webhook", "failed")
            log.warning("webhook to %s failed: %s", urlsplit(url).netloc, type(error).__name__)
