"""What tasks of this provider load, for Celery's workers to load once, before they fork a process for each task.

    [celery]
    extra_celery_config = {"imports": ["airflow_provider_wan.worker.preload"]}

Where something cannot be loaded here, each task does so, as without this module.
"""

from __future__ import annotations

import logging
from importlib import import_module

log = logging.getLogger(__name__)

MODULES = (
    "operators.wan",
    "operators.batch",
    "worker.video",
    "worker.obtaining",
    "batch.run",
    "triggers.wan",
    "hooks.costs",
    "delivery.landing",
)


def preload() -> None:
    """Import what tasks import, and make what they keep for good: prices, TLS,
    the table of storages, model schemas."""
    for name in MODULES:
        import_module(f"airflow_provider_wan.{name}")
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_wan.client import requests, tasks
    from airflow_provider_wan.client.costs.table import shipped_prices
    from airflow_provider_wan.client.transport.wire import tls_context
    from airflow_provider_wan.durable import Record

    for model in (tasks.TaskHandle, tasks.VideoTask, Record, requests.TextToVideoRequest):
        model.model_rebuild()
    shipped_prices()
    tls_context()
    # Airflow imports the file systems of all providers for the first path.
    ObjectStoragePath("file:///").fs  # noqa: B018


try:
    preload()
except Exception as error:  # noqa: BLE001 - a worker that starts slowly is better than none
    log.warning("Not all could be loaded beforehand: %s: %s", type(error).__name__, error)
