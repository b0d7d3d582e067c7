"""Puts the vendors, the result host and the control API on one port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from airflow_provider_wan.sandbox.front.answers import KeepTransport
from airflow_provider_wan.sandbox.front.control import Control
from airflow_provider_wan.sandbox.front.faults import SPELLS
from airflow_provider_wan.sandbox.front.gateway import Gateway, VendorApi
from airflow_provider_wan.sandbox.front.result_host import ResultHost
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.front.webhooks import Webhooks
from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.vendors.dashscope.api import DashScopeApi
from airflow_provider_wan.sandbox.vendors.freepik.api import FreepikApi
from airflow_provider_wan.sandbox.vendors.gccai.api import GccaiApi
from airflow_provider_wan.sandbox.vendors.openai_videos.api import OpenAiVideosApi
from airflow_provider_wan.sandbox.vendors.powertokens.api import PowerTokensApi
from airflow_provider_wan.sandbox.video.renderer import Renderer
from airflow_provider_wan.sandbox.world.clock import Clock
from airflow_provider_wan.sandbox.world.world import World

Endpoint = Callable[[Request], Awaitable[Response]]


class SandboxApp:
    """Everything behind the port; belongs to one event loop."""

    def __init__(self, settings: Settings, base_url: Callable[[], str], clock: Clock | None = None) -> None:
        self.settings = settings
        # What outside of the application depends on settings, as the Date header of the server does.
        self.on_configure: Callable[[], None] = lambda: None
        self._initial = settings.model_dump() | {"webhook_secret": settings.webhook_secret}
        self.world = World(settings, clock)
        self.gateway = Gateway(self.world, base_url)
        self.uploads = UploadStore(self.world)
        self.renderer = Renderer(settings)
        self.result_host = ResultHost(self.gateway, self.renderer, self.uploads)
        self.control = Control(self.world, self.uploads, self.reset, self.configure)
        shared = (self.gateway, self.uploads, self.result_host)
        freepik = FreepikApi(*shared)
        self._powertokens, self._openai = PowerTokensApi(*shared), OpenAiVideosApi(*shared)
        self.vendors: list[VendorApi] = [
            DashScopeApi(*shared), GccaiApi(*shared), self._powertokens, freepik, self._openai,
        ]  # fmt: skip
        self.webhooks = Webhooks(self.world, freepik.shape)
        self.world.on_change = self.webhooks.changed

    def asgi(self) -> ASGIApp:
        """Return the ASGI application."""
        routes = [*self.control.routes(), *self.result_host.routes()]
        for vendor in self.vendors:
            routes += vendor.routes() if vendor is not self._powertokens else self._v1_videos()
        app = Starlette(routes=routes, exception_handlers={404: _not_found})
        app.router.redirect_slashes = False
        return KeepTransport(app)

    def _v1_videos(self) -> list[Route]:
        """Return the paths that two vendors have: the settings say at each call whose they are."""
        others = {(route.path, *sorted(route.methods or ())): route for route in self._openai.routes("")}
        routes = []
        for route in self._powertokens.routes():
            other = others.pop((route.path, *sorted(route.methods or ())))
            endpoint = self._either(route.endpoint, other.endpoint)
            routes.append(Route(route.path, endpoint, methods=list(route.methods or ())))
        return [*routes, *others.values()]

    def _either(self, powertokens: Endpoint, openai: Endpoint) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            return await (openai if self.settings.v1_videos == "openai" else powertokens)(request)

        return endpoint

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings at once; raises pydantic's ``ValidationError`` and then changes nothing."""
        self.settings.change(changes)
        for name in SPELLS:
            if name in changes:
                self.gateway.faults.start(name)
        self.on_configure()

    def reset(self) -> None:
        """Forget tasks, the ledger, uploads and files, and return to the settings of the start."""
        self.settings.change(self._initial)
        self.on_configure()
        self.world.clear()
        self.gateway.clear()
        self.uploads.clear()
        self.webhooks.clear()
        for vendor in self.vendors:
            vendor.clear()
        self.renderer.clear()


async def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the sandbox has no {request.method} {request.url.path}"}, 404)
