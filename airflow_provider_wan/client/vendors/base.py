"""What a vendor's file provides: pure functions from a request to a call and from an answer to a task."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from airflow_provider_wan.client.account import Account
from airflow_provider_wan.client.errors import (
    Violation,
    WanBillingError,
    WanError,
    WanModerationError,
    WanRequestError,
    WanTaskFailed,
)
from airflow_provider_wan.client.exchange import Answer, Call, Content, not_the_api
from airflow_provider_wan.client.requests import ImageToVideoRequest, ReferenceToVideoRequest, VideoRequest
from airflow_provider_wan.client.rules.media import MEDIA_SCHEMES
from airflow_provider_wan.client.rules.request import violations_of
from airflow_provider_wan.client.tasks import Mode, TaskHandle, TaskStatus, VideoTask
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.client.vendors.failures import (
    BARE_REFUSALS,
    ERROR_TYPES,
    LATE_REFUSAL_WORDS,
    MODERATION_WORDS,
    PLAIN_STATUSES,
    STATUS_SPEAKS,
    Failure,
    Problem,
    classify,
    default_failure,
    problem_of,
)
from airflow_provider_wan.client.vendors.reading import retry_after


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks to list: a time window (aware datetimes; none for all that is kept), optionally a model."""

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    mode: Mode | None = None
    page_size: int = 100
    after: str | None = None
    """The id after which rows are wanted, at a vendor whose pages go on from a task instead of having numbers."""


@dataclass(frozen=True)
class TaskPage:
    """One page of a vendor's task list; ``next_page`` is ``None`` on the last one.

    :param served_at: the vendor's clock when it answered.
    :param last_id: where the next page goes on, at a vendor whose pages have no numbers.
    """

    tasks: list[VideoTask]
    next_page: int | None
    total: int | None = None
    served_at: datetime | None = None
    last_id: str | None = None


@dataclass(frozen=True)
class Upload:
    """A file to hand to the vendor.

    :param size: bytes, where the content is a stream.
    """

    filename: str
    content: Content = field(repr=False)
    content_type: str
    model: str
    size: int = 0


@dataclass(frozen=True)
class Checked:
    """A request that may be sent, the model it goes to, and what its author should know."""

    request: VideoRequest
    model: str
    warnings: tuple[str, ...]


class Vendor(ABC):
    """One vendor's API; stateless, does no I/O.

    A vendor without a list, cancel or upload keeps the corresponding flag false.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    default_host: ClassVar[str]
    default_models: ClassVar[Mapping[Mode, str]]
    statuses: ClassVar[Mapping[str, TaskStatus]]
    queries_per_second: ClassVar[float] = 8.0
    submits_per_second: ClassVar[float] = 4.0
    running_limit: ClassVar[int] = 5
    """Tasks that an account runs at once, where the vendor says nothing else."""
    queue_limit: ClassVar[int] = 500
    """Tasks of an account that may wait."""
    list_tells_time: ClassVar[bool] = False
    """Whether the list's rows carry time and model and its paging is known: what polling and recovery need."""
    past_the_end: ClassVar[str] = ""
    """The word by which the vendor refuses a page of the list beyond the last one."""
    has_cancel: ClassVar[bool] = False
    cancels_by_deleting: ClassVar[bool] = False
    """Whether a cancel deletes a task, running or not, and its result: then a finished one must not be cancelled, and
    the vendor does not know a cancelled one any more."""
    needs_key: ClassVar[bool] = True
    has_idempotency_key: ClassVar[bool] = False
    has_content_endpoint: ClassVar[bool] = False
    """Whether a result can be had from the API's own host, with the key, when no URL is given."""
    connection_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of the connection's extra that mean something at this vendor only."""
    regions: ClassVar[tuple[str, ...]] = ()
    upload_types: ClassVar[tuple[str, ...]] = ()
    upload_bytes: ClassVar[int] = 100 * 1024 * 1024
    """The most that one upload may have."""
    upload_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds that the address of an upload lives."""
    upload_is_for_one_model: ClassVar[bool] = False
    upload_remark: ClassVar[str] = ""
    """What the vendor says of its uploads that their users should know."""
    repeatable_statuses: ClassVar[frozenset[int]] = frozenset({429})
    """HTTP statuses that prove no task was made and ask to come back."""
    cost_of_failure: ClassVar[str] = ""
    """What the vendor documents about paying for a task that failed, in brackets."""
    result_lifetime: ClassVar[float] = 24 * 3600.0
    """Seconds a result URL lives when the vendor does not say."""

    def is_workspace_id(self, text: str) -> bool:
        """Whether ``text`` can be the id of a workspace."""
        return False

    def base_url(self, region: str | None, workspace_id: str | None) -> str:
        """Return the origin and path prefix of the API; a vendor without a ``default_host`` has none."""
        return f"https://{self.default_host}"

    def region_of(self, account: Account) -> str | None:
        """Return the region whose prices hold for an account, ``None`` where the vendor has no regions."""
        return None

    def auth_headers(self, account: Account) -> dict[str, str]:
        """Return the headers that carry the key (none where there is none); for the account's own origin only."""
        key = account.api_key.get_secret_value()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def model_of(self, request: VideoRequest) -> str:
        """Return the model to name: the request's own, or this vendor's Wan 2.7 model of the mode."""
        model = request.for_vendor(self.name).model
        return model if isinstance(model, str) and model else self.default_models[request.mode]

    @abstractmethod
    def limits(self, request: VideoRequest, model: str) -> Iterator[Violation]:
        """Yield what this vendor cannot express (hard) or documents more narrowly than the model (soft)."""

    def has_ratio(self, request: VideoRequest, model: str) -> bool:
        """Whether a ratio is sent for such a request: not where the video is as wide as its first frame or clip."""
        return not isinstance(request, ImageToVideoRequest)

    def remarks(self, request: VideoRequest, model: str) -> Iterator[str]:
        """Yield what a user should know although the request is accepted."""
        if not request.ratio:
            return
        if not self.has_ratio(request, model):
            yield f"ratio {request.ratio} is not sent: the video follows the first frame or clip"
        elif isinstance(request, ReferenceToVideoRequest) and request.first_frame:
            yield f"ratio {request.ratio} has no effect: the video follows first_frame"

    def check(self, request: VideoRequest) -> Checked:
        """Check ``request`` against its model's family and this vendor.

        :raises WanRequestError: listing every violation at once; with ``strict=False`` only those that
            cannot be sent at all, the others become warnings.
        """
        model = self.model_of(request)
        of_model = list(dict.fromkeys(violations_of(request, model)))
        refused = {item.field for item in of_model if item.hard}
        found = [*of_model, *(item for item in self.limits(request, model) if item.field not in refused)]
        fatal = [item for item in found if item.hard or request.strict]
        if fatal:
            raise WanRequestError(violations=fatal)
        warnings = (*(str(item) for item in found), *self.remarks(request, model))
        return Checked(request, model, warnings)

    @abstractmethod
    def submit_call(self, request: VideoRequest, account: Account, idempotency_key: str | None) -> Call:
        """Return the paid call."""

    @abstractmethod
    def read_submitted(self, answer: Answer) -> tuple[str, str | None] | None:
        """Return ``(task_id, request_id)``, or ``None`` when an accepted answer names no task."""

    @abstractmethod
    def task_call(self, handle: TaskHandle) -> Call:
        """Return the query of one task."""

    @abstractmethod
    def read_task(self, answer: Answer, handle: TaskHandle, base_url: str = "") -> VideoTask:
        """Return the task of a 2xx answer.

        :param base_url: of the account; result addresses without a host are on it.
        :raises WanResponseError: for an answer that is not this vendor's.
        """

    @abstractmethod
    def problem(self, answer: Answer) -> Problem | None:
        """Return the error an answer carries, or ``None`` when it is a good answer or not the vendor's."""

    @abstractmethod
    def key_call(self) -> Call:
        """Return a call that proves the key and costs nothing."""

    def task_failure(self, task: VideoTask) -> Failure:
        """Say what the failure of a task means."""
        codes = self._codes + LATE_REFUSAL_WORDS
        return classify(codes, task.error_code, task.error_message) or Failure.SERVER

    failure_codes: ClassVar[tuple[tuple[str, Failure], ...]] = ()
    """Prefixes of codes (or words of messages), most specific first, and what they mean."""
    moderation_words: ClassVar[tuple[tuple[str, Failure], ...]] = MODERATION_WORDS
    """Looked up before ``failure_codes``."""
    plain_statuses: ClassVar[frozenset[int]] = PLAIN_STATUSES
    """HTTP statuses that say more than the code in the body does."""

    @property
    def _codes(self) -> tuple[tuple[str, Failure], ...]:
        return self.moderation_words + self.failure_codes

    def judge(self, status: int, code: str | None, message: str | None, request_id: str | None) -> Problem | None:
        """Say what an error of this vendor means; nothing where it says nothing."""
        if code is None and message is None:
            return None
        codes = () if status in self.plain_statuses else self._codes
        return problem_of(codes, status, code, message, request_id)

    def is_final(self, task: VideoTask) -> bool:
        """Whether waiting on is pointless at once; an ``unknown`` is bearable for a while by default."""
        return task.status.is_ended

    def page_call(self, wanted: TaskFilter, page: int) -> Call:
        """Return the call for one page of the task list."""
        raise NotImplementedError(f"{self.title} has no task list")

    def read_page(self, answer: Answer, wanted: TaskFilter, page: int) -> TaskPage:
        """Return one page of the task list."""
        raise NotImplementedError(f"{self.title} has no task list")

    def cancel_call(self, handle: TaskHandle) -> Call:
        """Return the cancellation of a queued task."""
        raise NotImplementedError(f"{self.title} cannot cancel")

    def upload_call(self, upload: Upload) -> Call:
        """Return the first call of an upload."""
        raise NotImplementedError(f"{self.title} takes no uploads")

    def upload_finish(self, answer: Answer, upload: Upload) -> tuple[Call | None, str]:
        """Return the second call of an upload (if any) and the URL the vendor takes afterwards."""
        raise NotImplementedError(f"{self.title} takes no uploads")

    def task_page(self, handle: TaskHandle, account: Account) -> str | None:
        """Return the address of a page on which a person sees the task, ``None`` where the vendor has none."""
        return None

    def content_url(self, task: VideoTask, account: Account) -> str | None:
        """Return a result address on the API's own host that needs the key, where the vendor has one."""
        return None

    def is_refusal(self, answer: Answer) -> bool:
        """Whether an answer to a submission proves that no task was made.

        Only the vendor's own words do: not a code that nobody knows, nor trouble of its servers under whatever status,
        nor a redirection or a page of something in between.
        """
        problem = self.problem(answer)
        return answer.status in BARE_REFUSALS if problem is None else problem.is_certain

    # -- shared by the vendors' files -----------------------------------------------------------------

    def status_of(self, word: object) -> TaskStatus:
        """Map a status word; words never heard of are ``unknown``."""
        return self.statuses.get(str(word).strip().lower(), TaskStatus.UNKNOWN)

    def raise_for(self, answer: Answer, call: str, task_id: str | None = None) -> None:
        """Raise what an answer's error means; return for good answers.

        :raises WanError: of the class that says what to do next.
        """
        problem = self.problem(answer)
        if problem is None:
            if 200 <= answer.status < 300:
                return
            if answer.status not in STATUS_SPEAKS:
                raise not_the_api(self.title, call, answer, "which is not its API (check the host)", task_id)
            message = answer.excerpt or "no message"
            problem = Problem(default_failure(answer.status), str(answer.status), message)
        kind = ERROR_TYPES[problem.failure]
        said = self.in_our_words(problem.message, problem.failure)
        raise kind(
            f"{self.title} refused {call} with HTTP {answer.status}: {said}",
            code=problem.code or str(answer.status),
            request_id=problem.request_id,
            task_id=task_id,
            retry_after=retry_after(answer),
        )

    parameter_names: ClassVar[Mapping[str, str | Mapping[Mode, str]]] = {}
    """Names of the vendor's own fields, and the parameters (of each mode) that they are made of, where these differ."""

    def parameters_in(self, message: str, mode: Mode | None = None) -> tuple[str, ...]:
        """Return the parameters that a refusal speaks of by the vendor's own names for them."""
        found = []
        for name, own in self.parameter_names.items():
            if not isinstance(own, str):
                own = own.get(mode, "") if mode else ", ".join(dict.fromkeys(own.values()))
            if own and re.search(rf"\b{name}\b", message):
                found.append(f"{name} is the parameter {own}")
        return tuple(found)

    def in_our_words(self, message: str, failure: Failure, mode: Mode | None = None) -> str:
        """Return what the vendor says; of a refusal also which parameters the fields are that it names."""
        names = self.parameters_in(message, mode) if failure is Failure.REQUEST else ()
        return f"{message} ({', '.join(names)})" if names else message

    def failure_of(self, task: VideoTask) -> WanError:
        """Return the error that a failed task means."""
        failure = self.task_failure(task)
        kind = WanTaskFailed
        if failure is Failure.MODERATION:
            kind = WanModerationError  # type: ignore[assignment]
        elif failure is Failure.BILLING:
            kind = WanBillingError  # type: ignore[assignment]
        reason = self.in_our_words(task.error_message or "no reason given by the vendor", failure, task.mode)
        return kind(
            f"{self.title} could not make the video{self.cost_of_failure}: {reason}",
            code=task.error_code,
            request_id=task.request_id,
            task_id=task.task_id,
            retryable=failure in (Failure.SERVER, Failure.THROTTLED),
        )


def merge(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` with ``extra`` merged in deeply; ``extra`` wins."""
    merged = dict(body)
    for name, value in extra.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def without_none(**fields: Any) -> dict[str, Any]:
    """Return the fields that are set; zero and false are set."""
    return {name: value for name, value in fields.items() if value is not None}


def path_part(task_id: str) -> str:
    """Quote a task id for use in a path."""
    return quote(task_id, safe="")


def cannot(vendor: str, field: str, given: object, fix: str = "remove it, or use another vendor") -> Violation:
    """Say that a vendor has no place for a field."""
    return Violation(field, f"cannot be expressed at {vendor}", shorten(given), fix, hard=True)


def undocumented(vendor: str, field: str, given: object) -> Violation:
    """Say that a vendor does not document a field; ``strict=False`` sends it all the same."""
    return Violation(field, f"is not documented by {vendor}", shorten(given), "strict=False sends it at your own risk")


def check_schemes(vendor: str, fields: Iterable[tuple[str, str]], allowed: tuple[str, ...]) -> Iterator[Violation]:
    """Yield the media URLs whose scheme other vendors take and this one does not."""
    for name, url in fields:
        scheme = url.split(":", 1)[0].lower()
        if scheme in MEDIA_SCHEMES and scheme not in allowed:
            yield Violation(
                name,
                f"at {vendor} is one of {', '.join(f'{name}:' for name in allowed)}",
                shorten(url, 60),
                "give a public http(s) URL",
                hard=True,
            )
