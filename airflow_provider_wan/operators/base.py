"""The base of the operators: their parameters and what Airflow calls; the work itself is in ``execution``.

This module is imported whenever a DAG is parsed, so it imports little.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from airflow_provider_wan.client.errors import WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.links.wan import WanVideoLink
from airflow_provider_wan.operators.parameters import POLICIES, SPANS, check_literals

if TYPE_CHECKING:
    from airflow_provider_wan.worker.video import Execution

COMMON_FIELDS = (
    "model",
    "prompt",
    "negative_prompt",
    "resolution",
    "ratio",
    "duration",
    "prompt_extend",
    "watermark",
    "seed",
    "generate_audio",
    "webhook_url",
    "extra_body",
)


class WanVideoOperator(BaseOperator):
    """Makes one video; see the operators of each mode for their own parameters.

    :param prompt: what the video shows.
    :param model: any model string; the vendor's Wan 2.7 model of the mode when not given.
    :param negative_prompt: what it should not show (not in Wan 3.0).
    :param resolution: tier: ``720P``, ``1080P``, with Wan 3.0 also ``480P``.
    :param ratio: aspect ratio, such as ``16:9``.
    :param duration: seconds of video.
    :param prompt_extend: whether the vendor rewrites the prompt.
    :param watermark: whether the video carries the vendor's mark.
    :param seed: 0 to 2147483647.
    :param generate_audio: Wan 3.0: whether the video has sound.
    :param webhook_url: address the vendor calls, where it takes one (Freepik).
    :param extra_body: merged last and deeply into the vendor's body.
    :param strict: ``False`` turns documented limits into warnings.
    :param wan_conn_id: the connection; it also chooses the vendor.
    :param deferrable: wait in the triggerer; ``False`` polls in the worker, with the same rules.
    :param wait_for_completion: ``False`` returns the task handle at once.
    :param poll_interval: seconds between two looks at the task.
    :param timeout: from submission, seconds or a timedelta; queueing counts, restarts do not prolong it.
    :param durable: keep the submission in the task state store, so that later attempts adopt it (Airflow 3.3+).
    :param regenerate: forget what is recorded and submit (and pay) anew, once per series of retries.
    :param on_changed_request: when the recorded task was made from another request: ``resubmit`` or ``fail``.
    :param on_unknown_submission: when it cannot be known whether a task exists: ``fail`` or ``resubmit``.
    :param cancel_on_kill: cancel the task, where possible, when a person kills the Airflow task.
    :param cancel_on_timeout: cancel the task, where possible, at the deadline.
    :param store_to: object-storage URI to land the video at; the vendor's URL dies within a day.

    :raises WanRequestError: when literal parameters break rules, already while the DAG is parsed.
    """

    mode: ClassVar[Mode]
    media_fields: ClassVar[tuple[str, ...]] = ()
    """The mode's own parameters."""

    __supports_durable_execution: ClassVar[bool] = True

    template_fields: Sequence[str] = (
        *COMMON_FIELDS,
        "wan_conn_id",
        "regenerate",
        "store_to",
        "poll_interval",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_body": "json", "prompt": "md"}
    operator_extra_links = (WanVideoLink(),)
    ui_color = "#e7e3ff"

    def __init__(
        self,
        *,
        prompt: str | None = None,
        model: str | None = None,
        negative_prompt: str | None = None,
        resolution: str = "1080P",
        ratio: str | None = None,
        duration: int | str = 5,
        prompt_extend: bool | str = True,
        watermark: bool | str = False,
        seed: int | str | None = None,
        generate_audio: bool | str | None = None,
        webhook_url: str | None = None,
        extra_body: dict[str, Any] | None = None,
        strict: bool = True,
        wan_conn_id: str = "wan_default",
        deferrable: bool = True,
        wait_for_completion: bool = True,
        poll_interval: float = 15,
        timeout: float | timedelta = timedelta(hours=6),
        durable: bool = True,
        regenerate: bool | str = False,
        on_changed_request: Literal["resubmit", "fail"] = "resubmit",
        on_unknown_submission: Literal["fail", "resubmit"] = "fail",
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        store_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Each key of the result is also an XCom of its own, so that op.output["video_url"] works.
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.prompt = prompt
        self.model = model
        self.negative_prompt = negative_prompt
        self.resolution = resolution
        self.ratio = ratio
        self.duration = duration
        self.prompt_extend = prompt_extend
        self.watermark = watermark
        self.seed = seed
        self.generate_audio = generate_audio
        self.webhook_url = webhook_url
        self.extra_body = extra_body
        self.strict = strict
        self.wan_conn_id = wan_conn_id
        self.deferrable = deferrable
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.durable = durable
        self.regenerate = regenerate
        self.on_changed_request = on_changed_request
        self.on_unknown_submission = on_unknown_submission
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.store_to = store_to
        self.video_link: str | None = None
        self.link_is_pushed = False
        self.running: dict[str, Any] | None = None

    def _check_literals(self) -> None:
        """Check what is known while the DAG is parsed; every operator calls it at the end of its ``__init__``."""
        settings = {name: getattr(self, name) for name in (*POLICIES, *SPANS)}
        check_literals(self.mode, self.request_fields(), settings, is_strict=self.strict, task_id=self.task_id)

    def request_fields(self) -> dict[str, Any]:
        """Return the request's fields as they are now: before rendering, or rendered."""
        names = (*COMMON_FIELDS, *self.media_fields)
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def build_request(self, context: Any) -> VideoRequest:
        """Return the request of this task instance.

        :raises WanRequestError: naming every field whose type or name is wrong.
        """
        return build_request(self.mode, self.request_fields() | {"strict": self.strict})

    def request_or_none(self, context: Any) -> VideoRequest | None:
        """Return the request, ``None`` when it cannot be built."""
        try:
            return self.build_request(context)
        except WanRequestError:
            return None

    def known_of_request(self, context: Any, request: VideoRequest | None) -> dict[str, Any]:
        """Return what the result takes from the request where the vendor does not echo it."""
        names = ("prompt", "resolution", "ratio", "duration", "seed")
        return {name: getattr(request, name) for name in names} if request else {}

    def execution(self, context: Any) -> Execution:
        """Return the worker side of one run."""
        from airflow_provider_wan.worker.video import Execution

        return Execution(self, context)

    def execute(self, context: Any) -> Any:
        """Obtain the task, then wait for it as the parameters say."""
        return self.execution(context).start()

    def execute_again(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on after a pause."""
        return self.execution(context).start(event)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Take the trigger's event."""
        self.link_is_pushed = True
        return self.execution(context).resume(event)

    def on_kill(self) -> None:
        """Cancel the task this worker is waiting for, where possible, with one short request."""
        from airflow_provider_wan.worker.video import cancel_running

        cancel_running(self)
