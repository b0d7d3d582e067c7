"""The buttons in Airflow's UI that lead to videos in the gallery; without a gallery, to the one video of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class WanVideoLink(BaseOperatorLink):
    """Leads to the generated video; known from the submission on, so that it shows while the task is deferred."""

    name = "Generated video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return what the operator knows in this process, else what it pushed before."""
        known = getattr(operator, "video_link", None)
        if known:
            return str(known)
        if not getattr(operator, "link_is_pushed", True):
            # Airflow logs an error about an XCom that does not exist.
            return ""
        from airflow.sdk.execution_time.xcom import XCom

        return str(XCom.get_value(ti_key=ti_key, key=self.xcom_key) or "")

    def show(self, operator: Any, context: Any, url: str | None, *, now: bool = False) -> None:
        """Show ``url`` from now on, or the gallery's page of this task instance where there is a gallery.

        :param now: while the worker still holds the task; else when it lets go of it, also by deferring: Airflow asks
            ``get_link`` then.
        """
        from airflow_provider_wan.links.gallery import page_of

        if url := page_of(context["ti"]) or url:
            if now and operator.video_link != url:
                context["ti"].xcom_push(key=self.xcom_key, value=url)
            operator.video_link = url


class WanVideosLink(WanVideoLink):
    """Leads to the videos of a batch, made or not, in the gallery; without a gallery there is no such link."""

    name = "Generated videos"
