"""The worker side of an operator's run: obtain the task, wait for it, hand on the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_wan.client.errors import WanError, WanQuotaError
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.recovery.search import Sought
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import TaskHandle, TaskStatus, VideoTask, result_of, utc_now
from airflow_provider_wan.client.transport.flows import Patience
from airflow_provider_wan.durable import (
    Attempt,
    Clue,
    ComeBack,
    Knowledge,
    Ledger,
    Obtained,
    PaidCall,
    Policies,
    Record,
)
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.shown import show_failure, show_generation

if TYPE_CHECKING:
    from airflow_provider_wan.operators.base import WanVideoOperator

BACKSTOP = timedelta(minutes=5)
"""How long after the trigger's own deadline Airflow's stands; its passing skips all clean-up."""

SHORTEST_SEARCH = timedelta(minutes=2)
"""A search for a lost submission gets as long at least, however little is left of the time-out."""

THROTTLED_PAUSE = 60.0
SUBMIT_SECONDS_ON_WORKER = 15.0
KILL_PATIENCE = Patience(tries=1)


class Execution:
    """One run of an operator on a worker; after a deferral there is a new one, in a new process."""

    def __init__(self, operator: WanVideoOperator, context: Any) -> None:
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._hook = WanHook(operator.wan_conn_id)
        self._since = utc_now()
        self._carried: dict[str, Any] | None = None
        self._clue: Clue | None = None
        self._known = Knowledge()
        self._is_begun = False

    # -- steps ----------------------------------------------------------------------------------------

    def start(self, event: dict[str, Any] | None = None) -> Any:
        """Obtain the task and wait for it; ``event`` is that of a pause or a search before."""
        if event:
            self._is_begun = True
            self._since = datetime.fromisoformat(event["since"])
            self._carried = event.get("record")
            self._clue = Clue.of(event["clue"]) if event.get("clue") else None
        return self._begin(lambda: self._attempt().obtain())

    def _begin(self, obtain: Callable[[], Obtained | ComeBack]) -> Any:
        while True:
            refusal: WanError | None = None
            try:
                found = obtain()
            except WanQuotaError as error:
                refusal = error
                pause = max(error.retry_after or 0.0, THROTTLED_PAUSE)
                found = ComeBack(pause, f"The submission is throttled, no task was made: {error}")
            except WanError as error:
                self._fail(error)
            finally:
                self._hook.close()
            if isinstance(found, Obtained):
                return self._go_on(found)
            self._pause(found, refusal)
            obtain = self._attempt().obtain

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event; return the result."""
        self._is_begun = True
        try:
            ending = Ending.from_event(event)
        except (KeyError, TypeError, ValueError):
            self._fail(
                WanError(
                    "The trigger's event is not understood; the task stays recorded and the next attempt adopts it",
                    retryable=True,
                )
            )
        return self._finish(ending)

    # -- obtaining ------------------------------------------------------------------------------------

    @cached_property
    def _request(self) -> VideoRequest:
        request = self._operator.build_request(self._context)
        checked = self._hook.vendor.check(request)
        for warning in checked.warnings:
            self._log.warning("%s", warning)
        return request

    @cached_property
    def _ledger(self) -> Ledger:
        if not self._operator.durable:
            return Ledger(None, carried=self._carried)
        store = self._context.get("task_state_store")
        if store is None and not self._is_begun:
            self._log.warning(
                "This Airflow keeps no task state (3.3 and newer do): a retry of this task may submit, and pay, again"
            )
        return Ledger(store, carried=self._carried)

    def _attempt(self) -> Attempt:
        operator, ti = self._operator, self._context["ti"]
        clue, self._clue = self._clue, None
        return Attempt(
            call=PaidCall(
                client=self._hook.get_conn(),
                ledger=self._ledger,
                request=self._request,
                account_name=operator.wan_conn_id,
                series=str(getattr(ti, "max_tries", "")),
                patience=Patience(throttled=SUBMIT_SECONDS_ON_WORKER),
                log=self._log,
            ),
            policies=Policies(
                regenerate=truth("regenerate", operator.regenerate),
                on_changed_request=operator.on_changed_request,
                on_unknown_submission=operator.on_unknown_submission,
            ),
            is_alive=self._is_alive,
            is_stored=self._is_stored,
            give_up=self._timeout,
            since=self._since,
            can_search_elsewhere=operator.deferrable,
            clue=clue,
            known=self._known,
        )

    def _is_alive(self, task: VideoTask) -> bool:
        from airflow_provider_wan.delivery.landing import is_alive

        return is_alive(task, self._hook.account)

    def _is_stored(self, stored: dict[str, Any]) -> bool:
        from airflow_provider_wan.delivery.landing import is_stored

        return is_stored(stored)

    # -- waiting --------------------------------------------------------------------------------------

    @property
    def _timeout(self) -> timedelta:
        timeout = self._operator.timeout
        return timeout if isinstance(timeout, timedelta) else timedelta(seconds=float(timeout))

    @property
    def _interval(self) -> float:
        return max(0.1, float(self._operator.poll_interval))

    def _deadline(self, handle: TaskHandle) -> datetime:
        """Count from submission; an adopted task whose time is over gets a new time-out."""
        now = utc_now()
        deadline = handle.submitted_at + self._timeout
        if deadline <= now:
            deadline = now + self._timeout
        limit = self._operator.execution_timeout
        return min(deadline, now + limit) if limit else deadline

    def _go_on(self, obtained: Obtained) -> Any:
        handle, operator = obtained.handle, self._operator
        page = self._hook.vendor.task_page(handle, self._hook.account)
        self._show_link(page)
        show_generation(self._operator, self._context, "submitted", handle=handle.to_dict(), page=page)
        if not obtained.is_adopted:
            told = (self._hook.vendor.title, handle.model, handle.request_id and f"request_id={handle.request_id}")
            self._log.info("Submitted task %s (%s)", handle.task_id, ", ".join(filter(None, told)))
        if not operator.wait_for_completion:
            return handle.to_dict()
        if obtained.stored is not None:
            task = obtained.task or VideoTask(task_id=handle.task_id, vendor=handle.vendor, mode=handle.mode)
            known = {"status": str(TaskStatus.SUCCEEDED)}
            return self._hand_on(self._result(task, handle) | known | self._in_place(task, obtained.stored))
        if obtained.task is not None and obtained.task.status is TaskStatus.SUCCEEDED:
            return self._finish(Ending(EndingStatus.SUCCESS, obtained.task))
        deadline = self._deadline(handle)
        operator.running = handle.to_dict()
        if operator.deferrable:
            self._defer(handle, deadline)
        ending = self._hook.wait_for_ending(handle, deadline, self._interval, self._log.info)
        if ending.status is EndingStatus.TIMEOUT and operator.cancel_on_timeout:
            ending = Ending(ending.status, ending.task, f"{ending.message}. {cancel_now(self._hook, handle)}")
        operator.running = None
        return self._finish(ending)

    def _defer(self, handle: TaskHandle, deadline: datetime) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanTaskTrigger

        operator = self._operator
        trigger = WanTaskTrigger(
            wan_conn_id=operator.wan_conn_id,
            handle=handle.to_dict(),
            deadline=deadline.isoformat(),
            poll_interval=self._interval,
            cancel_on_kill=operator.cancel_on_kill,
            cancel_on_timeout=operator.cancel_on_timeout,
            durable=self._ledger.is_durable,
            profile=f"{handle.model}/{self._request.resolution}/{self._request.duration}",
        )
        self._log.info(
            "The worker is free now; task %s is waited for until %s",
            handle.task_id,
            deadline.isoformat(timespec="seconds"),
        )
        operator.defer(trigger=trigger, method_name="execute_complete", timeout=deadline - utc_now() + BACKSTOP)

    def _pause(self, come_back: ComeBack, refusal: WanError | None) -> None:
        """Wait before the next attempt to obtain the task: here in the worker, or by a deferral."""
        moment = utc_now() + timedelta(seconds=come_back.seconds)
        if moment > self._since + self._timeout:
            why = f"{come_back.why}; the time-out of {self._timeout} is over. The next attempt goes on from here"
            self._fail(refusal or WanError(why, retryable=True))
        if come_back.sought is not None:
            self._log.info("%s. The worker is free meanwhile", come_back.why)
            self._defer_search(come_back.sought)
        self._log.info("%s. Trying again in %.0f s", come_back.why, come_back.seconds)
        if not self._operator.deferrable:
            time.sleep(come_back.seconds)
            return
        from airflow_provider_wan.triggers.wan import WanPauseTrigger

        trigger = WanPauseTrigger(moment.isoformat(), self._since.isoformat(), self._ledger.carried())
        self._operator.defer(trigger=trigger, method_name="execute_again")

    def _defer_search(self, sought: Sought) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanSearchTrigger

        show_generation(self._operator, self._context, "in_doubt")
        trigger = WanSearchTrigger(
            wan_conn_id=self._operator.wan_conn_id,
            sought=sought.to_dict(),
            deadline=max(self._since + self._timeout, utc_now() + SHORTEST_SEARCH).isoformat(),
            since=self._since.isoformat(),
            record=self._ledger.carried(),
        )
        self._operator.defer(trigger=trigger, method_name="execute_again")

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self, ending: Ending) -> Any:
        if ending.status is EndingStatus.SUCCESS:
            return self._deliver(ending.task)
        if ending.status is EndingStatus.CANCELLED and self._was_adopted(ending.task):
            self._log.warning(
                "The adopted task %s came back cancelled (a kill of the former attempt reached it; it is not billed): "
                "a new one is submitted",
                ending.task.task_id,
            )
            return self._begin(lambda: self._attempt().resubmit())
        return self._fail(error_of(ending), ending.task)

    def _fail(self, error: WanError, task: VideoTask | None = None) -> NoReturn:
        show_failure(self._operator, self._context, error, task.model_dump(mode="json") if task else None)
        fail(error)

    def _was_adopted(self, task: VideoTask) -> bool:
        record = self._record()
        return (
            record is not None
            and record.adopted
            and record.handle is not None
            and (record.handle.task_id == task.task_id)
        )

    def _record(self) -> Record | None:
        try:
            return self._ledger.read()
        except WanError as error:
            self._log.warning("%s", error)
            return None

    def _deliver(self, task: VideoTask) -> dict[str, Any]:
        """Return the result; land the video first where the operator asks for it."""
        if task.actual_prompt is None and getattr(task, "prompt_was_rewritten", False):
            task = self._with_prompts(task)
        result = self._result(task, None)
        self._log.info("Task %s has its video; the link 'Generated video' leads to it", task.task_id)
        record = self._record()
        if self._operator.store_to:
            result |= self._land(task, record)
        if record is not None and record.handle is not None and record.handle.task_id == task.task_id:
            stored = {name: result[name] for name in ("uri", "bytes", "sha256") if name in result}
            self._keep(record.model_copy(update={"finished": True, "stored": stored or record.stored}))
        return self._hand_on(result)

    def _keep(self, record: Record) -> None:
        try:
            self._ledger.write(record)
        except WanError as error:
            self._log.warning("%s", error)

    def _with_prompts(self, task: VideoTask) -> VideoTask:
        """Fetch the rewritten prompt: events carry no prompts, they are user data."""
        handle = TaskHandle(
            vendor=task.vendor,
            task_id=task.task_id,
            mode=self._operator.mode if task.mode is None else task.mode,
            model=task.model or "",
            submitted_at=task.submitted_at or utc_now(),
        )
        try:
            return self._hook.get_task(handle)
        except WanError as error:
            self._log.warning("The rewritten prompt could not be fetched: %s", error)
            return task
        finally:
            self._hook.close()

    def _land(self, task: VideoTask, record: Record | None) -> dict[str, Any]:
        from airflow_provider_wan.delivery.landing import land, target_of

        target = str(self._operator.store_to)
        stored = record.stored if record and record.handle and record.handle.task_id == task.task_id else None
        if stored and stored["uri"] == target_of(task, target) and self._is_stored(stored):
            self._log.info("The video is stored already at %s", stored["uri"])
            return stored
        try:
            landed = land(task, target, self._hook.account)
        except WanError as error:
            self._fail(error, task)
        self._log.info("Stored the video at %s (%d bytes)", landed.uri, landed.bytes)
        return landed.to_dict()

    def _in_place(self, task: VideoTask, stored: dict[str, Any]) -> dict[str, Any]:
        """Return where the video lies; copy it when ``store_to`` names another place than before."""
        from airflow_provider_wan.delivery.landing import copy_stored, target_of

        uri = target_of(task, str(self._operator.store_to)) if self._operator.store_to else stored["uri"]
        if uri == stored["uri"]:
            return stored
        try:
            landed = copy_stored(stored, uri).to_dict()
        except WanError as error:
            self._fail(error, task)
        self._log.info("Copied the video from %s to %s", stored["uri"], uri)
        record = self._record()
        if record is not None:
            self._keep(record.model_copy(update={"stored": landed}))
        return landed

    def _result(self, task: VideoTask, handle: TaskHandle | None) -> dict[str, Any]:
        known = self._operator.known_of_request(self._context, self._operator.request_or_none(self._context))
        if handle is not None:
            known |= handle.to_dict()
        return result_of(task, **known)

    def _hand_on(self, result: dict[str, Any]) -> dict[str, Any]:
        self._show_link(result.get("video_url"))
        tell_assets(self._operator, self._context, result)
        return result

    def _show_link(self, url: str | None) -> None:
        WanVideoLink().show(self._operator, self._context, url)


ASSET_KEYS = ("task_id", "vendor", "model", "mode", "resolution", "ratio", "duration", "seed", "uri", "bytes", "sha256")


def tell_assets(operator: Any, context: Any, result: dict[str, Any]) -> None:
    """Put the result's small fields into the events of the operator's asset outlets.

    An alias becomes the asset that was stored: its URI is known only now.
    """
    from airflow.sdk import Asset, AssetAlias

    small = {name: result[name] for name in ASSET_KEYS if result.get(name) is not None}
    for outlet in getattr(operator, "outlets", None) or []:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(small)
        elif "uri" in small:
            context["outlet_events"][outlet].add(Asset(small["uri"]), extra=small)


def truth(name: str, value: Any) -> bool:
    """Read a boolean that may have been rendered from a template.

    :raises WanError: for anything that is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("", "false", "0", "no", "off", "none"):
        return False
    from airflow_provider_wan.client.errors import Violation, WanRequestError

    raise WanRequestError(violations=[Violation(name, "is true or false", repr(value), hard=True)])


def cancel_now(hook: WanHook, handle: TaskHandle) -> str:
    """Cancel a task from the worker, with one short request; return what became of it."""
    from airflow_provider_wan.triggers.wan import told

    try:
        return told(hook, handle, hook.cancel_task(handle, KILL_PATIENCE))
    except WanError as error:
        return f"Task {handle.task_id} could not be cancelled ({error}): it may run on and be billed"


def cancel_running(operator: WanVideoOperator) -> None:
    """Cancel the task that a worker was waiting for when it was killed."""
    if operator.running is None or not operator.cancel_on_kill:
        return
    operator.log.info(cancel_now(WanHook(operator.wan_conn_id), TaskHandle.of(operator.running)))
