"""What reading a body has in common at the gateways."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.sandbox.front.bodies import Reader, common_rest
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.video.picture import Size, ratio_of, size_of
from airflow_provider_wan.sandbox.world.tasks import Order, TaskFailure, shortened


class GatewayBody:
    """Turns a submit body into an ``Order``; raises ``Refusal`` (400) naming the first field that is wrong.

    :param uploads: knows the sizes and lengths of media.
    :param strict: whether undocumented fields are refused.
    :param code: the gateway's word for a field that is wrong.
    """

    def __init__(
        self, uploads: UploadStore, body: dict[str, Any], *, strict: bool, code: str = "InvalidParameter"
    ) -> None:
        self._uploads = uploads
        self._raw = body
        self._strict = strict
        self._top = Reader(body, code=code)

    def _made(
        self,
        mode: str,
        model: str,
        prompt: str,
        tier: str,
        ratio: str | None,
        seconds: float,
        *,
        like: Size | None = None,
        read: float = 0.0,
        failure: TaskFailure | None = None,
    ) -> Order:
        """Return what is to be made.

        :param like: (width, height) of the picture whose shape the video takes where no ratio is given.
        :param read: seconds of input video that are billed.
        """
        size = size_of(tier, ratio, like)
        return Order(
            mode=mode,
            model=model,
            prompt=prompt,
            tier=tier,
            size=size,
            seconds=float(seconds),
            input_seconds=read,
            ratio=ratio if ratio not in (None, "adaptive") else ratio_of(size),
            failure=failure,
            webhook_url=self._raw.get("webhook_url"),
            body=shortened(self._raw),
            unknown_fields=common_rest([self._top], strict=self._strict),
        )
