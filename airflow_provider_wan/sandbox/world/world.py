"""The sandbox's world: accounts, their tasks and queues, and the clock that moves them."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from operator import attrgetter
from typing import Any

from airflow_provider_wan.sandbox.settings import Settings
from airflow_provider_wan.sandbox.world.billing import Billing
from airflow_provider_wan.sandbox.world.clock import Clock
from airflow_provider_wan.sandbox.world.directives import Directives, parse
from airflow_provider_wan.sandbox.world.queue import ModelQueue
from airflow_provider_wan.sandbox.world.tasks import Order, Status, Task, TaskFailure

_created = attrgetter("created")

FAILURE_MESSAGES = {
    "DataInspectionFailed": "Output data may contain inappropriate content.",
    "IPInfringementSuspect": "Input data is suspected of being involved in IP infringement.",
    "InvalidParameter": "The request is missing required parameters or in a wrong format.",
    "InternalError.Timeout": "The task did not produce a result within 3 hours.",
}


class QueueFull(Exception):
    """The account has as many tasks waiting for this model as it may have."""


class NotPossible(Exception):
    """A control call that does not fit the task's state."""


class World:
    """All tasks of all accounts. Not thread-safe: one event loop owns it."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.on_change: Callable[[Task], None] = lambda task: None
        self.clear()

    def clear(self) -> None:
        """Forget everything that happened; the settings stay."""
        self.billing = Billing(self.settings)
        self.tasks: dict[str, Task] = {}
        self.occasions: Counter[Hashable] = Counter()
        self._by_account: dict[tuple[str, ...], list[Task]] = defaultdict(list)
        self._queues: dict[tuple[str, str, str], ModelQueue] = {}
        self._random = random.Random(self.settings.seed)  # noqa: S311 - repeatable on purpose

    def now(self) -> float:
        """Seconds since the epoch, by the sandbox's clock."""
        return self.clock.now()

    # Making and finding ------------------------------------------------------------------------------------

    def create(self, vendor: str, account: str, order: Order, task_id: str, request_id: str) -> Task:
        """Take an order; raises ``QueueFull`` when the account has too many waiting for this model."""
        now = self.now()
        queue = self._queue(vendor, account, order)
        queue.advance(now)
        if order.rejected is None and queue.waiting >= self.settings.queue_limit:
            raise QueueFull
        directives = parse(order.prompt)
        task = Task(
            id=task_id,
            vendor=vendor,
            account=account,
            order=order,
            directives=directives,
            request_id=request_id,
            created=now,
            ready=now + (0.0 if order.rejected else self.settings.pending_seconds),
            held=directives.hold and not order.rejected,
        )
        self.tasks[task.id] = task
        self._by_account[vendor, account].append(task)
        self._by_account[vendor, account, order.model].append(task)
        if not task.held:
            queue.join(task)
        self.on_change(task)
        if order.rejected:
            # It leaves the queue at once, so that a cancel comes too late from the first moment on.
            queue.advance(now)
        return task

    def find(self, vendor: str, account: str, task_id: str) -> Task | None:
        """Return the account's own task as it stands now; ``None`` if it has none of that id, or no longer."""
        task = self.tasks.get(task_id)
        if task is None or (task.vendor, task.account) != (vendor, account):
            return None
        self.refresh(task)
        return None if self.gone(task) else task

    def gone(self, task: Task) -> bool:
        """Whether the vendor has forgotten the task."""
        return task.expired or self.now() - task.created >= self.settings.expire_after

    def refresh(self, task: Task) -> None:
        """Bring the task's state up to now."""
        self._queue(task.vendor, task.account, task.order).advance(self.now())

    def refresh_all(self) -> None:
        """Bring all tasks up to now."""
        now = self.now()
        for queue in self._queues.values():
            queue.advance(now)

    def page(
        self,
        vendor: str,
        account: str,
        *,
        since: float = -math.inf,
        until: float = math.inf,
        model: str | None = None,
        keep: Callable[[Task], bool] | None = None,
        skip: int = 0,
        take: int = 10,
    ) -> tuple[int, list[Task]]:
        """Return how many of the account's tasks fit, and one page of them, newest first."""
        self.refresh_all()
        now = self.now()
        tasks = self._by_account[(vendor, account, model) if model else (vendor, account)]
        oldest = max(since, now - self.settings.expire_after)
        low = bisect_left(tasks, oldest, key=_created)
        high = bisect_right(tasks, min(until, now - self.settings.list_lag_seconds), key=_created)
        if keep is None and not any(task.expired for task in tasks[low:high]):
            high_index = max(low, high - skip)
            return high - low, tasks[max(low, high_index - take) : high_index][::-1]
        fitting = [task for task in tasks[low:high] if not task.expired and (keep is None or keep(task))]
        fitting.reverse()
        return len(fitting), fitting[skip : skip + take]

    def first_time(self, key: Hashable, times: int = 1) -> bool:
        """Tell whether this is among the first ``times`` occasions of ``key``, and count it."""
        self.occasions[key] += 1
        return self.occasions[key] <= times

    def next_event(self) -> float:
        """When the next task changes its state by itself, ``inf`` if none will."""
        return min((queue.next_event() for queue in self._queues.values()), default=math.inf)

    def report(self) -> dict[str, Any]:
        """Return the ledger as it stands now."""
        self.refresh_all()
        return self.billing.report(self.tasks.values())

    def all_tasks(self) -> Iterator[Task]:
        """Iterate over every account's tasks, oldest first, as they stand now."""
        self.refresh_all()
        return iter(self.tasks.values())

    # Changing from outside ---------------------------------------------------------------------------------

    def cancel(self, task: Task) -> bool:
        """Cancel a task that still waits; ``False`` when it is past that."""
        self.refresh(task)
        if task.status is not Status.PENDING:
            return False
        self._end(task, Status.CANCELED, self.now())
        return True

    def finish(self, task: Task) -> None:
        """Let a task succeed now, whatever it was about to do; raises ``NotPossible`` when it is over."""
        task.failure = None
        self._end_now(task, Status.SUCCEEDED)

    def fail(self, task: Task, failure: TaskFailure) -> None:
        """Let a task fail now; raises ``NotPossible`` when it is over."""
        self._end_now(task, Status.FAILED, failure)

    def drop(self, task: Task) -> None:
        """Let a task be cancelled from the vendor's side, running or not; raises ``NotPossible`` when it is over."""
        self._end_now(task, Status.CANCELED)

    def expire(self, task: Task) -> None:
        """Let the vendor forget a task and its file."""
        task.expired = task.url_expired = True

    def release(self, task: Task) -> None:
        """Let a held task queue; raises ``NotPossible`` when it is not held."""
        if not task.held or task.over:
            raise NotPossible("the task is not held")
        task.held = False
        task.ready = self.now()
        self._queue(task.vendor, task.account, task.order).join(task)
        self.on_change(task)

    # Inside ------------------------------------------------------------------------------------------------

    def _queue(self, vendor: str, account: str, order: Order) -> ModelQueue:
        """Return the queue of an order's model; what is rejected after it was taken waits for nothing."""
        key = (vendor, account, "" if order.rejected else order.model)
        if key not in self._queues:
            limit = (lambda: math.inf) if order.rejected else (lambda: self.settings.running_limit)
            self._queues[key] = ModelQueue(limit, self._on_start, self._on_end)
        return self._queues[key]

    def _work_seconds(self, directives: Directives) -> float:
        if directives.run_forever:
            return math.inf
        drawn = self._random.uniform(*self.settings.generation_seconds)
        return drawn if directives.seconds is None else directives.seconds

    def _on_start(self, task: Task, at: float) -> None:
        task.status = Status.RUNNING
        task.started = at
        if task.order.rejected:
            task.ends = at + self.settings.late_validation_seconds
            task.failure = TaskFailure("InvalidParameter", task.order.rejected)
        else:
            task.ends = at + self._work_seconds(task.directives)
            task.failure = task.order.failure or self._planned_failure(task.directives)
        self.on_change(task)

    def _planned_failure(self, directives: Directives) -> TaskFailure | None:
        code = directives.fail
        if code is None and self._random.random() < self.settings.task_failure_rate:
            code = self.settings.task_failure_code
        if code is None:
            return None
        return TaskFailure(code, directives.message or FAILURE_MESSAGES.get(code, "The task failed."))

    def _on_end(self, task: Task, at: float) -> None:
        task.status = Status.FAILED if task.failure else Status.SUCCEEDED
        task.ended = at
        self.on_change(task)

    def _end_now(self, task: Task, status: Status, failure: TaskFailure | None = None) -> None:
        self.refresh(task)
        if task.over:
            raise NotPossible(f"the task is {task.status.value} already")
        task.failure = failure
        self._end(task, status, self.now())

    def _end(self, task: Task, status: Status, at: float) -> None:
        queue = self._queue(task.vendor, task.account, task.order)
        if task.status is Status.RUNNING:
            queue.vacate()
        else:
            queue.leave(task)
        if task.started is None and status is not Status.CANCELED:
            task.started = at
        task.status, task.ended, task.held = status, at, False
        self.on_change(task)
