"""The worker side of the sensor: one look at a task that was submitted elsewhere, and what its end means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, Watch, error_of
from airflow_provider_wan.client.tasks import TaskHandle, VideoTask, result_of, utc_now
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.outputs import push_own
from airflow_provider_wan.worker.settings import (
    RunTimes,
    TaskOperator,
    conn_id_of,
    deadline_of,
    ending_in,
    ends_at,
    times_in_force,
)
from airflow_provider_wan.worker.shown import show_handed

if TYPE_CHECKING:
    from airflow.sdk import Context, PokeReturnValue


@dataclass(frozen=True)
class SensorSettings:
    """The parameters of the sensor, rendered and read.

    :param wan_conn_id: as it was given; see ``conn_id``.
    :param poke_interval: seconds.
    :param timeout: from the start of the sensor.
    """

    handle: TaskHandle
    wan_conn_id: str
    poke_interval: float
    timeout: timedelta
    execution_timeout: timedelta | None
    times: RunTimes = field(default_factory=times_in_force)

    @property
    def conn_id(self) -> str:
        """The connection that the task was made on."""
        return conn_id_of(self.handle, self.wan_conn_id)


def begun(settings: Callable[[], Mapping[str, Any]], operator: TaskOperator, context: Context) -> Sensing:
    """Return a run whose settings are the sensor's rendered parameters; wrong ones make Airflow's retries useless."""
    try:
        return Sensing(SensorSettings(**settings()), operator, context)
    except WanError as error:
        show_handed(operator, context, None, error=error, billed="maybe")
        fail(error)


class Sensing:
    """One run of the sensor on a worker."""

    def __init__(self, settings: SensorSettings, operator: TaskOperator, context: Context) -> None:
        self._settings = settings
        self._operator = operator
        self._context = context

    def start(self) -> Any:
        """Look once; when the task is not done, wait in the triggerer."""
        result = self._look()
        if result is not None:
            return result
        from airflow_provider_wan.triggers.wan import WanTaskTrigger

        settings, deadline = self._settings, self._deadline
        trigger = WanTaskTrigger(
            wan_conn_id=settings.conn_id,
            handle=settings.handle.to_dict(),
            deadline=deadline.isoformat(),
            poll_interval=settings.poke_interval,
            cancel_on_kill=False,
            cancel_on_timeout=False,
        )
        timeout = deadline - utc_now() + timedelta(seconds=settings.times.backstop)
        return self._operator.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def poke(self) -> PokeReturnValue:
        """Look once, as a sensor that stays on its worker."""
        from airflow.sdk import PokeReturnValue

        result = self._look()
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _look(self) -> dict[str, Any] | None:
        """Ask for the task once; return its result, ``None`` while it has none."""
        settings, log = self._settings, self._operator.log
        hook, handle = WanHook(settings.conn_id), settings.handle
        try:
            page = hook.vendor.task_page(handle, hook.account)
            is_first = getattr(self._operator, "video_link", None) is None
            if is_first:
                show_handed(self._operator, self._context, handle.to_dict(), page=page)
            WanVideoLink().show(
                self._operator, self._context, page, now=not getattr(self._operator, "deferrable", True)
            )
            watch = Watch(handle, hook.vendor, self._deadline)
            try:
                ending = watch.see(hook.get_task(handle))
            except WanError as error:
                log.info("The task's state is not known now: %s", error)
                ending = watch.see_error(error)
        finally:
            hook.close()
        return None if ending is None else self._finish(ending)

    def resume(self, event: dict[str, Any]) -> dict[str, Any]:
        """Take the trigger's event; return the result."""
        try:
            ending = ending_in(event)
        except WanError as error:
            self._fail(error)
        return self._finish(ending)

    @property
    def _deadline(self) -> datetime:
        settings, now = self._settings, utc_now()
        limit = ends_at(self._context, now, settings.execution_timeout, settings.times)
        return deadline_of(now, now, settings.timeout, limit)

    def _finish(self, ending: Ending) -> dict[str, Any]:
        if ending.status is not EndingStatus.SUCCESS:
            self._fail(error_of(ending), ending.task)
        conn_id = self._settings.conn_id
        result = result_of(WanHook(conn_id).priced(ending.task), wan_conn_id=conn_id)
        WanVideoLink().show(self._operator, self._context, result["video_url"])
        push_own(self._operator, self._context, result)
        return result

    def _fail(self, error: WanError, task: VideoTask | None = None) -> NoReturn:
        known = self._settings.handle.to_dict() | (task.model_dump(mode="json", exclude_none=True) if task else {})
        # Whatever this sensor could not do: the task that it waits for was submitted.
        show_handed(self._operator, self._context, known, error=error, billed=None if task else "maybe")
        fail(error)
