"""The worker side of an operator's run, step by step: obtain the task, wait for it, hand on the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_wan.client.errors import WanAuthError, WanError, WanQuotaError
from airflow_provider_wan.client.polling.cancelling import CANCEL_SECONDS, cancel_within
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, utc_now
from airflow_provider_wan.hooks.account import with_account
from airflow_provider_wan.telemetry import metrics, traces
from airflow_provider_wan.worker.delivering import Delivering
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.killing import KILL_SECONDS, why_left_alone
from airflow_provider_wan.worker.ledgers import CLEARED, is_after_clear, survives_clear
from airflow_provider_wan.worker.machines import warn_of_local_paths
from airflow_provider_wan.worker.outputs import push_own
from airflow_provider_wan.worker.places import own_place
from airflow_provider_wan.worker.settings import VideoSettings, deadline_of, ending_in, ends_at, profile_of
from airflow_provider_wan.worker.shown import show_failure, show_generation
from airflow_provider_wan.worker.task_run import TaskRun, VideoTaskOperator
from airflow_provider_wan.worker.turns import LEAD_SECONDS, NotYet

if TYPE_CHECKING:
    from airflow.sdk import Context

    # What submits is loaded where it is used: each task is a process of its own, and each second one only finishes.
    from airflow_provider_wan.client.recovery.search import Sought
    from airflow_provider_wan.durable import ComeBack, Obtained
    from airflow_provider_wan.worker.obtaining import Obtaining


def begun(settings: Callable[[], Mapping[str, Any]], operator: VideoTaskOperator, context: Context) -> Execution:
    """Return a run whose settings are an operator's rendered parameters; wrong ones make Airflow's retries useless."""
    try:
        values = settings()
        place = own_place(values["store_to"], operator, context)
        return Execution(VideoSettings(**{**values, "store_to": place}), operator, context)
    except WanError as error:
        fail(error)


class Execution:
    """One run of an operator on a worker; after a deferral there is a new one, in a new process."""

    def __init__(self, settings: VideoSettings, operator: VideoTaskOperator, context: Context) -> None:
        self._run = TaskRun(settings, operator, context)
        self._settings = settings
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._waiting_for: TaskHandle | None = None
        self._source: Obtaining | None = None
        self._delivering = Delivering(self._run)

    # -- steps ----------------------------------------------------------------------------------------

    def start(self, event: dict[str, Any] | None = None) -> Any:
        """Obtain the task and wait for it; ``event`` is that of a pause or a search before."""
        from airflow_provider_wan.durable import Clue

        if event:
            self._run.go_on_from(event)
            self._obtaining.clue = Clue.of(event["clue"]) if event.get("clue") else None
            self._obtaining.turn = event.get("turn")
        else:
            given = {"ledger_path": self._settings.ledger_path, "store_to": self._settings.store_to}
            warn_of_local_paths(given, self._log)
            if is_after_clear(self._run.ledger, self._context):
                self._log.warning(CLEARED)
        return self._begin(lambda: self._obtaining.attempt().obtain())

    @property
    def _obtaining(self) -> Obtaining:
        """What brings the task; a process that only finishes makes it where an adopted task came back cancelled."""
        if self._source is None:
            from airflow_provider_wan.worker.obtaining import Obtaining

            self._source = Obtaining(self._run)
        return self._source

    def _begin(self, obtain: Callable[[], Obtained | ComeBack]) -> Any:
        from airflow_provider_wan.durable import ComeBack, Obtained

        self._run.forget_read()
        while True:
            refusal: WanError | None = None
            try:
                found = obtain()
            except NotYet as error:
                found = ComeBack(max(0.0, error.seconds - LEAD_SECONDS), f"Other workers submit too: {error}")
            except WanQuotaError as error:
                refusal, self._obtaining.turn = error, None
                pause = max(error.retry_after or 0.0, self._throttled_pause())
                found = ComeBack(pause, f"The submission is throttled, no task was made: {error}")
            except WanAuthError as error:
                is_one = not self._run.accounts.is_choice
                self._fail(with_account(error, self._run.conn_id, self._run.hook.account) if is_one else error)
            except WanError as error:
                self._fail(error)
            finally:
                self._run.accounts.close()
            if isinstance(found, Obtained):
                self._run.conn_id = found.handle.wan_conn_id or self._run.conn_id
                return self._go_on(found)
            self._pause(found, refusal)
            obtain = self._obtaining.attempt().obtain

    def _throttled_pause(self) -> float:
        """Return the seconds until the next try; where turns are taken it is soon, and later the longer it goes on."""
        longest = self._settings.times.throttled_pause
        if not self._obtaining.takes_turns:
            return longest
        return min(longest, max(self._settings.times.turn_pause, (utc_now() - self._run.since).total_seconds()))

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event; return the result."""
        self._run.is_begun = True
        try:
            ending = ending_in(event)
        except WanError as error:
            self._fail(error)
        named = event.get("wan_conn_id")
        if not named and self._run.accounts.is_choice and (record := self._run.record()) is not None:
            named = record.wan_conn_id
        self._run.conn_id = named or self._run.conn_id
        self._run.heal(ending.task)
        return self._finish(ending)

    def on_kill(self) -> None:
        """Cancel the task that this worker waits for, where possible, in the seconds that a killed worker has."""
        if self._waiting_for is None or not self._settings.cancel_on_kill:
            return
        left = why_left_alone(self._context, durable=self._run.ledger.is_durable, store=self._run.store)
        if left is not None:
            self._log.info("Task %s is left alone, the next attempt adopts it: %s", self._waiting_for.task_id, left)
            return
        self._log.info(cancel_within(KILL_SECONDS, self._run.hook.account, self._waiting_for).message)

    # -- waiting --------------------------------------------------------------------------------------

    def _deadline(self, handle: TaskHandle) -> datetime:
        settings = self._settings
        limit = ends_at(self._context, self._run.since, settings.execution_timeout, settings.times)
        return deadline_of(handle.submitted_at, utc_now(), settings.timeout, limit)

    def _go_on(self, obtained: Obtained) -> Any:
        handle, settings = obtained.handle, self._settings
        metrics.obtained(handle, is_adopted=obtained.is_adopted, is_recovered=obtained.is_recovered)
        traces.obtained(handle, is_adopted=obtained.is_adopted)
        page = self._run.hook.vendor.task_page(handle, self._run.hook.account)
        self._delivering.show_link(page, now=not self._run.defers)
        show_generation(self._operator, self._context, "submitted", handle=handle.to_dict(), page=page)
        if not obtained.is_adopted:
            details = (
                self._run.hook.vendor.title,
                handle.model,
                handle.request_id and f"request_id={handle.request_id}",
            )
            self._log.info("Submitted task %s (%s)", handle.task_id, ", ".join(filter(None, details)))
        if not settings.wait_for_completion:
            push_own(self._operator, self._context, handle.to_dict())
            return handle.to_dict()
        if (stored := obtained.stored) is not None:
            return self._delivered(lambda: self._delivering.deliver_stored(obtained, stored), obtained.task)
        if obtained.task is not None and obtained.task.status is TaskStatus.SUCCEEDED:
            return self._finish(Ending(EndingStatus.SUCCESS, obtained.task))
        deadline = self._deadline(handle)
        self._share(handle, deadline)
        self._waiting_for = handle
        if self._run.defers:
            self._defer(handle, deadline)
        ending = self._run.hook.wait_for_ending(handle, deadline, settings.poll_interval, self._log.info)
        if ending.status is EndingStatus.TIMEOUT and settings.cancel_on_timeout:
            outcome = cancel_within(CANCEL_SECONDS, self._run.hook.account, handle)
            ending = Ending(ending.status, ending.task, f"{ending.message}. {outcome.message}")
        self._waiting_for = None
        return self._finish(ending)

    def _defer(self, handle: TaskHandle, deadline: datetime) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanTaskTrigger

        settings = self._settings
        trigger = WanTaskTrigger(
            wan_conn_id=self._run.conn_id,
            handle=handle.to_dict(),
            deadline=deadline.isoformat(),
            poll_interval=settings.poll_interval,
            cancel_on_kill=settings.cancel_on_kill,
            cancel_on_timeout=settings.cancel_on_timeout,
            durable=self._run.ledger.is_durable,
            profile=profile_of(handle.model, self._obtaining.request),
            survives_clear=survives_clear(self._run.store),
        )
        self._log.info(
            "The worker is free now; task %s is waited for until %s",
            handle.task_id,
            deadline.isoformat(timespec="seconds"),
        )
        timeout = deadline - utc_now() + timedelta(seconds=settings.times.backstop)
        self._operator.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def _pause(self, come_back: ComeBack, refusal: WanError | None) -> None:
        """Wait before the next attempt to obtain the task: here in the worker, or by a deferral."""
        moment = utc_now() + timedelta(seconds=come_back.seconds)
        if moment > self._run.since + self._settings.timeout:
            why = (
                f"{come_back.why}; the time-out of {self._settings.timeout} is over. The next attempt goes on from here"
            )
            self._fail(refusal or WanError(why, retryable=True))
        if come_back.sought is not None:
            self._log.info("%s. The worker is free meanwhile", come_back.why)
            self._defer_search(come_back.sought)
        self._log.info("%s. Trying again in %.0f s", come_back.why, come_back.seconds)
        if not self._run.defers:
            time.sleep(come_back.seconds)
            return
        from airflow_provider_wan.triggers.wan import WanPauseTrigger

        trigger = WanPauseTrigger(
            moment.isoformat(), self._run.since.isoformat(), self._run.ledger.carried(), self._obtaining.turn
        )
        self._operator.defer(trigger=trigger, method_name="execute_again")

    def _defer_search(self, sought: Sought) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanSearchTrigger

        show_generation(self._operator, self._context, "in_doubt")
        settings = self._settings
        least = utc_now() + timedelta(seconds=settings.times.shortest_search)
        record = self._run.record()
        trigger = WanSearchTrigger(
            wan_conn_id=(record and record.wan_conn_id) or self._run.conn_id,
            sought=sought.to_dict(),
            deadline=max(self._run.since + settings.timeout, least).isoformat(),
            since=self._run.since.isoformat(),
            record=self._run.ledger.carried(),
        )
        self._operator.defer(trigger=trigger, method_name="execute_again")

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self, ending: Ending) -> Any:
        if self._is_shared and ending.task.status.is_ended:
            self._run.accounts.known.ended(self._run.hook.account, ending.task.task_id)
        if ending.status is EndingStatus.SUCCESS:
            return self._delivered(lambda: self._delivering.deliver(ending.task), ending.task)
        if ending.status is EndingStatus.CANCELLED and self._was_adopted(ending.task):
            self._log.warning(
                "The adopted task %s came back cancelled (a kill of the former attempt reached it; it is not billed): "
                "a new one is submitted",
                ending.task.task_id,
            )
            return self._begin(lambda: self._obtaining.attempt().resubmit())
        return self._fail(error_of(ending), ending.task)

    def _delivered(self, deliver: Callable[[], dict[str, Any]], task: VideoTask | None) -> dict[str, Any]:
        try:
            return deliver()
        except WanError as error:
            failure = error
        return self._fail(failure, task)

    def _fail(self, error: WanError, task: VideoTask | None = None) -> NoReturn:
        show_failure(self._operator, self._context, error, task.model_dump(mode="json") if task else None)
        self._count(error, task or self._waiting_for)
        fail(error)

    def _count(self, error: WanError, about: VideoTask | TaskHandle | None) -> None:
        if about is not None:
            metrics.failed(error, about.vendor, about.model)
        elif self._source is not None and "request" in self._source.__dict__ and not self._run.accounts.is_choice:
            vendor = self._run.hook.vendor
            metrics.failed(error, vendor.name, vendor.model_of(self._source.request))
        else:
            metrics.failed(error)

    def _was_adopted(self, task: VideoTask) -> bool:
        record = self._run.record()
        return (
            record is not None
            and record.adopted
            and record.handle is not None
            and (record.handle.task_id == task.task_id)
        )

    def _share(self, handle: TaskHandle, deadline: datetime) -> None:
        """Let other workers know of a task that is under way, where they choose by that."""
        if self._is_shared:
            self._run.accounts.known.started(self._run.hook.account, handle.task_id, deadline)

    @property
    def _is_shared(self) -> bool:
        return self._run.accounts.is_choice and self._settings.route == "spread"
