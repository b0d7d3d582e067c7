"""The worker side of an operator's run: obtain the task, wait for it, hand on the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from airflow_provider_wan.client.errors import WanAuthError, WanError, WanQuotaError, WanRequestError
from airflow_provider_wan.client.polling.cancelling import CANCEL_SECONDS, cancel_within
from airflow_provider_wan.client.polling.watch import Ending, EndingStatus, error_of
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask, result_of, utc_now
from airflow_provider_wan.client.urls import public_url
from airflow_provider_wan.durable import Ledger, Record, StateStore, heal
from airflow_provider_wan.hooks.account import with_account
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.telemetry import metrics, traces
from airflow_provider_wan.triggers.owner import owner_of
from airflow_provider_wan.worker.accounts import Accounts
from airflow_provider_wan.worker.assets import add_to_events
from airflow_provider_wan.worker.costs import check_cost
from airflow_provider_wan.worker.failing import fail
from airflow_provider_wan.worker.killing import KILL_SECONDS, why_left_alone
from airflow_provider_wan.worker.known import KnownAccounts
from airflow_provider_wan.worker.ledgers import (
    CLEARED,
    NO_TASK_STATE,
    ObjectStore,
    configured_path,
    is_after_clear,
    is_iterated,
    store_for,
    survives_clear,
)
from airflow_provider_wan.worker.lineage import note_video
from airflow_provider_wan.worker.machines import warn_of_local_paths
from airflow_provider_wan.worker.outputs import push_own
from airflow_provider_wan.worker.places import own_place
from airflow_provider_wan.worker.settings import (
    RequestSource,
    TaskOperator,
    VideoSettings,
    deadline_of,
    ending_in,
    ends_at,
    profile_of,
    series_of,
)
from airflow_provider_wan.worker.shown import show_failure, show_generation
from airflow_provider_wan.worker.turns import HELD_SECONDS, LEAD_SECONDS, NotYet, next_turn

if TYPE_CHECKING:
    from airflow.sdk import Context

    # What submits is loaded where it is used: each task is a process of its own, and each second one only finishes.
    from airflow_provider_wan.client.account import Account
    from airflow_provider_wan.client.recovery.search import Sought
    from airflow_provider_wan.client.routing import Candidate
    from airflow_provider_wan.durable import (
        Attempt,
        Clue,
        ComeBack,
        Knowledge,
        Obtained,
        PaidCall,
        RoutedAttempt,
    )
    from airflow_provider_wan.inputs.inputs import Inputs


class VideoTaskOperator(TaskOperator, RequestSource, Protocol):
    """An operator that makes one video."""


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
        self._settings = settings
        self._operator = operator
        self._context = context
        self._log = operator.log
        self._accounts = Accounts(settings.wan_conn_id, KnownAccounts(settings.ledger_path or configured_path()))
        self._conn_id = self._accounts.names[0]
        """Of the account that the run works with; where there is a choice, once that is made."""
        self._waiting_for: TaskHandle | None = None
        self._since = utc_now()
        self._carried: dict[str, Any] | None = None
        self._clue: Clue | None = None
        self._known: dict[str, Knowledge] = {}
        self._is_begun = False
        self._is_place_proven = False
        self._turn: float | None = None
        """When this task may submit, in seconds since the epoch."""
        self._cost_checked: set[str] = set()

    @property
    def _hook(self) -> WanHook:
        return self._accounts.hook(self._conn_id)

    # -- steps ----------------------------------------------------------------------------------------

    def start(self, event: dict[str, Any] | None = None) -> Any:
        """Obtain the task and wait for it; ``event`` is that of a pause or a search before."""
        from airflow_provider_wan.durable import Clue

        if event:
            self._is_begun = True
            self._since = datetime.fromisoformat(event["since"])
            self._carried = event.get("record")
            self._clue = Clue.of(event["clue"]) if event.get("clue") else None
            self._turn = event.get("turn")
        else:
            given = {"ledger_path": self._settings.ledger_path, "store_to": self._settings.store_to}
            warn_of_local_paths(given, self._log)
            if is_after_clear(self._ledger, self._context):
                self._log.warning(CLEARED)
        return self._begin(lambda: self._obtaining().obtain())

    @property
    def _defers(self) -> bool:
        """Whether the wait is the triggerer's; one of many tasks in one process would take the others down with it."""
        return self._settings.deferrable and not is_iterated(self._context)

    def _begin(self, obtain: Callable[[], Obtained | ComeBack]) -> Any:
        from airflow_provider_wan.durable import ComeBack, Obtained

        while True:
            refusal: WanError | None = None
            try:
                found = obtain()
            except NotYet as error:
                found = ComeBack(max(0.0, error.seconds - LEAD_SECONDS), f"Other workers submit too: {error}")
            except WanQuotaError as error:
                refusal, self._turn = error, None
                pause = max(error.retry_after or 0.0, self._settings.times.throttled_pause)
                found = ComeBack(pause, f"The submission is throttled, no task was made: {error}")
            except WanAuthError as error:
                is_one = not self._accounts.is_choice
                self._fail(with_account(error, self._conn_id, self._hook.account) if is_one else error)
            except WanError as error:
                self._fail(error)
            finally:
                self._accounts.close()
            if isinstance(found, Obtained):
                self._conn_id = found.handle.wan_conn_id or self._conn_id
                return self._go_on(found)
            self._pause(found, refusal)
            obtain = self._obtaining().obtain

    def resume(self, event: dict[str, Any]) -> Any:
        """Take the trigger's event; return the result."""
        self._is_begun = True
        try:
            ending = ending_in(event)
        except WanError as error:
            self._fail(error)
        named = event.get("wan_conn_id")
        if not named and self._accounts.is_choice and (record := self._record()) is not None:
            named = record.wan_conn_id
        self._conn_id = named or self._conn_id
        heal(self._ledger, self._handle_of(ending.task))
        return self._finish(ending)

    def on_kill(self) -> None:
        """Cancel the task that this worker waits for, where possible, in the seconds that a killed worker has."""
        if self._waiting_for is None or not self._settings.cancel_on_kill:
            return
        left = why_left_alone(self._context, durable=self._ledger.is_durable, store=self._store)
        if left is not None:
            self._log.info("Task %s is left alone, the next attempt adopts it: %s", self._waiting_for.task_id, left)
            return
        self._log.info(cancel_within(KILL_SECONDS, self._hook.account, self._waiting_for).message)

    # -- obtaining ------------------------------------------------------------------------------------

    @cached_property
    def _request(self) -> VideoRequest:
        """The request, with the models of all vendors where it names several."""
        request = self._operator.build_request(self._context)
        if self._accounts.is_choice:
            return self._inputs.identified(request)
        own = self._accounts.request_for(self._conn_id, request)
        checked = self._inputs.checked(own, self._hook.account)
        for warning in checked.warnings:
            self._log.warning("%s", warning)
        return self._inputs.identified(request)

    @cached_property
    def _inputs(self) -> Inputs:
        from airflow_provider_wan.worker.inputs import inputs_of

        return inputs_of(self._operator, self._context, self._settings.media, self._store)

    @cached_property
    def _ledger(self) -> Ledger:
        if not self._settings.durable:
            return Ledger(None, carried=self._carried)
        if self._store is None and not self._is_begun:
            self._log.warning(NO_TASK_STATE)
        return Ledger(self._store, carried=self._carried)

    @cached_property
    def _store(self) -> StateStore | None:
        return store_for(self._context, self._settings.ledger_path) if self._settings.durable else None

    def _obtaining(self) -> Attempt | RoutedAttempt:
        """Return what brings the task: from the one account, or from the recorded or the best of several."""
        from airflow_provider_wan.durable import PaidCall, RoutedAttempt

        clue, self._clue = self._clue, None
        if not self._accounts.is_choice and not self._was_choice():
            return self._attempt(self._conn_id, PaidCall, clue)
        settings = self._settings

        def may_leave(record: Record) -> bool:
            return settings.regenerate and record.series != series_of(self._context)

        return RoutedAttempt(
            ledger=self._ledger,
            accounts=self._accounts.names,
            candidates=self._candidates,
            attempt_on=partial(self._attempt, clue=clue),
            route=settings.route,
            prefer=settings.prefer,
            before=self._prove_place,
            may_leave=may_leave,
            note=self._accounts.note,
            log=self._log,
        )

    def _was_choice(self) -> bool:
        """Whether an earlier attempt, which had several accounts, recorded one of them."""
        is_first = not self._is_begun and int(getattr(self._context["ti"], "try_number", 1) or 1) <= 1
        record = None if is_first else self._record()
        return record is not None and record.wan_conn_id is not None

    def _candidates(self) -> list[Candidate]:
        settings = self._settings
        counts = settings.route == "spread"
        return [
            self._accounts.candidate(
                name,
                self._request,
                settings.max_cost,
                settings.on_unknown_price,
                counts_others=counts,
                check=self._inputs.checked,
            )
            for name in self._accounts.names
        ]

    def _attempt(self, conn_id: str, kind: type[PaidCall], clue: Clue | None) -> Attempt:
        from airflow_provider_wan.client.transport.flows import Patience
        from airflow_provider_wan.durable import Attempt, HeldCall, Knowledge, Policies

        settings, hook = self._settings, self._accounts.usable(conn_id)
        request = self._accounts.request_for(conn_id, self._request)
        before = partial(self._before_paying, hook, request)
        # With others to go to, a throttled account holds no worker.
        patience = Patience(throttled=0.0 if len(self._accounts.names) > 1 else settings.times.submit)
        return Attempt(
            call=kind(
                client=hook.get_conn(),
                ledger=self._ledger,
                request=request,
                account_name=conn_id,
                series=series_of(self._context),
                patience=patience,
                before=self._before_leaving if issubclass(kind, HeldCall) else before,
                reach=self._inputs.reachable,
                expected_cost=hook.costs.expected_cost(request),
                is_choice=self._accounts.is_choice,
                log=self._log,
            ),
            policies=Policies(
                regenerate=settings.regenerate,
                on_changed_request=settings.on_changed_request,
                on_unknown_submission=settings.on_unknown_submission,
            ),
            is_alive=partial(self._is_alive, hook),
            is_stored=self._is_stored,
            give_up=settings.timeout,
            since=self._since,
            can_search_elsewhere=self._defers,
            owner=owner_of(self._context["ti"]),
            clue=clue,
            known=self._known.setdefault(conn_id, Knowledge()),
        )

    def _before_paying(self, hook: WanHook, request: VideoRequest) -> None:
        """Refuse what costs too much, and see that the video can be stored."""
        if hook.wan_conn_id not in self._cost_checked:
            settings = self._settings
            if self._accounts.is_choice:
                for warning in self._inputs.checked(request, hook.account).warnings:
                    self._log.warning("%s", warning)
            check_cost(hook, request, settings.max_cost, settings.on_unknown_price, self._log)
            self._cost_checked.add(hook.wan_conn_id)
        self._prove_place()
        self._wait_for_turn(hook.account)

    def _wait_for_turn(self, account: Account) -> None:
        """Keep the pace of the account together with all workers that share its ledger.

        :raises NotYet: when the worker is freed meanwhile.
        """
        if self._accounts.is_choice or not isinstance(self._store, ObjectStore):
            return
        if self._turn is None:
            self._turn = next_turn(self._store, account)
        left = self._turn - time.time()
        if left > HELD_SECONDS and self._defers:
            raise NotYet(self._turn, left)
        time.sleep(max(0.0, left))

    def _before_leaving(self) -> None:
        """See that some account can take the new request, before what is recorded is left behind for it."""
        refusals = {one.name: one.refusal for one in self._candidates()}
        if all(refusals.values()):
            reasons = "".join(f"\n  - {name}: {why}" for name, why in refusals.items())
            raise WanRequestError(f"No account can take the request, nothing was submitted:{reasons}")
        self._prove_place()

    def _prove_place(self) -> None:
        """See that the video can be stored, before it is paid for."""
        if self._settings.store_to and self._settings.wait_for_completion and not self._is_place_proven:
            from airflow_provider_wan.delivery.storage import prove

            prove(self._settings.store_to)
            self._is_place_proven = True

    def _is_alive(self, hook: WanHook, task: VideoTask) -> bool:
        from airflow_provider_wan.delivery.landing import is_alive

        return is_alive(task, hook.account)

    def _is_stored(self, stored: dict[str, Any]) -> bool:
        from airflow_provider_wan.delivery.storage import is_stored

        return is_stored(stored)

    # -- waiting --------------------------------------------------------------------------------------

    def _deadline(self, handle: TaskHandle) -> datetime:
        settings = self._settings
        limit = ends_at(self._context, self._since, settings.execution_timeout, settings.times)
        return deadline_of(handle.submitted_at, utc_now(), settings.timeout, limit)

    def _go_on(self, obtained: Obtained) -> Any:
        handle, settings = obtained.handle, self._settings
        metrics.obtained(handle, is_adopted=obtained.is_adopted, is_recovered=obtained.is_recovered)
        traces.obtained(handle, is_adopted=obtained.is_adopted)
        page = self._hook.vendor.task_page(handle, self._hook.account)
        self._show_link(page, now=not self._defers)
        show_generation(self._operator, self._context, "submitted", handle=handle.to_dict(), page=page)
        if not obtained.is_adopted:
            details = (self._hook.vendor.title, handle.model, handle.request_id and f"request_id={handle.request_id}")
            self._log.info("Submitted task %s (%s)", handle.task_id, ", ".join(filter(None, details)))
        if not settings.wait_for_completion:
            push_own(self._operator, self._context, handle.to_dict())
            return handle.to_dict()
        if obtained.stored is not None:
            task = obtained.task or VideoTask(task_id=handle.task_id, vendor=handle.vendor, mode=handle.mode)
            known = {"status": str(TaskStatus.SUCCEEDED)}
            landed = self._land(task, settings.store_to or obtained.stored["uri"], obtained.stored)
            if landed != obtained.stored and (record := self._record()) is not None:
                self._keep(record.model_copy(update={"stored": landed}))
            result = self._result(task, handle) | known | landed
            record = self._record()
            return self._hand_on(result | {"cost": result["cost"] or (record.cost if record else None)})
        if obtained.task is not None and obtained.task.status is TaskStatus.SUCCEEDED:
            return self._finish(Ending(EndingStatus.SUCCESS, obtained.task))
        deadline = self._deadline(handle)
        self._share(handle, deadline)
        self._waiting_for = handle
        if self._defers:
            self._defer(handle, deadline)
        ending = self._hook.wait_for_ending(handle, deadline, settings.poll_interval, self._log.info)
        if ending.status is EndingStatus.TIMEOUT and settings.cancel_on_timeout:
            outcome = cancel_within(CANCEL_SECONDS, self._hook.account, handle)
            ending = Ending(ending.status, ending.task, f"{ending.message}. {outcome.message}")
        self._waiting_for = None
        return self._finish(ending)

    def _defer(self, handle: TaskHandle, deadline: datetime) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanTaskTrigger

        settings = self._settings
        trigger = WanTaskTrigger(
            wan_conn_id=self._conn_id,
            handle=handle.to_dict(),
            deadline=deadline.isoformat(),
            poll_interval=settings.poll_interval,
            cancel_on_kill=settings.cancel_on_kill,
            cancel_on_timeout=settings.cancel_on_timeout,
            durable=self._ledger.is_durable,
            profile=profile_of(handle.model, self._request),
            survives_clear=survives_clear(self._store),
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
        if moment > self._since + self._settings.timeout:
            why = (
                f"{come_back.why}; the time-out of {self._settings.timeout} is over. The next attempt goes on from here"
            )
            self._fail(refusal or WanError(why, retryable=True))
        if come_back.sought is not None:
            self._log.info("%s. The worker is free meanwhile", come_back.why)
            self._defer_search(come_back.sought)
        self._log.info("%s. Trying again in %.0f s", come_back.why, come_back.seconds)
        if not self._defers:
            time.sleep(come_back.seconds)
            return
        from airflow_provider_wan.triggers.wan import WanPauseTrigger

        trigger = WanPauseTrigger(moment.isoformat(), self._since.isoformat(), self._ledger.carried(), self._turn)
        self._operator.defer(trigger=trigger, method_name="execute_again")

    def _defer_search(self, sought: Sought) -> NoReturn:
        from airflow_provider_wan.triggers.wan import WanSearchTrigger

        show_generation(self._operator, self._context, "in_doubt")
        settings = self._settings
        least = utc_now() + timedelta(seconds=settings.times.shortest_search)
        record = self._record()
        trigger = WanSearchTrigger(
            wan_conn_id=(record and record.wan_conn_id) or self._conn_id,
            sought=sought.to_dict(),
            deadline=max(self._since + settings.timeout, least).isoformat(),
            since=self._since.isoformat(),
            record=self._ledger.carried(),
        )
        self._operator.defer(trigger=trigger, method_name="execute_again")

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self, ending: Ending) -> Any:
        if self._is_shared and ending.task.status.is_ended:
            self._accounts.known.ended(self._hook.account, ending.task.task_id)
        if ending.status is EndingStatus.SUCCESS:
            return self._deliver(ending.task)
        if ending.status is EndingStatus.CANCELLED and self._was_adopted(ending.task):
            self._log.warning(
                "The adopted task %s came back cancelled (a kill of the former attempt reached it; it is not billed): "
                "a new one is submitted",
                ending.task.task_id,
            )
            return self._begin(lambda: self._obtaining().resubmit())
        return self._fail(error_of(ending), ending.task)

    def _fail(self, error: WanError, task: VideoTask | None = None) -> NoReturn:
        show_failure(self._operator, self._context, error, task.model_dump(mode="json") if task else None)
        self._count(error, task or self._waiting_for)
        fail(error)

    def _count(self, error: WanError, about: VideoTask | TaskHandle | None) -> None:
        if about is not None:
            metrics.failed(error, about.vendor, about.model)
        elif "_request" in self.__dict__ and not self._accounts.is_choice:
            vendor = self._hook.vendor
            metrics.failed(error, vendor.name, vendor.model_of(self._request))
        else:
            metrics.failed(error)

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
        if self._accounts.is_choice:
            task = task.model_copy(update={"wan_conn_id": self._conn_id})
        result = self._result(task, None)
        self._log.info("Task %s has its video; the link 'Generated video' leads to it", task.task_id)
        record = self._record()
        if record is not None and (record.handle is None or record.handle.task_id != task.task_id):
            record = None
        if record is not None and record.handle is not None and task.submitted_at is None:
            task = task.model_copy(update={"submitted_at": record.handle.submitted_at})
        self._show_link(result["video_url"])
        if record is None or not record.finished:
            metrics.delivered(task, result["cost"] or (record.cost if record else None))
            traces.delivered(task)
        if self._settings.store_to:
            result |= self._land(task, self._settings.store_to, record.stored if record else None)
        if record is not None:
            stored = {name: result[name] for name in ("uri", "bytes", "sha256") if name in result}
            # A decorated function's request is not at hand any more: its estimate is on record.
            result["cost"] = result["cost"] or record.cost
            update = {"finished": True, "stored": stored or record.stored, "cost": result["cost"]}
            self._keep(record.model_copy(update=update))
        return self._hand_on(result)

    def _keep(self, record: Record) -> None:
        try:
            self._ledger.write(record)
        except WanError as error:
            self._log.warning("%s", error)

    def _handle_of(self, task: VideoTask) -> TaskHandle:
        """Return the handle of a task out of an event."""
        return TaskHandle(
            vendor=task.vendor,
            task_id=task.task_id,
            mode=task.mode or self._settings.mode or Mode.TEXT_TO_VIDEO,
            model=task.model or "",
            submitted_at=task.submitted_at or utc_now(),
            wan_conn_id=self._conn_id if self._accounts.is_choice else None,
        )

    def _share(self, handle: TaskHandle, deadline: datetime) -> None:
        """Let other workers know of a task that is under way, where they choose by that."""
        if self._is_shared:
            self._accounts.known.started(self._hook.account, handle.task_id, deadline)

    @property
    def _is_shared(self) -> bool:
        return self._accounts.is_choice and self._settings.route == "spread"

    def _with_prompts(self, task: VideoTask) -> VideoTask:
        """Fetch the rewritten prompt: events carry no prompts, they are user data."""
        try:
            return self._hook.get_task(self._handle_of(task))
        except WanError as error:
            self._log.warning("The rewritten prompt could not be fetched: %s", error)
            return task
        finally:
            self._accounts.close()

    def _land(self, task: VideoTask, target: str, stored: dict[str, Any] | None) -> dict[str, Any]:
        """Put the video where it is wanted; say what is there to be saved when that fails."""
        from airflow_provider_wan.delivery.landing import land_once
        from airflow_provider_wan.delivery.storage import reason_of

        try:
            return land_once(task, target, self._hook.account, stored, log=self._log)
        except WanError as error:
            kind, reason, retryable = type(error), error.message, error.retryable
        except Exception as error:  # noqa: BLE001 - whatever the storage raises
            kind, reason, retryable = WanError, reason_of(error), True
        return self._fail(kind(not_stored(task, target, reason), task_id=task.task_id, retryable=retryable), task)

    def _result(self, task: VideoTask, handle: TaskHandle | None) -> dict[str, Any]:
        request = self._operator.request_or_none(self._context)
        known = self._operator.known_of_request(self._context, request) | {"wan_conn_id": self._conn_id}
        if handle is not None:
            known |= handle.to_dict()
        return result_of(self._hook.priced(task, request), **known)

    def _hand_on(self, result: dict[str, Any]) -> dict[str, Any]:
        self._show_link(result.get("video_url"))
        add_to_events(self._operator.outlets, self._context, result)
        push_own(self._operator, self._context, result)
        note_video(self._operator, self._operator.request_or_none(self._context), result)
        return result

    def _show_link(self, url: str | None, *, now: bool = False) -> None:
        WanVideoLink().show(self._operator, self._context, url, now=now)


def not_stored(task: VideoTask, target: str, reason: str) -> str:
    """Say of a video that was made and could not be stored: that it exists, where, until when, and what to do."""
    address = public_url(task.video_url) if task.video_url else "its vendor's content endpoint"
    until = f"until {task.url_expires_at:%Y-%m-%d %H:%M} UTC" if task.url_expires_at else "for about a day"
    return (
        f"The video of task {task.task_id} was made and is paid, but could not be stored at {target}: {reason}. It is "
        f"at {address} {until} (the link 'Generated video' has the full address). Mend the storage, then clear this "
        "task: it adopts the video and pays nothing"
    )
