"""The plugin that Airflow finds by the entry point ``airflow.plugins``: tabs, and on demand the app behind them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_wan.links.gallery import PREFIX, gallery_is_on

ICON = f"/{PREFIX}/static/icon.svg"
OPERATORS = (
    "WanTextToVideoOperator",
    "WanImageToVideoOperator",
    "WanReferenceToVideoOperator",
    "WanVideoEditOperator",
    "WanVideoBatchOperator",
    "WanTaskSensor",
    "WanVideoToObjectStorageOperator",
    "@task.wan_video",
    "_WanVideoDecoratedOperator",
)

OWN_FIELDS = ("prompt_extend", "manifest_path", "handle")
"""Template fields that tell our operators, and classes derived from them, from others."""


def _view(destination: str, route: str, query: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "Videos",
        # Without a leading slash it resolves against the page's base, under a base-url prefix too.
        "href": f"{PREFIX}/{query}",
        "url_route": f"wan-videos-{route}",
        "destination": destination,
        "icon": ICON.lstrip("/"),
        **more,
    }


VIEWS = (
    # Airflow 3.4 shows this tab on tasks with one of these fields; older versions ignore the key, and show it on all.
    _view(
        "task_instance",
        "task",
        "?dag={DAG_ID}&run={RUN_ID}&task={TASK_ID}&index={MAP_INDEX}&tab=1",
        applies_to={"task.template_fields": list(OWN_FIELDS)},
    ),
    _view("dag_run", "run", "?dag={DAG_ID}&run={RUN_ID}&tab=1"),
    _view("dag", "dag", "?dag={DAG_ID}&tab=1"),
    _view("nav", "all", "", name="Wan videos", category="browse"),
)


class WanGalleryPlugin(AirflowPlugin):
    """Shows the videos of a task instance, a run, a DAG, and all recent ones."""

    name = "wan_gallery"

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Return the tabs; Airflow drops the whole plugin when it does not know one of the destinations."""
        return [dict(view) for view in VIEWS] if gallery_is_on() else []

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Return the app; only the API server asks, so no other process imports it."""
        if not gallery_is_on():
            return []
        from airflow_provider_wan.plugins.app import build_app

        return [{"app": build_app(), "url_prefix": f"/{PREFIX}", "name": "Wan videos"}]
