"""What one run of an operator works with: its settings, accounts, ledger and record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.tasks import Mode, TaskHandle, VideoTask, utc_now
from airflow_provider_wan.durable import Ledger, Record, StateStore, heal
from airflow_provider_wan.hooks.wan import WanHook
from airflow_provider_wan.worker.accounts import Accounts
from airflow_provider_wan.worker.known import KnownAccounts
from airflow_provider_wan.worker.ledgers import NO_TASK_STATE, configured_path, is_iterated, store_for
from airflow_provider_wan.worker.settings import RequestSource, TaskOperator, VideoSettings

if TYPE_CHECKING:
    from airflow.sdk import Context


class VideoTaskOperator(TaskOperator, RequestSource, Protocol):
    """An operator that makes one video."""


class TaskRun:
    """The state of a run that its steps share.

    :param settings: the operator's rendered parameters.
    """

    def __init__(self, settings: VideoSettings, operator: VideoTaskOperator, context: Context) -> None:
        self.settings = settings
        self.operator = operator
        self.context = context
        self.log = operator.log
        self.accounts = Accounts(settings.wan_conn_id, KnownAccounts(settings.ledger_path or configured_path()))
        self.conn_id = self.accounts.names[0]
        """Of the account that the run works with; where there is a choice, once that is made."""
        self.since = utc_now()
        self.is_begun = False
        """Whether an earlier process has begun it."""
        self._carried: dict[str, Any] | None = None
        self._record: Record | None = None
        """What was read of it in this process, as long as nobody else writes it."""

    def go_on_from(self, event: Mapping[str, Any]) -> None:
        """Take over what the process before a pause or a search handed on."""
        self.is_begun = True
        self.since = datetime.fromisoformat(event["since"])
        self._carried = event.get("record")

    @property
    def hook(self) -> WanHook:
        """The hook of the account that the run works with."""
        return self.accounts.hook(self.conn_id)

    @property
    def defers(self) -> bool:
        """Whether the wait is the triggerer's; one of many tasks in one process would take the others down with it."""
        return self.settings.deferrable and not is_iterated(self.context)

    @cached_property
    def store(self) -> StateStore | None:
        """Where submissions are recorded, if anywhere."""
        return store_for(self.context, self.settings.ledger_path) if self.settings.durable else None

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the task instance."""
        if not self.settings.durable:
            return Ledger(None, carried=self._carried)
        if self.store is None and not self.is_begun:
            self.log.warning(NO_TASK_STATE)
        return Ledger(self.store, carried=self._carried)

    def record(self) -> Record | None:
        """Return what is recorded, where it can be read."""
        if self._record is not None:
            return self._record
        try:
            return self.ledger.read()
        except WanError as error:
            self.log.warning("%s", error)
            return None

    def heal(self, task: VideoTask) -> None:
        """Record a task that ended where its handle could not be recorded; each read is a call to the API server."""
        self._record = heal(self.ledger, self.handle_of(task))

    def forget_read(self) -> None:
        """Read the record anew from now on: the ledger is written to."""
        self._record = None

    def keep(self, record: Record) -> None:
        """Record what is good to have, where that is possible."""
        self._record = record
        try:
            self.ledger.write(record)
        except WanError as error:
            self.log.warning("%s", error)

    def handle_of(self, task: VideoTask) -> TaskHandle:
        """Return the handle of a task out of an event."""
        return TaskHandle(
            vendor=task.vendor,
            task_id=task.task_id,
            mode=task.mode or self.settings.mode or Mode.TEXT_TO_VIDEO,
            model=task.model or "",
            submitted_at=task.submitted_at or utc_now(),
            wan_conn_id=self.conn_id if self.accounts.is_choice else None,
        )
