"""What one run on a worker is asked to do, as values; and the small rules that a single video and a batch share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from airflow_provider_wan.client.costs.limit import MaxCost, UnknownPrice
from airflow_provider_wan.client.errors import WanError
from airflow_provider_wan.client.polling.watch import Ending
from airflow_provider_wan.client.requests import VideoRequest
from airflow_provider_wan.client.routing import Prefer, Route
from airflow_provider_wan.client.tasks import Mode, TaskHandle

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True)
class RunTimes:
    """Waits of the worker side, in seconds; tests give shorter ones.

    :param backstop: how long after the trigger's own deadline Airflow's stands; its passing skips all clean-up.
    :param shortest_search: a search for a lost submission gets as long at least, however little is left.
    :param throttled_pause: between two attempts to submit at a vendor that is throttled.
    :param turn_pause: the first of these where workers take turns.
    :param submit: how long a worker is held for one throttled submission.
    :param margin: how long before Airflow's ``execution_timeout`` a wait ends, so that its clean-up comes first.
    """

    backstop: float = 300.0
    shortest_search: float = 120.0
    throttled_pause: float = 60.0
    turn_pause: float = 2.0
    submit: float = 5.0
    margin: float = 30.0


DEFAULT_CONN_ID = "wan_default"

TIMES = RunTimes()


def times_in_force() -> RunTimes:
    """Return the waits that a run begins with."""
    return TIMES


@dataclass(frozen=True)
class VideoSettings:
    """The parameters of an operator that makes one video, rendered and read.

    :param mode: of the request, where the operator knows it before the request is built.
    :param wan_conn_id: one connection, or several to choose from by ``route`` and ``prefer``.
    :param poll_interval: seconds.
    :param timeout: from the submission.
    :param execution_timeout: Airflow's own, which it does not enforce while a task is deferred.
    """

    mode: Mode | None
    wan_conn_id: str | tuple[str, ...]
    deferrable: bool
    wait_for_completion: bool
    poll_interval: float
    timeout: timedelta
    durable: bool
    regenerate: bool
    on_changed_request: Literal["resubmit", "fail"]
    on_unknown_submission: Literal["fail", "resubmit"]
    cancel_on_kill: bool
    cancel_on_timeout: bool
    store_to: str | None
    ledger_path: str | None
    execution_timeout: timedelta | None
    max_cost: MaxCost | None = None
    on_unknown_price: UnknownPrice = "fail"
    route: Route = "failover"
    prefer: Prefer = None
    media: Literal["auto", "presign", "upload", "inline"] = "auto"
    times: RunTimes = field(default_factory=times_in_force)


class TaskOperator(Protocol):
    """What a run uses of its operator beside the settings: what only Airflow's own can do."""

    @property
    def log(self) -> Any:
        """The task's log."""

    @property
    def outlets(self) -> Any:
        """The assets whose events it may fill."""

    def defer(self, *, trigger: Any, method_name: str, timeout: timedelta | None = None) -> NoReturn:
        """Leave the worker and wait in the triggerer."""


class RequestSource(Protocol):
    """Where the request of a run comes from: an operator's parameters, or the function of a decorator."""

    def build_request(self, context: Context) -> VideoRequest:
        """Return the request."""

    def request_or_none(self, context: Context) -> VideoRequest | None:
        """Return the request if it can be had without side effects."""

    def known_of_request(self, context: Context, request: VideoRequest | None) -> dict[str, Any]:
        """Return what the result takes from the request where the vendor does not echo it."""


def conn_id_of(handle: TaskHandle, given: str) -> str:
    """Return the connection that a task was made on: the one that its handle names, unless another one is given."""
    return (handle.wan_conn_id or given) if given == DEFAULT_CONN_ID else given


def deadline_of(submitted_at: datetime, began_at: datetime, timeout: timedelta, ends_at: datetime | None) -> datetime:
    """Return when the wait for a task is over.

    The time-out counts from the submission; a task whose time was over when this attempt began gets a new one.

    :param began_at: when this attempt began to wait.
    :param ends_at: when Airflow would end the task instance, less a margin; see :func:`ends_at`.
    """
    deadline = submitted_at + timeout
    if deadline <= began_at:
        deadline = began_at + timeout
    return min(deadline, ends_at) if ends_at else deadline


def ends_at(
    context: Context, began_at: datetime, execution_timeout: timedelta | None, times: RunTimes
) -> datetime | None:
    """Return the moment at which a wait has to end because of ``execution_timeout``, ``None`` without one.

    Airflow counts it from the start of the task instance, which a deferral does not move. A wait ends a little sooner:
    a worker that Airflow ends cannot cancel anything with care.

    :param began_at: when this attempt began, in case Airflow does not say when it started the instance.
    """
    if execution_timeout is None:
        return None
    started_at: datetime | None = getattr(context["ti"], "start_date", None)
    margin = min(timedelta(seconds=times.margin), execution_timeout / 4)
    return min(began_at, started_at or began_at) + execution_timeout - margin


def profile_of(model: str, request: VideoRequest) -> str:
    """Return what tasks of the same kind share, to learn how long they take."""
    return f"{model}/{request.resolution}/{request.duration}"


def series_of(context: Context) -> str:
    """Return which series of automatic retries an attempt belongs to; a clear, a person's wish, begins a new one."""
    return str(getattr(context["ti"], "max_tries", ""))


def ending_in(event: Any) -> Ending:
    """Read how a wait ended out of a trigger's event.

    :raises WanError: for anything else; the task stays recorded.
    """
    try:
        return Ending.from_event(event)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise WanError(
        "The trigger's event is not understood; what was submitted stays recorded and the next attempt adopts it",
        retryable=True,
    )
