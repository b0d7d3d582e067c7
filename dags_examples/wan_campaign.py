"""A campaign: one clip for each product and market, as mapped tasks, and a list of what was made.

Needs the connection ``wan_default``. A pool that counts deferred tasks limits how many generations run at once, which
vendors limit too; without one the default pool is used. Make it, then name it to Airflow in the environment:

    airflow pools set wan_generations 5 "Wan generations at once" --include-deferred
    WAN_POOL=wan_generations

``poll_interval`` is short for the sandbox.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import product
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator

PRODUCTS = {"kettle": "a red enamel kettle starts to sing", "lamp": "a brass lamp lights up a dark study"}
MARKETS = {
    "jp": {"ratio": "9:16", "look": "in a small Tokyo flat, morning light"},
    "fr": {"ratio": "16:9", "look": "in a Paris kitchen, evening light"},
}

with DAG(
    dag_id="wan_campaign",
    schedule=None,
    catchup=False,
    tags=["wan"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30), "poll_interval": 2},
):

    @task
    def shots() -> list[dict[str, Any]]:
        """Return the parameters of each clip; they could as well come from a table."""
        return [
            {"prompt": f"Advertisement: {PRODUCTS[name]}, {MARKETS[market]['look']}", "ratio": MARKETS[market]["ratio"]}
            for name, market in product(PRODUCTS, MARKETS)
        ]

    clips = WanTextToVideoOperator.partial(
        task_id="clips",
        resolution="720P",
        duration=4,
        pool=os.environ.get("WAN_POOL", "default_pool"),
        map_index_template="{{ task.prompt }}",
    ).expand_kwargs(shots())

    @task
    def catalogue(made: list[dict[str, Any]]) -> dict[str, str]:
        """Return the address of each prompt's video."""
        return {clip["prompt"]: clip["video_url"] for clip in made}

    catalogue(clips.output)
