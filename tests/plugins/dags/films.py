"""Tasks that nobody runs here: a test writes what they would have written."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_wan.operators.wan import WanTextToVideoOperator


class BrandFilm(WanTextToVideoOperator):
    """A user's own subclass."""


with DAG("films", schedule=None):
    BrandFilm(task_id="film", prompt="A paper boat")
    WanTextToVideoOperator(task_id="clip", prompt="A kite")
    for name in ("passwd", "file", "outside", "climbing", "page"):
        WanTextToVideoOperator(task_id=f"names_{name}", prompt="A kite")

    @task
    def not_ours() -> int:
        return 1

    not_ours()

with DAG("others", schedule=None):
    WanTextToVideoOperator(task_id="film", prompt="A kite")
