"""``@task.wan_video``: a function that returns the request as a dict becomes a video."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_wan.client.errors import Violation, WanRequestError
from airflow_provider_wan.client.requests import VideoRequest, build_request
from airflow_provider_wan.client.tasks import Mode
from airflow_provider_wan.client.urls import shorten
from airflow_provider_wan.operators.base import RUN_FIELDS, WanVideoOperator
from airflow_provider_wan.operators.parameters import check_literals

if TYPE_CHECKING:
    from airflow.sdk import Context

REQUEST_KEY = "wan_request"
"""XCom of the few request fields that the result repeats; the function is not called again after the wait."""


class _WanVideoDecoratedOperator(DecoratedOperator, WanVideoOperator):
    """Runs the function on the worker, then does what the operators do.

    :param mode: the mode of the returned request; the dict's own ``mode`` wins.
    """

    custom_operator_name = "@task.wan_video"
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *RUN_FIELDS)
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}
    template_ext: Sequence[str] = DecoratedOperator.template_ext

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        mode: Mode | str = Mode.TEXT_TO_VIDEO,
        **kwargs: Any,
    ) -> None:
        # Airflow infers it from the function's annotation, which says nothing of the result: only a wish counts.
        if not kwargs.get("multiple_outputs"):
            kwargs.pop("multiple_outputs", None)
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)
        self.default_mode = mode
        self._built: VideoRequest | None = None
        check_literals(self._parameters() | {"strict": self.strict, "mode": mode}, task_id=self.task_id)

    def build_request(self, context: Context) -> VideoRequest:
        """Call the function and read the request it returns.

        :raises WanRequestError: when it is not the dict of a request.
        """
        if self._built is None:
            context_merge(context, self.op_kwargs)
            kwargs = determine_kwargs(self.python_callable, self.op_args, context)
            self._built = self._read(self.python_callable(*self.op_args, **kwargs))
            context["ti"].xcom_push(key=REQUEST_KEY, value=super().known_of_request(context, self._built))
        return self._built

    def known_of_request(self, context: Context, request: VideoRequest | None) -> dict[str, Any]:
        """Return what the result repeats of the request, also after the wait."""
        if self._built is not None:
            return super().known_of_request(context, self._built)
        ti = context["ti"]
        return dict(ti.xcom_pull(task_ids=ti.task_id, key=REQUEST_KEY, map_indexes=ti.map_index) or {})

    def request_or_none(self, context: Context) -> VideoRequest | None:
        """Return the request if it has been built in this process; never call the function for it."""
        return self._built

    def _read(self, returned: Any) -> VideoRequest:
        if not isinstance(returned, Mapping):
            raise WanRequestError(
                violations=[
                    Violation(
                        f"the return value of {self.python_callable.__name__}",
                        "is the request as a dict",
                        shorten(returned),
                        'return for example {"prompt": …, "duration": 5}',
                        hard=True,
                    )
                ]
            )
        fields = {"strict": self.strict, **returned}
        return build_request(fields.pop("mode", self.default_mode), fields)


def wan_video_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """Turn a function that returns a request into a task that makes the video.

    :param python_callable: the function; it may return ``mode`` beside the request's fields.
    :param multiple_outputs: ``True`` makes each key of the result an XCom of its own.
    :param kwargs: the parameters of the operators (``wan_conn_id``, ``store_to``, ``deferrable``, …) and
        ``mode`` for requests that do not name theirs.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_WanVideoDecoratedOperator,
        **kwargs,
    )
