"""The base of the operators: their parameters and what Airflow calls; the work itself is in ``worker/``.

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
from airflow_provider_wan.operators.parameters import check_literals, drop_unknown_policy, read_values

if TYPE_CHECKING:
    from airflow.sdk import Context

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
PROMPTS = ("prompt", "negative_prompt")
PROMPT_FILES = (".txt", ".md", ".prompt")
"""A prompt that ends so is a file of the DAG's folder."""

RUN_FIELDS = (
    "wan_conn_id",
    "regenerate",
    "store_to",
    "ledger_path",
    "poll_interval",
    "max_cost",
    "on_unknown_price",
)
"""Template fields of the run, beside those of the request."""

OWN_PARAMETERS = (
    "wan_conn_id",
    "route",
    "prefer",
    "deferrable",
    "wait_for_completion",
    "poll_interval",
    "timeout",
    "durable",
    "regenerate",
    "on_changed_request",
    "on_unknown_submission",
    "cancel_on_kill",
    "cancel_on_timeout",
    "store_to",
    "ledger_path",
    "max_cost",
    "on_unknown_price",
    "media",
)
"""What the run is asked to do; the rest is the request."""


class WanVideoOperator(BaseOperator):
    """Makes one video; see the operators of each mode for their own parameters.

    :param prompt: what the video shows; one that ends with ``.txt``, ``.md`` or ``.prompt`` is a file of the DAG's
        folder, itself a template.
    :param model: any model string, or one for each vendor (``{"dashscope": …, "freepik": …}``); the vendor's Wan 2.7
        model of the mode when not given.
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
    :param wan_conn_id: the connection, which also chooses the vendor; or a list of them, of which one is chosen before
        the paid call. The next one is tried only after a proof that no task was made.
    :param route: among several: ``failover``, in the order given, or ``spread``, the least loaded first.
    :param prefer: among several: ``cost``, the cheapest that can take it.
    :param deferrable: wait in the triggerer; ``False`` polls in the worker, with the same rules.
    :param wait_for_completion: ``False`` returns the task handle at once.
    :param poll_interval: seconds between two looks at the task.
    :param timeout: from submission, seconds or a timedelta; queueing counts, restarts do not prolong it.
    :param durable: record the submission, so that later attempts adopt it (Airflow 3.3+, or with ``ledger_path``).
    :param ledger_path: object-storage URI under which submissions are recorded instead of in Airflow's task state:
        no clear reaches it, and it works from Airflow 3.1; the setting ``[wan] ledger_path`` when not given.
    :param regenerate: forget what is recorded and submit (and pay) anew, once per series of retries.
    :param on_changed_request: when the recorded task was made from another request: ``resubmit`` or ``fail``.
    :param on_unknown_submission: when it cannot be known whether a task exists: ``fail`` or ``resubmit``.
    :param cancel_on_kill: cancel the task, where possible, when a person kills the Airflow task.
    :param cancel_on_timeout: cancel the task, where possible, at the deadline.
    :param store_to: object-storage URI to land the video at; the vendor's URL dies within a day.
    :param max_cost: the most the video may cost, a number or ``"12.50 USD"``: above it nothing is sent.
    :param on_unknown_price: with ``max_cost``, where no price is known: ``fail`` or ``allow``.
    :param media: how paths and storage URIs are made reachable for the vendor: ``presign``, ``upload`` or ``inline``;
        ``auto`` takes the first that works.

    With ``multiple_outputs=True`` each key of the result is an XCom of its own, with ``False`` none is; by default
    ``task_id``, ``video_url``, ``uri`` and those that other operators of the DAG name.

    :raises WanRequestError: when literal parameters break rules, already while the DAG is parsed.
    """

    mode: ClassVar[Mode]
    media_fields: ClassVar[tuple[str, ...]] = ()
    """The mode's own parameters."""

    __supports_durable_execution: ClassVar[bool] = True

    template_fields: Sequence[str] = (*COMMON_FIELDS, *RUN_FIELDS)
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_body": "json", "prompt": "md"}
    template_ext: Sequence[str] = PROMPT_FILES
    operator_extra_links = (WanVideoLink(),)
    ui_color = "#e7e3ff"

    def __init__(
        self,
        *,
        prompt: str | None = None,
        model: str | dict[str, str] | None = None,
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
        wan_conn_id: str | Sequence[str] = "wan_default",
        route: Literal["failover", "spread"] = "failover",
        prefer: Literal["cost"] | None = None,
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
        ledger_path: str | None = None,
        max_cost: float | str | None = None,
        on_unknown_price: Literal["fail", "allow"] = "fail",
        media: Literal["auto", "presign", "upload", "inline"] = "auto",
        **kwargs: Any,
    ) -> None:
        drop_unknown_policy(kwargs)
        super().__init__(**kwargs)
        self.pushes_own_keys = "multiple_outputs" not in kwargs
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
        self.route = route
        self.prefer = prefer
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
        self.store_to_written = store_to
        self.ledger_path = ledger_path
        self.max_cost = max_cost
        self.on_unknown_price = on_unknown_price
        self.media = media
        self.video_link: str | None = None
        self.link_is_pushed = False
        self._texts_read: list[str] = []
        self._run: Execution | None = None

    def _check_literals(self) -> None:
        """Check what is known while the DAG is parsed; every operator calls it at the end of its ``__init__``."""
        check_literals(
            self._parameters() | {"strict": self.strict},
            task_id=self.task_id,
            request=(self.mode, self.request_fields()),
        )

    def resolve_template_files(self) -> None:
        """Read the prompts that are files; Airflow would read a document of the same extension too."""
        for name in PROMPTS:
            content = getattr(self, name, None)
            if isinstance(content, str) and content.endswith(tuple(self.template_ext)):
                env = self.get_template_env()
                try:
                    text = env.loader.get_source(env, content)[0]  # type: ignore[union-attr]
                    setattr(self, name, text)
                    self._texts_read.append(text)
                except Exception as error:  # noqa: BLE001 - a DAG with a missing file is shown; its task fails
                    self.log.warning("The file of %s is not there: %s (%s)", name, content, type(error).__name__)
        self.prepare_template()

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a value; of all texts that end like a file only prompts are files."""
        if isinstance(content, str) and content.endswith(tuple(self.template_ext or ("\0",))):
            env = jinja_env or self.get_template_env()
            is_file = any(content is getattr(self, name, None) for name in PROMPTS)
            # What a file holds may itself end like the name of one.
            is_file = is_file and content not in self._texts_read
            template = env.get_template(content) if is_file else env.from_string(content)
            return self._render(template, context)
        return super().render_template(content, context, jinja_env, seen_oids)

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OWN_PARAMETERS}

    def request_fields(self) -> dict[str, Any]:
        """Return the request's fields as they are now: before rendering, or rendered."""
        names = (*COMMON_FIELDS, *self.media_fields)
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def build_request(self, context: Context) -> VideoRequest:
        """Return the request of this task instance.

        :raises WanRequestError: naming every field whose type or name is wrong.
        """
        return build_request(self.mode, self.request_fields() | {"strict": self.strict})

    def request_or_none(self, context: Context) -> VideoRequest | None:
        """Return the request, ``None`` when it cannot be built."""
        try:
            return self.build_request(context)
        except WanRequestError:
            return None

    def known_of_request(self, context: Context, request: VideoRequest | None) -> dict[str, Any]:
        """Return what the result takes from the request where the vendor does not echo it."""
        names = ("prompt", "resolution", "ratio", "duration", "seed")
        return {name: getattr(request, name) for name in names} if request else {}

    def _begun(self, context: Context) -> Execution:
        """Return the worker side of one run.

        :raises WanRequestError: naming every parameter whose rendered value breaks its rule.
        """
        from airflow_provider_wan.worker.video import begun

        own = {"mode": getattr(self, "mode", None), "execution_timeout": self.execution_timeout}
        self._run = begun(lambda: own | read_values(self._parameters()), self, context)
        return self._run

    def execute(self, context: Context) -> Any:
        """Obtain the task, then wait for it as the parameters say."""
        return self._begun(context).start()

    def execute_again(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after a pause."""
        return self._begun(context).start(event)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the trigger's event."""
        self.link_is_pushed = True
        return self._begun(context).resume(event)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what was read and stored, for OpenLineage's provider, which calls this."""
        from airflow_provider_wan.worker.lineage import openlineage_of

        return openlineage_of(self)

    def on_kill(self) -> None:
        """Cancel the task this worker is waiting for, where possible, with one short request."""
        if self._run is not None:
            self._run.on_kill()
